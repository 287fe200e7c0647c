"""Does a live session last? Watch `malle-rt webcam` for minutes, with a camera that may go away again and again.

    python tools/live_soak.py --minutes 30
    python tools/live_soak.py --minutes 5 --restarts 20

The session records without a window. Prints its memory, threads and open files, and fails if memory grew by more
than 5 % and 8 MiB between the first minute and the last, if it does not end within 2 seconds of Ctrl-C, if the
recording does not play to its end, if the counts do not add up, or if a restart of the camera was not survived.
Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from livebench.camera import Camera
from yardstick.process import VitalSigns, has_grown, vital_signs

_AWAY = 4.0  # seconds a camera is gone: longer than it takes to be noticed
_ENDING = 2.0  # seconds a session may take to end


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument("--size", default="640x360", metavar="WxH")
    parser.add_argument("--fps", type=int, default=30)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder, Camera((width, height), options.fps, 12.0) as camera:
        recording = Path(folder) / "live.mkv"
        command = [sys.executable, "-m", "malle_rt", "webcam", "--device", camera.url, "--no-window"]
        process = subprocess.Popen([*command, "--record", str(recording)], stdout=subprocess.PIPE, text=True)
        try:
            looks = _watch(process, camera, options.minutes * 60, options.restarts)
            report, seconds = _end(process)
        finally:
            process.kill()
        print(report.strip())
        problems = [*_growth(looks), *_ended(process, seconds), *_counts(report, options.restarts)]
    print("\n".join(problems) if problems else "passed")
    return int(bool(problems))


def _watch(process: subprocess.Popen[str], camera: Camera, seconds: float, restarts: int) -> list[VitalSigns]:
    """Looks at each minute; camera restarts spread evenly."""
    begin = time.monotonic()
    looks: list[VitalSigns] = []
    events = [(60.0 * minute, "look") for minute in range(1, int(seconds // 60) + 1)]
    # The last one early enough to be seen coming back.
    events += [((seconds - 15) * (number + 0.5) / restarts, "restart") for number in range(restarts)]
    for due, what in sorted(events):
        time.sleep(max(0.0, begin + due - time.monotonic()))
        if process.poll() is not None:
            raise SystemExit(f"the session ended by itself after {due:.0f} s, exit code {process.returncode}")
        if what == "restart":
            camera.kill()
            time.sleep(_AWAY)
            camera.start()
            continue
        looks.append(vital_signs(process.pid))
        print(f"minute {due / 60:.0f}: {looks[-1]}", flush=True)
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    return looks


def _end(process: subprocess.Popen[str]) -> tuple[str, float]:
    """Ctrl-C; the report and the seconds it took."""
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    report, _ = process.communicate(timeout=60)
    return report, time.monotonic() - begin


def _growth(looks: list[VitalSigns]) -> list[str]:
    if len(looks) < 2 or not has_grown(looks[0].mebibytes, looks[-1].mebibytes):
        return []
    return [f"memory grew from {looks[0].mebibytes:.0f} to {looks[-1].mebibytes:.0f} MiB"]


def _ended(process: subprocess.Popen[str], seconds: float) -> list[str]:
    problems = [f"it took {seconds:.1f} s to end"] if seconds > _ENDING else []
    if process.returncode != 128 + signal.SIGINT:
        problems.append(f"exit code {process.returncode}, wanted {128 + signal.SIGINT}")
    print(f"ended in {seconds:.2f} s")
    return problems


def _counts(report: str, restarts: int) -> list[str]:
    """Whether the report agrees with itself and with the files it names."""
    counts = re.search(r"(\d+) frames in, (\d+) out, (\d+) dropped(?:.*?, (\d+) reconnects)?", report)
    if counts is None:
        return ["no report"]
    came, out, dropped, reconnects = (int(number or 0) for number in counts.groups())
    problems = []
    if came != out + dropped:
        problems.append(f"{came} frames in are not {out} out and {dropped} dropped")
    if reconnects != restarts:
        problems.append(f"{reconnects} reconnects, wanted {restarts}")
    recorded = 0
    for name in re.findall(r"^wrote (.+)$", report, re.MULTILINE):
        with av.open(name) as container:
            instants = [frame.pts for frame in container.decode(video=0)]
        recorded += len(instants)
        if any(later <= earlier for earlier, later in itertools.pairwise(instants)):
            problems.append(f"time goes back in {name}")
    print(f"{recorded} of {out} frames in the recording")
    if recorded < 0.98 * out:
        problems.append("the recording lacks frames")
    return problems


if __name__ == "__main__":
    sys.exit(main())
