"""Run in a child process: open a camera, read from it, and print as JSON what came of it.

Arguments, each in JSON: what to ask for, as ``CaptureRequest`` takes it; frames to read at most; times to open it.
"""

from __future__ import annotations

import json
import logging
import sys
import time

from malle_rt.errors import MalleError
from malle_rt.live.capture.camera import CameraCapture
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.media.synthetic import read_index

# How long a camera that was unplugged may take to come back.
BACK_SECONDS = 10


class Lines(logging.Handler):
    """What the library logs, warnings and worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def read(request: CaptureRequest, most: int) -> dict[str, object]:
    """Open, read and close once."""
    found: dict[str, object] = {"indices": [], "pts": [], "error": None}
    capture = None
    begin = time.monotonic()
    try:
        capture = CameraCapture(request)
        info = capture.template.info
        found |= {"description": capture.description, "size": [info.width, info.height]}
        found["rate"] = None if info.frame_rate is None else float(info.frame_rate)
        for shot in capture:
            begin = time.monotonic()
            found["indices"].append(read_index(shot))
            found["pts"].append(shot.pts)
            found["age"] = begin - shot.captured
            if len(found["pts"]) == most:
                break
    except MalleError as exc:
        found |= {"error": str(exc), "kind": type(exc).__name__, "seconds": time.monotonic() - begin}
    finally:
        if capture is not None:
            capture.close()
            capture.close()
    return found


def read_again(request: CaptureRequest, most: int) -> dict[str, object]:
    """As ``read``, for a camera that may still be away."""
    end = time.monotonic() + BACK_SECONDS
    while (found := read(request, most))["error"] and not found["indices"] and time.monotonic() < end:
        time.sleep(0.05)
    return found


def main() -> None:
    """Read as often as wanted."""
    wanted, most, times = (json.loads(argument) for argument in sys.argv[1:4])
    if wanted.get("size"):
        wanted["size"] = tuple(wanted["size"])
    log = Lines()
    logging.getLogger().addHandler(log)
    runs = [read(CaptureRequest(**wanted), most)]
    runs += [read_again(CaptureRequest(**wanted), most) for _ in range(times - 1)]
    sys.stdout.write(json.dumps({"runs": runs, "log": log.lines}))


main()
