"""Why a camera cannot be used, and what to do, in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from malle_rt.live.capture.camera_modes import Camera

__all__ = ["GONE", "in_use", "not_there", "not_usable"]

# Errors of opening a node that no camera is behind.
GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


def not_there(what: str, cameras: Sequence[Camera]) -> str:
    """A message that begins with ``what``, such as "no camera 3", and goes on with those that are there."""
    if not cameras:
        return f"{what}: none is connected. Plug one in; malle-rt webcam --list shows those found"
    return f"{what}. There is {', '.join(camera.label for camera in cameras)}"


def not_usable(path: str, error: OSError) -> str:
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
