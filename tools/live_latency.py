"""How old is the picture on the screen? A clock is drawn into the frames of a camera and read back from the window.

    python tools/live_latency.py [--page] [--seconds 20] [--rounds 3] [--json FILE]
    python tools/live_latency.py --behind MINUTES [--size 1280x720] [--backend torch]

The first form runs `malle-rt webcam` with the network and without it (--backend none) in turns and prints what the
network adds; it must be less than a frame. With --page the clock is read from the page in a headless Chromium instead
of the window. The second runs it where the network is slower than the camera and fails
if the age of the picture grows with time. Both ages include the camera's H.264, UDP and decoding, and up to 17 ms
until the eye looks. Needs the programs Xvfb, openbox, xdotool and ffmpeg,
and Chromium with its driver for the page; Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from livebench.camera import Camera
from livebench.page import Browser, PageEye
from livebench.screen import Eye, Screen, missing_programs

from malle_rt.measuring import describe_machine
from malle_rt.pipeline import nearest_rank

_SETTLING = 4.0  # seconds until networks are compiled, windows mapped and decoders in step
_PORT = 8077  # of the page
_PART = 30.0  # seconds of one figure in the long run


def main() -> int:
    """Run the command line."""
    options = _options()
    if missing := missing_programs():
        print(f"not installed: {missing}. Debian: apt install xvfb openbox xdotool ffmpeg", file=sys.stderr)
        return 2
    report = behind(options) if options.behind else added(options)
    print(report["text"])
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return int(not report["passed"])


def added(options: argparse.Namespace) -> dict[str, Any]:
    """Latency with and without the network, in turns."""
    ages: dict[str, list[int]] = {"none": [], options.backend: []}
    for _ in range(options.rounds):
        for backend, seen in ages.items():
            with (_page if options.page else _window)(options, backend) as eye:
                time.sleep(options.seconds)
                seen.extend(eye.ages)
    raw, clean = (_percentiles(seen) for seen in ages.values())
    more = clean["p95"] - raw["p95"]
    interval = 1000 / options.fps
    lines = [
        f"capture to display, {options.size} at {options.fps} fps, {options.rounds} x {options.seconds} s each:",
        f"  raw    p50 {raw['p50']:.0f} ms, p95 {raw['p95']:.0f} ms, {raw['pictures']} pictures",
        f"  clean  p50 {clean['p50']:.0f} ms, p95 {clean['p95']:.0f} ms, {clean['pictures']} pictures",
        f"added at p95: {more:.0f} ms, {more / interval:.2f} of a frame interval ({interval:.0f} ms)",
    ]
    passed = bool(more <= interval)
    return {
        "raw": raw,
        "clean": clean,
        "text": "\n".join(lines),
        "passed": passed,
        "machine": describe_machine(("malle-rt", "openvino", "av", "opencv-python", "numpy")),
    }


def behind(options: argparse.Namespace) -> dict[str, Any]:
    """Latency over minutes where the camera is faster than the network."""
    parts: list[dict[str, float]] = []
    with _window(options, options.backend) as eye:
        for _ in range(round(options.behind * 60 / _PART)):
            time.sleep(_PART)
            parts.append(_percentiles(eye.ages))
            eye.ages.clear()
            print(f"  p50 {parts[-1]['p50']:.0f} ms, p95 {parts[-1]['p95']:.0f} ms", file=sys.stderr)
    half = len(parts) // 2
    first, second = (
        float(np.median([part["p50"] for part in some])) for some in (parts[:half], parts[half:])
    )
    fps = sum(part["pictures"] for part in parts) / (_PART * len(parts))
    text = (
        f"{options.size} at {options.fps} fps, {options.backend}, {fps:.1f} shown per second: "
        f"p50 {first:.0f} ms in the first half of {options.behind:g} minutes, {second:.0f} ms in the second"
    )
    # A queue that grew would add seconds; noise of a busy machine is far below half of it.
    return {
        "parts": parts,
        "text": text,
        "passed": second < 1.5 * first,
        "machine": describe_machine(("malle-rt", "openvino", "av", "opencv-python", "numpy")),
    }


@contextmanager
def _window(options: argparse.Namespace, backend: str) -> Iterator[Eye]:
    """A session, and an eye on its window."""
    with Screen((1600, 1000)) as screen, _session(options, backend, screen.environment):
        window = screen.window("malle-rt")
        time.sleep(_SETTLING)
        eye = window.eye()
        try:
            yield eye
        finally:
            eye.close()
        if options.picture:
            window.save(options.picture)


@contextmanager
def _page(options: argparse.Namespace, backend: str) -> Iterator[PageEye]:
    """A session without a window, and an eye on its page."""
    address = f"127.0.0.1:{_PORT}"
    with (
        tempfile.TemporaryDirectory() as profile,
        _session(options, backend, dict(os.environ), "--no-window", "--web", address),
        Browser(Path(profile), (1440, 900)) as browser,
    ):
        time.sleep(_SETTLING)
        browser.open(f"http://{address}")
        browser.wait("return document.querySelector('input[value=clean]') !== null")
        browser.run("document.querySelector('input[value=clean]').click()")
        time.sleep(1)
        yield PageEye(browser)
        if options.picture:
            browser.screenshot(options.picture)


@contextmanager
def _session(
    options: argparse.Namespace, backend: str, environment: dict[str, str], *words: str
) -> Iterator[None]:
    """`malle-rt webcam` on a camera with a clock."""
    width, height = map(int, options.size.split("x"))
    with Camera((width, height), options.fps, options.sigma) as camera:
        command = [sys.executable, "-m", "malle_rt", "webcam", "--device", camera.url, "--backend", backend]
        process = subprocess.Popen([*command, "--view", "clean", "--quiet", *words], env=environment)
        try:
            yield
            process.send_signal(signal.SIGINT)
            process.wait(5)
        finally:
            process.kill()


def _percentiles(ages: list[int]) -> dict[str, float]:
    if not ages:
        raise SystemExit("no picture with a readable clock was seen")
    ordered = sorted(ages)
    return {"p50": nearest_rank(ordered, 50), "p95": nearest_rank(ordered, 95), "pictures": len(ages)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x360", metavar="WxH")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--sigma", type=float, default=12.0, help="noise of the camera, 8-bit scale")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="look at the page, not at the window")
    parser.add_argument("--behind", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="save a screenshot")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
