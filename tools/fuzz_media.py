"""Does any broken file end badly? Transcode seeded mutants of clips that are made here, and look at how each run ends.

    python tools/fuzz_media.py --mutants 200 --seed 1

Every run must end within the time limit with exit code 0, 1, 2 or 3, tell an error in one line without a traceback,
leave the input as it was, and leave either a file that plays under the output's name or nothing. Exit code 1 if one
does not; the mutant is kept in --keep then.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av

from malle_rt.media.planes import new_video_frame
from malle_rt.media.synthetic import SyntheticSource

# Container and codec of the clips that are mutated.
KINDS = {
    ".mp4": "libx264",
    ".mkv": "libx264",
    ".ts": "mpeg2video",
    ".avi": "mjpeg",
    ".nut": "ffv1",
    ".webm": "libvpx",
}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a run may take (60)")
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz_failures"), help="folder for mutants that failed"
    )
    options = parser.parse_args()
    failed = fuzz(options.mutants, options.seed, options.limit, options.keep)
    print(f"{options.mutants} mutants, seed {options.seed}: {failed} ended badly")
    return int(failed > 0)


def fuzz(mutants: int, seed: int, limit: float, keep: Path | None) -> int:
    """Try so many mutants; how many ended badly. Each is printed."""
    failed = 0
    codes: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [write_clip(folder / f"clip{suffix}", codec) for suffix, codec in KINDS.items()]
        for number in range(mutants):
            clip = clips[number % len(clips)]
            mutant = folder / f"mutant{number}{clip.suffix}"
            mutant.write_bytes(mutate(clip.read_bytes(), random.Random(f"{seed} {number}")))
            code, problem = attempt(mutant, folder / f"out{number}.mkv", limit)
            codes[code] = codes.get(code, 0) + 1
            if problem:
                failed += 1
                print(f"{mutant.name} (seed {seed}): {problem}", flush=True)
                if keep is not None:
                    keep.mkdir(exist_ok=True)
                    shutil.copy(mutant, keep)
            mutant.unlink()
    print("exit codes:", ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    return failed


def write_clip(path: Path, codec: str, frames: int = 20) -> Path:
    """A small clip with tone, in the container that its name means."""
    rate = Fraction(25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "10", "threads": "1"})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index, frame in enumerate(SyntheticSource(frames, (64, 48), rate, noise_sigma=8)):
            picture = new_video_frame(frame.planes, "yuv420p")
            picture = picture.reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three wounds: flipped bits, garbage, zeros, a cut, a piece lost or doubled, a number made huge."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        size = max(1, len(changed))
        # Headers are a small part of a file and the most delicate one.
        place = chance.randrange(min(size, 600) if chance.random() < 0.4 else size)
        length = min(chance.choice((1, 4, 64, 1000)), size - place)
        kind = chance.choice(("flip", "garbage", "zeros", "cut", "lose", "double", "huge"))
        if kind == "flip":
            for _ in range(chance.randint(1, 16)):
                changed[chance.randrange(place, size)] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del changed[max(1, place) :]
        elif kind == "lose":
            del changed[place : place + length]
        elif kind == "double":
            changed[place:place] = changed[place : place + length]
        else:
            filling = {"garbage": chance.randbytes(length), "zeros": bytes(length), "huge": b"\xff" * length}
            changed[place : place + length] = filling[kind]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


def attempt(mutant: Path, output: Path, limit: float) -> tuple[int, str | None]:
    """Transcode one mutant; the exit code, and what is wrong with how it ended (None: nothing)."""
    before = mutant.read_bytes()
    command = [sys.executable, "-m", "malle_rt", "transcode", str(mutant), str(output)]
    command += ["--backend", "none", "--preset", "ultrafast"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"still running after {limit:.0f} s"
    problem = _problem(done, output)
    if mutant.read_bytes() != before:
        problem = "the input was changed"
    output.unlink(missing_ok=True)
    return done.returncode, problem


def _problem(done: subprocess.CompletedProcess[str], output: Path) -> str | None:
    if done.returncode not in (0, 1, 2, 3):
        return f"exit code {done.returncode}: {done.stderr[-300:]}"
    if "Traceback" in done.stderr or "unexpected" in done.stderr:
        return f"not foreseen: {done.stderr[-600:]}"
    errors = [line for line in done.stderr.splitlines() if line.startswith("malle-rt: error: ")]
    if done.returncode in (1, 2) and (len(errors) != 1 or done.stderr.rstrip().splitlines()[-1] != errors[0]):
        return f"not one line: {done.stderr[-600:]}"
    left = [path.name for path in output.parent.glob(f"{output.stem}*")]
    if done.returncode in (1, 2):
        return f"left behind: {left}" if left else None
    if left != [output.name]:
        return f"exit code {done.returncode}, but there is {left}"
    return None if frames_of(output) else "the output does not play"


def frames_of(path: Path) -> int:
    """Pictures that can be decoded; 0 where it does not play."""
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.error.FFmpegError, OSError, IndexError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
