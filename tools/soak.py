"""Does a long run hold its memory? Transcode a clip over and over for some minutes and watch the process.

    python tools/soak.py docs/noisy.mp4 --minutes 10

Prints resident memory, threads and open files every minute, and fails if memory grew by more than 5 % and 8 MiB
between the first minute and the last. Linux only.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from yardstick.process import has_grown, vital_signs

REPEATS = 20_000  # more than any machine plays in the time; the list is read as it is played


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        playlist = Path(folder) / "long.ffconcat"
        (Path(folder) / "clip").symlink_to(options.clip.resolve())
        playlist.write_text("ffconcat version 1.0\n" + "file clip\n" * REPEATS)
        sizes = watch(playlist, Path(folder) / "out.mkv", options.minutes)
    first, last = sizes[0], sizes[-1]
    grew = has_grown(first, last)
    print(f"{first:.0f} MiB after 1 minute, {last:.0f} after {options.minutes}: {'GREW' if grew else 'flat'}")
    return int(grew)


def watch(playlist: Path, out: Path, minutes: int) -> list[float]:
    """Resident MiB at each full minute of the run, which ends by Ctrl-C and must leave its output."""
    command = [
        sys.executable,
        "-m",
        "malle_rt",
        "transcode",
        str(playlist),
        str(out),
        "--preset",
        "ultrafast",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    begin, sizes = time.monotonic(), []
    try:
        for minute in range(1, minutes + 1):
            time.sleep(max(0.0, begin + 60 * minute - time.monotonic()))
            if process.poll() is not None:
                raise SystemExit(
                    f"the run ended by itself after {minute} minutes, exit code {process.returncode}"
                )
            look = vital_signs(process.pid)
            sizes.append(look.mebibytes)
            print(f"minute {minute}: {look}", flush=True)
        process.send_signal(signal.SIGINT)
        report, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    print(report.strip())
    if process.returncode != 130 or not out.exists():
        raise SystemExit(f"the run did not end well: exit code {process.returncode}")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
