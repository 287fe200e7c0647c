"""Are videos made in segments those of one run? Seams of real clips, and files of every kind.

    python tools/segment_proof.py seams CLIP... [--sigma 12] [--longest 24]
    python tools/segment_proof.py files FILE...
    python tools/segment_proof.py long OUT_FOLDER [--hours 2]

``seams``: each clip gets white noise, is denoised in one run and in segments, and the luma of both is compared with
that of the clip: the greatest loss of a frame in dB, around seams and anywhere, and the mean. ``files``: each is passed
through in one run and in segments, without loss; frames, their instants and every packet of the other tracks must be
the same. A file that one run refuses must be refused in segments, too. ``long``: a synthetic video of 64x48, passed
through in segments; memory and disk are looked at all along. Exit code 1 where something is not as it has to be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.config import DenoiseConfig
from malle_rt.errors import MalleError
from malle_rt.media.conversion import planes_of
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.opening import open_file
from malle_rt.segments.job import SegmentedTranscode, work_folder

WORST, MEAN = 0.1, 0.02  # dB that a frame may lose, and all of them
AROUND = 24  # frames on both sides of a seam
LOSSLESS = EncodeConfig(codec="ffv1")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("seams", "files", "long"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--sigma", type=float, default=12.0)
    parser.add_argument("--longest", type=int, default=24, help="frames of a segment (24)")
    parser.add_argument("--frames", type=int, default=96, help="frames of a clip at most (96)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--hours", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.what == "long":
            return int(not long(options.paths[0], options.hours))
        failed = 0
        for path in options.paths:
            check = seams if options.what == "seams" else same
            failed += not check(path, Path(name), options)
            for left in Path(name).iterdir():
                left.unlink()
    print(f"{len(options.paths)} files, {failed} not as they have to be")
    return int(failed > 0)


def seams(clip: Path, place: Path, options: argparse.Namespace) -> bool:
    """How much frames lose in segments."""
    noisy, clean = place / "noisy.nut", []
    chance = np.random.default_rng(1)
    with av.open(str(clip)) as source, av.open(str(noisy), "w") as out:
        video = source.streams.video[0]
        rate = video.average_rate or Fraction(25)
        stream: Any = out.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        for number, picture in enumerate(source.decode(video)):
            if number == options.frames:
                break
            picture = picture.reformat(format="yuv420p")
            planes = [plane.copy() for plane in planes_of(picture)]
            clean.append(planes[0].astype(np.float32))
            for plane, sigma in zip(
                planes, (options.sigma, options.sigma / 2, options.sigma / 2), strict=True
            ):
                plane[:] = (
                    np.clip(plane + chance.normal(0, sigma, plane.shape), 0, 255).round().astype(np.uint8)
                )
            frame = av.VideoFrame.from_ndarray(
                np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, picture.width), "yuv420p"
            )
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    wanted = TranscodeOptions(config=DenoiseConfig(), encode=LOSSLESS)
    with Transcode(noisy, place / "whole.nut", wanted) as job:
        job.run()
    with SegmentedTranscode(
        noisy, place / "parts.nut", wanted, jobs=options.jobs, longest=options.longest, shortest=12
    ) as parts:
        parts.run()
        lengths = [parts._lengths[number] for number in sorted(parts._lengths)]
    lost = _quality(place / "whole.nut", clean) - _quality(place / "parts.nut", clean)
    places = np.cumsum(lengths)[:-1]
    near = np.array([any(abs(n - seam) <= AROUND for seam in places) for n in range(len(lost))])
    worst = lost[near].max() if near.any() else 0.0
    print(
        f"{clip.name}: {len(lost)} frames, {len(places)} seams; worst frame {worst:+.4f} dB at a seam, "
        f"{lost.max():+.4f} anywhere; mean {lost.mean():+.5f} dB",
        flush=True,
    )
    return bool(lost.max() <= WORST and lost.mean() <= MEAN)


def _quality(path: Path, clean: list[Any]) -> Any:
    with av.open(str(path)) as container:
        lumas = [planes_of(picture)[0].astype(np.float32) for picture in container.decode(video=0)]
    errors = [np.mean((luma - other) ** 2) for luma, other in zip(lumas, clean, strict=True)]
    return 10 * np.log10(255**2 / np.maximum(errors, 1e-9))


def same(path: Path, place: Path, options: argparse.Namespace) -> bool:
    """Whether a file in segments is what one run makes of it."""
    wanted = TranscodeOptions(config=DenoiseConfig(backend="none"), encode=LOSSLESS)
    outcomes: list[dict[str, Any] | str] = []
    for name in ("whole.mkv", "parts.mkv"):
        try:
            job: Any = (
                Transcode(path, place / name, wanted)
                if name == "whole.mkv"
                else SegmentedTranscode(
                    path, place / name, wanted, jobs=options.jobs, longest=options.longest, shortest=12
                )
            )
            with job:
                job.run()
            outcomes.append(_contents(place / name))
        except MalleError as exc:
            outcomes.append(f"{type(exc).__name__}: {exc}"[:150])
    whole, parts = outcomes
    if isinstance(whole, str):
        good = isinstance(parts, str)
        print(
            f"{path.name}: {'refused both times' if good else 'one run alone refuses it'}: {whole}",
            flush=True,
        )
        return good
    if isinstance(parts, str):
        print(f"{path.name}: refused in segments alone: {parts}", flush=True)
        return False
    wrong = [name for name in whole if whole[name] != parts[name]]
    count, packets = len(whole["frames and their instants"]), len(whole["packets of other tracks"])
    verdict = f"{', '.join(wrong)} differ" if wrong else "the same"
    print(f"{path.name}: {count} frames, {packets} other packets; {verdict}", flush=True)
    return not wrong


def _contents(path: Path) -> dict[str, Any]:
    with open_file(path) as container:
        frames, other = [], []
        for packet in container.demux():
            if packet.stream.type == "video" and not packet.stream.disposition & 0x400:
                frames += [
                    (picture.pts * picture.time_base, [hash(plane.tobytes()) for plane in planes_of(picture)])
                    for picture in packet.decode()
                ]
            elif packet.size:
                other.append((packet.stream.index, packet.pts, packet.dts, hash(bytes(packet))))
    return {
        "frames and their instants": [when for when, _ in frames],
        "pictures": [picture for _, picture in frames],
        "packets of other tracks": sorted(other, key=lambda each: (each[0], each[1] or 0, each[2] or 0)),
    }


def long(folder: Path, hours: float) -> bool:
    """A long video: memory and disk."""
    folder.mkdir(parents=True, exist_ok=True)
    source, output = folder / "long.mkv", folder / "clean.mkv"
    if not source.exists():
        _write_long(source, round(hours * 3600 * 25))
    output.unlink(missing_ok=True)
    found: list[tuple[int, float, int]] = []  # frames, MiB of memory, bytes in the folder
    done = threading.Event()
    wanted = TranscodeOptions(config=DenoiseConfig(backend="none"), encode=EncodeConfig())
    with SegmentedTranscode(source, output, wanted, jobs=1) as job:

        def look() -> None:
            while not done.wait(2):
                used = sum(each.stat().st_size for each in work_folder(output).glob("*") if each.is_file())
                found.append((job._progress().frames_out, _memory(), used))

        watcher = threading.Thread(target=look)
        watcher.start()
        begin = time.monotonic()
        report = job.run()
        done.set()
        watcher.join()
    tenth = max(1, len(found) // 10)
    early = max(memory for _, memory, _ in found[tenth : 2 * tenth])
    late = max(memory for _, memory, _ in found[-tenth:])
    most = max(used for _, _, used in found)
    print(
        f"{report.pipeline.frames_out} frames in {time.monotonic() - begin:.0f} s; memory {early:.0f} MiB in the "
        f"second tenth, {late:.0f} MiB in the last; segments took at most {most / 2**20:.1f} MiB, the output has "
        f"{output.stat().st_size / 2**20:.1f} MiB",
        flush=True,
    )
    return late < early * 1.1 + 20


def _write_long(path: Path, frames: int) -> None:
    """A small moving picture with noise, of a few frames again and again."""
    chance = np.random.default_rng(1)
    pictures = [chance.integers(90, 120, (72, 64), dtype=np.uint8) for _ in range(50)]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[number % 50], "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def _memory() -> float:
    """MiB that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
