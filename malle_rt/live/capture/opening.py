"""Which kind of input a user means, and opening it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from weakref import WeakSet

from malle_rt.live.capture.device import Address, Capture, CaptureRequest
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.media.opening import is_url, plain_location
from malle_rt.shown import shown_address

__all__ = ["is_camera", "open_capture", "takes_modes"]

log = logging.getLogger(__name__)

_PIPELINE = "gst:"
_CAMERA = re.compile(rf"\d+|/dev/video\d+|{_PIPELINE}.*", re.DOTALL)
# "clip.mp4", but not "BRIO 4.0": a name that ends like a file's is most likely a file's, misspelt.
_FILE_NAME = re.compile(r".*[/\\].*|.*\.[A-Za-z][A-Za-z0-9]{1,4}", re.DOTALL)

# Requests whose user has been warned: each is opened again for every connection.
_warned: WeakSet[CaptureRequest] = WeakSet()


def open_capture(request: CaptureRequest) -> Capture:
    """Open the camera, stream or file that ``request.device`` names; warn once of options it has no use for.

    Raises:
        SourceError: it cannot be opened, or gives no picture.
    """
    if request not in _warned:
        _warned.add(request)
        _warn_of_unused(request)
    if not is_camera(request.device):
        return StreamCapture(request)
    # OpenCV is not needed for streams.
    from malle_rt.live.capture.camera import CameraCapture

    return CameraCapture(request)


def is_camera(device: str) -> bool:
    """Whether a number, path or name means a camera, and not a stream or a file."""
    if _CAMERA.fullmatch(device):
        return True
    if device.startswith("lavfi:") or is_url(device) or device.startswith("file:"):
        return False
    path = Path(plain_location(device))
    if path.exists():
        return path.is_char_device()  # such as /dev/v4l/by-id/...
    return _FILE_NAME.fullmatch(device) is None


def takes_modes(device: str) -> bool:
    """Whether the source can be asked for a size, a frame rate and a pixel format."""
    return is_camera(device) and not device.startswith(_PIPELINE)


def _warn_of_unused(request: CaptureRequest) -> None:
    device, camera = request.device, is_camera(request.device)
    unused = []
    if not takes_modes(device):
        mode = {"--size": request.size, "--fps": request.frame_rate, "--fourcc": request.fourcc}
        unused = [option for option, value in mode.items() if value is not None]
    if request.loop and (camera or Address.of(device).self_paced):
        unused.append("--loop")
    if request.deinterlace is not None and camera:
        unused.append("--deinterlace")
    if unused:
        log.warning("ignored: %s (of no use with %s)", ", ".join(unused), shown_address(device))
