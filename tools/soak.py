"""Does a long run last? Watch `malle-rt transcode` or `malle-rt webcam` for minutes.

    python tools/soak.py transcode docs/noisy.mp4 --minutes 10
    python tools/soak.py webcam --minutes 30
    python tools/soak.py webcam --minutes 5 --restarts 20

Prints memory, threads and open files every minute, and fails if memory grew by more than 5 % and 8 MiB between the
first minute and the last, or the run did not end well on Ctrl-C. ``transcode`` plays a clip over and over. ``webcam``
records without a window, from a camera that may go away again and again; it also fails if it does not end within 2
seconds, if the recording does not play to its end, if the counts do not add up, or if a restart of the camera was not
survived. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import av
from livebench.camera import Camera
from yardstick.process import has_grown, vital_signs

_AWAY = 4.0  # seconds a camera is gone: longer than it takes to be noticed
_ENDING = 2.0  # seconds a live session may take to end
_MALLE = (sys.executable, "-m", "malle_rt")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    files, live = kinds.add_parser("transcode"), kinds.add_parser("webcam")
    files.add_argument("clip", type=Path)
    files.add_argument("--minutes", type=float, default=10.0)
    live.add_argument("--minutes", type=float, default=30.0)
    live.add_argument("--restarts", type=int, default=0)
    live.add_argument("--size", default="640x360", metavar="WxH")
    live.add_argument("--fps", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = transcode if options.kind == "transcode" else webcam
        problems = run(Path(folder), options)
    print("\n".join(problems) if problems else "passed")
    return int(bool(problems))


def transcode(folder: Path, options: argparse.Namespace) -> list[str]:
    """What is wrong with a transcode of a clip that is played over and over, through a pipe."""
    out = folder / "out.mkv"
    words = ("transcode", "-", str(out), "--preset", "ultrafast", "--keep-partial")
    _, _, problems = watch(words, options.minutes * 60, feed=lambda pipe: play(options.clip, pipe))
    return [*problems, *([] if out.exists() else ["there is no output"])]


def play(clip: Path, pipe: IO[bytes]) -> None:
    """Write the picture of a clip into a pipe as Matroska, again and again until nobody reads it any more."""
    with suppress(OSError, av.error.FFmpegError), av.open(str(clip)) as source:
        video = source.streams.video[0]
        assert video.time_base is not None and video.average_rate is not None
        packets = [packet for packet in source.demux(video) if packet.size and packet.dts is not None]
        length = round(len(packets) / video.average_rate / video.time_base)
        with pipe, av.open(pipe, "w", format="matroska") as sink:
            stream = sink.add_stream_from_template(video)
            for number in itertools.count():
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.stream, again.time_base = stream, video.time_base
                    again.is_keyframe = packet.is_keyframe
                    again.pts = (packet.pts or 0) + number * length
                    again.dts = (packet.dts or 0) + number * length
                    sink.mux(again)


def webcam(folder: Path, options: argparse.Namespace) -> list[str]:
    """What is wrong with a session, and with what it reports of itself."""
    width, height = map(int, options.size.split("x"))
    seconds, restarts = options.minutes * 60, options.restarts
    # The last one early enough to be seen coming back.
    dues = [(seconds - 15) * (number + 0.5) / restarts for number in range(restarts)]
    with Camera((width, height), options.fps, 12.0) as camera:

        def restart() -> None:
            camera.kill()
            time.sleep(_AWAY)
            camera.start()

        words = ("webcam", "--device", camera.url, "--no-window", "--record", str(folder / "live.mkv"))
        report, took, problems = watch(words, seconds, [(due, restart) for due in dues])
        problems += [f"it took {took:.1f} s to end"] if took > _ENDING else []
        return [*problems, *_counts(report, restarts)]


def watch(
    words: Sequence[str],
    seconds: float,
    events: Sequence[tuple[float, Callable[[], None]]] = (),
    *,
    feed: Callable[[IO[bytes]], None] | None = None,
) -> tuple[str, float, list[str]]:
    """Run a command of ours for so long, then end it with Ctrl-C.

    Args:
        words: behind ``malle-rt``.
        seconds: until Ctrl-C.
        events: what happens meanwhile, each after so many seconds.
        feed: writes to its standard input, in a thread.

    Returns:
        What it printed, the seconds it took to end, and what was wrong.
    """
    looks: list[float] = []
    process = subprocess.Popen(
        [*_MALLE, *words], stdout=subprocess.PIPE, stdin=subprocess.PIPE if feed else None, bufsize=0
    )
    if feed is not None:
        threading.Thread(target=feed, args=(process.stdin,), daemon=True).start()

    def look() -> None:
        signs = vital_signs(process.pid)
        looks.append(signs.mebibytes)
        print(f"minute {len(looks)}: {signs}", flush=True)

    minutes = [(60.0 * minute, look) for minute in range(1, int(seconds // 60) + 1)]
    begin = time.monotonic()
    try:
        for due, event in (*sorted((*minutes, *events), key=lambda each: each[0]), (seconds, lambda: None)):
            time.sleep(max(0.0, begin + due - time.monotonic()))
            if process.poll() is not None:
                raise SystemExit(f"it ended by itself after {due:.0f} s, exit code {process.returncode}")
            event()
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        report = process.stdout.read().decode()
        process.wait(120)
    finally:
        process.kill()
    took = time.monotonic() - asked
    print(f"{report.strip()}\nended in {took:.2f} s")
    problems = []
    if len(looks) > 1 and has_grown(looks[0], looks[-1]):
        problems.append(f"memory grew from {looks[0]:.0f} to {looks[-1]:.0f} MiB")
    if process.returncode != 128 + signal.SIGINT:
        problems.append(f"exit code {process.returncode}, wanted {128 + signal.SIGINT}")
    return report, took, problems


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
