"""What does a killed run leave? Kill transcodes at random moments, and play what is there.

    python tools/kill_runs.py --kills 60 --seed 1
    python tools/kill_runs.py --kills 60 --resume 2 [--small-disk FOLDER]

Each run is ended by SIGINT, SIGTERM, SIGHUP or SIGKILL. Nothing may ever stand under the output's name; what stands
under the partial name must play, or be a stub in which no frame was yet (SIGKILL only). The next run of the same
command must clear it. With ``--resume JOBS``, runs in segments are killed again and again until one ends: each goes on
from no less than the one before it had done, and the frames are those of the source. FOLDER is an empty one on a file
system of its own, such as a tmpfs of 100 MB: there every fifth run meets a disk that is full. Exit code 1 if one does
not. Not for Windows.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
from fuzz_media import frames_of, write_clip

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
FRAMES = 3000  # more than a run denoises before it is killed
_LONGEST = 10.0  # seconds a run may take to end; 2 on a machine that has nothing else to do
_LONGEST_OF_MANY = 120.0  # with processes of its own, on a machine that is very busy
_STUB = 100_000  # bytes: a header, and what is held back until the first second is complete


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--latest", type=float, default=4.0, help="seconds after which a run is killed at last (4)"
    )
    parser.add_argument("--resume", type=int, metavar="JOBS", help="kill runs in segments, so many at once")
    parser.add_argument(
        "--small-disk", type=Path, metavar="FOLDER", help="where the disk is full now and then"
    )
    options = parser.parse_args()
    if options.resume:
        failed = kill_resumed(
            options.kills, options.seed, options.latest, options.resume, place=options.small_disk
        )
    else:
        failed = kill_runs(options.kills, options.seed, options.latest)
    print(f"{options.kills} kills, seed {options.seed}: {failed} left what they should not")
    return int(failed > 0)


def kill_runs(kills: int, seed: int, latest: float, frames_in: int = FRAMES) -> int:
    """Kill so many runs; how many left what they should not."""
    chance = random.Random(seed)
    failed, playing = 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_clip(folder / "long.mkv", "libx264", frames_in)
        for number in range(kills):
            output = folder / f"out{('.mp4', '.mkv', '.mov')[number % 3]}"
            sent = SIGNALS[number % len(SIGNALS)]
            after = chance.uniform(0.1, latest)
            problem, frames = attempt(clip, output, sent, after)
            playing += frames > 0
            if problem:
                failed += 1
                print(f"{number}: {sent.name} after {after:.2f} s, {output.suffix}: {problem}", flush=True)
        problems = [sweep(clip, folder / f"out{suffix}") for suffix in (".mp4", ".mkv", ".mov")]
        for problem in filter(None, problems):
            failed += 1
            print(problem)
    print(f"{playing} of {kills} left a partial file that plays, the others nothing")
    return failed


def kill_resumed(
    kills: int, seed: int, latest: float, jobs: int, frames_in: int = FRAMES, place: Path | None = None
) -> int:
    """End runs in segments so many times; how many left what they should not."""
    chance = random.Random(seed)
    failed = done = ended = full = most_lost = 0
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=place) as out:
        clip = write_clip(Path(name) / "long.mkv", "libx264", frames_in)
        wanted = _pictures(clip)
        output = Path(out) / "out.mkv"
        folder = output.with_name("out.mkv.segments")
        command = [*_command(clip, output), "--codec", "ffv1", "--resume", "--jobs", str(jobs), "-q"]
        before = 0
        while done < kills or folder.exists():  # the last job is left to its end
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            ballast = None
            after = chance.uniform(0.1, latest) if done < kills else None
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                if place is not None and done % 5 == 4:
                    ballast = _fill(Path(out) / "ballast")
                    full += 1
                else:
                    process.send_signal(SIGNALS[done % len(SIGNALS)])
                done += 1
            try:
                _, errors = process.communicate(timeout=None if after is None else _LONGEST_OF_MANY)
            finally:
                if ballast is not None:
                    ballast.unlink()
            segments = len(list(folder.glob("*.segment")))
            if process.returncode == 0:
                ended += 1
                left = sorted(path.name for path in Path(out).iterdir())
                wrong = left != ["out.mkv"] or _pictures(output) != wanted
                failed += wrong
                if wrong:
                    print(f"after {done} kills: {left}, or other pictures", flush=True)
                output.unlink()
                segments = 0
            elif ("Traceback" in errors and "KeyboardInterrupt" not in errors) or (
                ballast is not None and "error: " not in errors
            ):
                failed += 1
                print(f"after {done} kills: {errors[-300:]}", flush=True)
            elif segments < before and not output.exists():
                failed += 1
                most_lost = max(most_lost, before - segments)
                print(f"after {done} kills: {before} segments have become {segments}", flush=True)
            before = segments
    print(
        f"{ended} of the jobs came to their end; {full} met a full disk; finished segments lost: {most_lost}"
    )
    return failed


def _fill(path: Path) -> Path:
    """Take all room that a file system has."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    return path


def _pictures(path: Path) -> list[tuple[Fraction, int]]:
    """Instant and checksum of each."""
    with av.open(str(path)) as container:
        return [
            (picture.pts * Fraction(picture.time_base), zlib.crc32(picture.to_ndarray().tobytes()))
            for picture in container.decode(video=0)
        ]


def attempt(clip: Path, output: Path, sent: signal.Signals, after: float) -> tuple[str | None, int]:
    """Start a run, kill it; what is wrong with what it left (None: nothing), and the frames in it."""
    process = subprocess.Popen(
        [*_command(clip, output), "--encoder-option", "threads=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after)
    process.send_signal(sent)
    try:
        _, errors = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"still running {_LONGEST:.0f} s after the signal", 0
    if process.returncode == 0:
        output.unlink()
        return None, 0  # it was faster
    partial = output.with_name(f"{output.stem}.partial{output.suffix}")
    if output.exists():  # it was killed between the last rename and its end, or something is wrong
        found, whole = frames_of(output), frames_of(clip)
        output.unlink()
        return None if found == whole else f"{found} of {whole} frames under the final name", 0
    if "Traceback" in errors and "malle_rt" in errors and after > 1:
        return f"a traceback: {errors[-300:]}", 0
    if not partial.exists():
        return None, 0
    frames = frames_of(partial)
    if not frames and not (sent == signal.SIGKILL and partial.stat().st_size < _STUB):
        return f"what is left does not play ({partial.stat().st_size} bytes): {errors[-200:]}", 0
    if not frames:
        partial.unlink()  # else it would be taken for what the next run leaves
    return None, frames


def sweep(clip: Path, output: Path) -> str | None:
    """Run to the end once; what is still there beside the result."""
    subprocess.run(
        [*_command(clip, output), "--duration", "0.2", "--overwrite"], capture_output=True, check=False
    )
    left = sorted(path.name for path in output.parent.glob(f"{output.stem}*{output.suffix}"))
    return None if left == [output.name] else f"after the next run there is {left}"


def _command(clip: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "malle_rt", "transcode", str(clip), str(output), "--backend", "none"]


if __name__ == "__main__":
    sys.exit(main())
