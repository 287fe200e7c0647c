"""The cameras that are there, and the one that a user means."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from malle_rt.errors import ConfigError, SourceError
from malle_rt.live.capture.camera_modes import Camera, Mode
from malle_rt.live.capture.camera_opening import obtained_mode, open_number, release
from malle_rt.live.capture.camera_problems import GONE, in_use, not_there, not_usable

__all__ = ["Camera", "Mode", "find_camera", "is_there", "list_cameras"]

# Video4Linux has no more numbers; asking for all of them takes a millisecond, and finds gaps and loop-backs.
_LINUX_NUMBERS = 256
# Other systems count from 0 without gaps, and opening a camera there takes its time.
_OTHER_NUMBERS = 10


def list_cameras() -> tuple[Camera, ...]:
    """All cameras, usable now or not, with their modes.

    On Linux no camera is started for it; elsewhere each one is, and the only mode known is the one it comes up with.
    """
    if sys.platform != "linux":
        return _probed()
    found = (_examined(f"/dev/video{number}") for number in range(_LINUX_NUMBERS))
    return tuple(camera for camera in found if camera is not None)


def find_camera(device: str) -> Camera:
    """The camera that a user means, ready to be opened.

    Args:
        device: its number; on Linux also its path, or a part of its name, in capitals or not.

    Raises:
        ConfigError: several cameras have that name; names are not known on this system.
        SourceError: it is not there, or cannot be used now: no permission, in use, no pictures.
    """
    if sys.platform != "linux":
        if not device.isdecimal():
            raise ConfigError(f"a camera is named by its number on this system, such as 0, got {device!r}")
        return Camera(int(device), "")
    if not device.isdecimal() and not device.startswith("/dev/"):
        return _usable(_named(device))
    path = f"/dev/video{int(device)}" if device.isdecimal() else str(Path(device).resolve())
    camera = _examined(path)
    if camera is None:
        raise SourceError(not_there(_absence(device, path), list_cameras()))
    return _usable(camera)


def is_there(camera: Camera) -> bool:
    """Whether the camera is still plugged in; True where the system does not tell."""
    return not camera.path or _examined(camera.path) is not None


def _usable(camera: Camera) -> Camera:
    if camera.problem is not None:
        raise SourceError(camera.problem)
    return camera


def _named(text: str) -> Camera:
    cameras = list_cameras()
    found = [camera for camera in cameras if text.lower() in camera.name.lower()]
    exact = [camera for camera in found if text.lower() == camera.name.lower()]
    if len(exact) == 1 or len(found) == 1:
        return (exact or found)[0]
    if found:
        names = ", ".join(camera.label for camera in found)
        raise ConfigError(f"{text!r} fits {names}. Give the number, or more of the name")
    raise SourceError(not_there(f"no camera is called {text!r}", cameras))


def _examined(path: str) -> Camera | None:
    """A node of Video4Linux as a camera; None where nothing is there, or it gives no pictures."""
    from malle_rt.live.capture.v4l2_device import VideoNode  # needs a module that only Unix has

    digits = re.fullmatch(r"/dev/video(\d+)", path)
    number = int(digits[1]) if digits else -1
    try:
        with VideoNode(path) as node:
            if not node.captures:
                return None
            camera = Camera(number, path, node.name, node.bus, node.modes())
            busy = node.is_busy()
    except OSError as exc:
        if exc.errno in GONE:
            return None
        return Camera(number, path, _known_name(path), problem=not_usable(path, exc))
    return replace(camera, problem=in_use(path, camera.label)) if busy else camera


def _known_name(path: str) -> str:
    """What the kernel tells of a camera to those who may not open it."""
    try:
        return (Path("/sys/class/video4linux") / Path(path).name / "name").read_text().strip()
    except OSError:
        return ""


def _absence(device: str, path: str) -> str:
    from malle_rt.live.capture.v4l2_device import VideoNode

    try:
        with VideoNode(path) as node:
            return f"{path} ({node.name}) gives no pictures, only metadata or the like"
    except OSError:
        return f"no camera {device}"


def _probed() -> tuple[Camera, ...]:
    cameras = []
    for number in range(_OTHER_NUMBERS):
        try:
            capture = open_number(number)
        except SourceError:
            continue
        mode = obtained_mode(capture)
        release(capture)
        cameras.append(Camera(number, "", modes=(mode,)))
    return tuple(cameras)
