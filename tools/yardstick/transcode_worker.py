"""Transcode through the API and print the pipeline's report as JSON. Started by ``overlap``.

transcode_worker.py IN OUT MODEL STRENGTH BACKEND
"""

from __future__ import annotations

import json
import sys
from typing import cast

from malle_rt.api import denoise_video
from malle_rt.config import DenoiseConfig


def main() -> None:
    """Do it."""
    source, output, model, strength, backend = sys.argv[1:]
    amount = "auto" if strength == "auto" else float(strength)
    config = DenoiseConfig(model=model, strength=cast(float, amount), backend=backend)
    report = denoise_video(source, output, config=config, overwrite=True).pipeline
    print(json.dumps({"fps": report.fps, "seconds": report.seconds, "busy": report.busy}))


if __name__ == "__main__":
    main()
