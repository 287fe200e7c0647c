"""The cameras that are there, the one that a user means, and why one cannot be used."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from malle_rt.errors import ConfigError, SourceError
from malle_rt.live.capture.camera_modes import Camera, Mode
from malle_rt.live.capture.camera_opening import obtained_mode, open_number, release

__all__ = [
    "Camera",
    "Mode",
    "find_camera",
    "in_use",
    "is_there",
    "list_cameras",
]

# Video4Linux has no more numbers; asking for all of them takes a millisecond, and finds gaps and loop-backs.
_LINUX_NUMBERS = 256
# Other systems count from 0 without gaps, and opening a camera there takes its time.
_OTHER_NUMBERS = 10
# Errors of opening a node that no camera is behind.
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


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
        raise SourceError(_not_there(_absence(device, path), list_cameras()))
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
    raise SourceError(_not_there(f"no camera is called {text!r}", cameras))


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
        if exc.errno in _GONE:
            return None
        return Camera(number, path, _known_name(path), problem=_not_usable(path, exc))
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


def _not_there(what: str, cameras: Sequence[Camera]) -> str:
    """A message that begins with ``what``, such as "no camera 3", and goes on with those that are there."""
    if not cameras:
        return f"{what}: none is connected. Plug one in; malle-rt webcam --list shows those found"
    return f"{what}. There is {', '.join(camera.label for camera in cameras)}"


def _not_usable(path: str, error: OSError) -> str:
    """What opening a node that is there failed with."""
    if error.errno == errno.EACCES:
        return f"{path}: no permission. Run sudo usermod -aG video $USER, then log in again"
    if error.errno == errno.EBUSY:
        return in_use(path)
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{path} is no camera. malle-rt webcam --list shows those found"
    return f"{path} cannot be opened: {os.strerror(error.errno or 0)}"


def in_use(path: str, label: str | None = None) -> str:
    """Who uses the camera, as far as /proc tells us; programs of other users stay unknown."""
    return f"{label or path} is in use by {_holder(path) or 'another program'}. Close it there"


def _holder(path: str) -> str | None:
    """Name and id of the first process that has the node open."""
    for process in sorted(Path("/proc").glob("[0-9]*")):
        try:
            if any(str(file.readlink()) == path for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # it has ended, or is another user's
    return None
