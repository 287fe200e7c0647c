"""Be a camera for other programs: video calls, streaming programs."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange

from malle_rt.errors import BackendUnavailable, SinkError
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.media.pixel_formats import is_full_range_name, plain_name
from malle_rt.media.planes import new_video_frame, view_planes

__all__ = ["VirtualCameraSink"]

log = logging.getLogger(__name__)

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_ASSUMED_RATE = 30.0
_SET_UP = {
    "linux": "sudo modprobe v4l2loopback exclusive_caps=1 card_label=malle-rt (Debian: apt install v4l2loopback-dkms)",
    "darwin": "install OBS 30 or newer, and press Start Virtual Camera in it once",
    "win32": "install OBS, and press Start Virtual Camera in it once",
}


class VirtualCameraSink:
    """Shows frames as a camera, the moment they come. Satisfies ``Sink``; sound is left out.

    The camera keeps the size of the first frame, since programs that watch it cannot follow; others are scaled.
    """

    def __init__(self, device: str | None, info: VideoInfo) -> None:
        """Find the module; the first frame opens the camera.

        Args:
            device: such as "/dev/video2", or what OBS calls its camera; None or "": the first there is.
            info: the source's track, for its frame rate.

        Raises:
            BackendUnavailable: pyvirtualcam is not installed.
        """
        self._module = _require_pyvirtualcam()
        self._device = device or None
        self._rate = float(info.frame_rate or _ASSUMED_RATE)
        self._camera: Any = None
        self._size = (0, 0)

    def write(self, item: Frame | Packet) -> None:
        """Show a frame.

        Raises:
            SinkError: there is no virtual camera, or it does not take the picture.
        """
        if not isinstance(item, Frame):
            return
        if self._camera is None:
            self._open(item)
        picture = _i420(item, self._size)
        try:
            # Never sleep_until_next_frame: the source has its own pace.
            self._camera.send(picture)
        except (RuntimeError, OSError, ValueError) as exc:
            raise SinkError(f"{self._camera.device} takes no picture ({exc})") from exc

    def finish(self) -> None:
        """Close the camera."""
        self.abort()

    def abort(self) -> None:
        """Close the camera. May be called twice."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _open(self, first: Frame) -> None:
        # Half a chroma sample cannot be sent.
        width, height = first.width & ~1, first.height & ~1
        form = self._module.PixelFormat.I420
        try:
            self._camera = self._module.Camera(width, height, self._rate, fmt=form, device=self._device)
        except (RuntimeError, OSError, ValueError) as exc:
            reason = " ".join(str(exc).split())
            set_up = _SET_UP.get(sys.platform, "see pyvirtualcam's documentation")
            raise SinkError(f"cannot be opened ({reason}). To set one up: {set_up}") from exc
        self._size = (width, height)
        log.info("virtual camera: %s, %dx%d", self._camera.device, width, height)


def _i420(frame: Frame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The frame as 8-bit 4:2:0 of limited range, Y, U and V one after the other.

    Programs take a virtual camera's picture for limited range, whatever the source has.
    """
    full = frame.color.color_range == _FULL_RANGE or is_full_range_name(frame.pix_fmt)
    planes = frame.planes
    if full or plain_name(frame.pix_fmt) != "yuv420p" or (frame.width, frame.height) != size:
        plain = plain_name(frame.pix_fmt)
        # By the name that says so: older PyAV versions do nothing where only the range differs.
        named = plain.replace("yuv", "yuvj") if full and planes[0].dtype == np.uint8 else plain
        picture = new_video_frame(planes, named).reformat(
            width=size[0],
            height=size[1],
            format="yuv420p",
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
        )
        planes = view_planes(picture)
    return np.concatenate([plane.ravel() for plane in planes]).astype(np.uint8, copy=False)


def _require_pyvirtualcam() -> ModuleType:
    try:
        import pyvirtualcam
    except ImportError as exc:
        raise BackendUnavailable(
            "a virtual camera needs pyvirtualcam: pip install 'malle-rt[virtual-camera]'"
        ) from exc
    module: ModuleType = pyvirtualcam
    return module
