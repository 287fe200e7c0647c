"""The camera of tests/fakev4l2: /dev/video0 for child processes, on machines without one.

It is a library that answers the calls of Video4Linux, loaded into a child by LD_PRELOAD; OpenCV and our own ioctls run
on it as they are. Each picture carries its index as those of ``SyntheticSource`` do.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.fakecuda import build_library

from malle_rt.child import module_command
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.opencv import opencv

__all__ = ["fake_camera", "in_camera_child", "write_film"]

SOURCES = Path(__file__).parents[1] / "fakev4l2"
# Enough for a machine that is busy with other tests; a child that hangs fails its test here.
CHILD_SECONDS = 60


def fake_camera(
    *,
    cameras: int = 1,
    busy: bool = False,
    denied: bool = False,
    unplug_after: int | None = None,
    replug_seconds: float | None = None,
    stall_after: int | None = None,
    most_width: int | None = None,
    noise: float | None = None,
    film: Path | None = None,
) -> dict[str, str]:
    """Environment variables that give a child process its cameras; skips the test where they cannot be built.

    They offer YUYV in 640x480 at 30 and 15 fps, 320x240 at 30 and 1280x720 at 10. As with USB cameras, a second node
    after each gives only metadata, and a frame needs a free buffer for as long as it takes to arrive.

    Args:
        cameras: how many are plugged in, "Fake Camera A" at /dev/video0, B at /dev/video2 ...
        busy: another program streams from them.
        denied: they may not be opened.
        unplug_after: frames of a stream after which they are gone.
        replug_seconds: seconds from then until they are back, for the next stream; None: never.
        stall_after: frames of a stream after which no more come.
        most_width: no wider mode is given, whatever the list says.
        noise: standard deviation of noise on all samples but the index.
        film: what ``write_film`` wrote: they offer MJPG, too, in the size of its pictures at 30 fps.
    """
    if sys.platform != "linux":
        pytest.skip("Video4Linux is Linux's")
    library = build_library(sorted(SOURCES.glob("*.cpp")), "libfakev4l2.so")
    wanted = {
        "CAMERAS": cameras,
        "BUSY": int(busy),
        "DENIED": int(denied),
        "UNPLUG_AFTER": unplug_after,
        "REPLUG_SECONDS": replug_seconds,
        "STALL_AFTER": stall_after,
        "MOST_WIDTH": most_width,
        "NOISE": noise,
        "FILM": film,
    }
    faults = {f"FAKEV4L2_{name}": str(value) for name, value in wanted.items() if value is not None}
    before = os.environ.get("LD_PRELOAD")
    return {"LD_PRELOAD": f"{library}:{before}" if before else str(library), **faults}


def write_film(path: Path, size: tuple[int, int] = (1280, 720), *, damaged: Sequence[int] = ()) -> Path:
    """32 JPEG pictures that carry their index, for a camera with MJPG; it shows them in turn.

    Args:
        path: of the file to write.
        size: (width, height), the width a multiple of 16.
        damaged: indices of pictures of which only the first bytes arrive.
    """
    cv2 = opencv()
    source = SyntheticSource(32, size)
    with path.open("wb") as file:
        file.write(struct.pack("=3I", *size, 32))
        for index, frame in enumerate(source):
            planes = np.concatenate([plane.reshape(-1) for plane in frame.planes])
            picture = cv2.cvtColor(planes.reshape(size[1] * 3 // 2, size[0]), cv2.COLOR_YUV2BGR_I420)
            data = cv2.imencode(".jpg", picture)[1].tobytes()
            data = data[:100] if index in damaged else data
            file.write(struct.pack("=I", len(data)) + data)
    return path


def in_camera_child(module: str, *arguments: object, **faults: object) -> dict[str, object]:
    """Run a module of tests/helpers with the cameras; it takes JSON as arguments and prints JSON.

    The child must print nothing else: what OpenCV says of its own accord fails the test.
    """
    environment = {**os.environ, **fake_camera(**faults)}
    command = module_command(f"helpers.{module}", *map(json.dumps, arguments))
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)
