"""Run in a child process: print the list of cameras as JSON."""

from __future__ import annotations

import json
import sys

from malle_rt.live.capture.cameras import list_cameras

FIELDS = ("label", "number", "path", "bus", "problem")

sys.stdout.write(
    json.dumps(
        [
            {"modes": [str(mode) for mode in camera.modes]} | {name: getattr(camera, name) for name in FIELDS}
            for camera in list_cameras()
        ]
    )
)
