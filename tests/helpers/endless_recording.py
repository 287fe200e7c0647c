"""A program that records for ever, at several times the pace of a camera, and says how far it has come."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from fractions import Fraction

from malle_rt.live.outlets.recording import Recording
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.template import Template


def main(path: str) -> None:
    """Record into ``path``."""
    source = SyntheticSource(64, (64, 48), Fraction(25))
    recording = Recording(path, Template(info=source.info))
    frames = list(source)
    for index in range(100_000):
        recording.write(replace(frames[index % 64], pts=index))
        if index % 25 == 0:
            sys.stdout.write(f"{recording.recorded_seconds}\n")
            sys.stdout.flush()
        time.sleep(0.001)


if __name__ == "__main__":
    main(sys.argv[1])
