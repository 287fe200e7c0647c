"""Transcode through the API and print the pipeline's report as JSON. Started by ``overlap``.

transcode_worker.py IN OUT MODEL STRENGTH
"""

from __future__ import annotations

import json
import sys

from malle_rt.api import denoise_video
from malle_rt.config import DenoiseConfig


def main() -> None:
    """Do it."""
    source, output, model, strength = sys.argv[1:]
    config = DenoiseConfig(model=model, strength="auto" if strength == "auto" else float(strength))
    report = denoise_video(source, output, config=config, overwrite=True).pipeline
    print(json.dumps({"fps": report.fps, "seconds": report.seconds, "busy": report.busy}))


if __name__ == "__main__":
    main()
