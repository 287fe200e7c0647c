"""What a frame's result depends on, fixed by a first pass: its time, where shots begin, how strong the noise is.

The first pass decodes the video once. So it does not matter who makes a segment, when, and after what.

The folder of a job, OUT.segments: ``job.json`` says what it is made from and with; of each segment, ``N.plan`` is what
the first pass found, and ``N.segment`` its encoded picture; ``end.json`` closes the first pass. Every file appears
whole or not at all.
"""

from __future__ import annotations

import json
import logging
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import BackendInfo, FrameShape, Planes420
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.denoiser import FrameDenoiser, Seen
from malle_rt.errors import SinkError, SourceError
from malle_rt.frame import Frame
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_source import FileSource
from malle_rt.media.timeline import has_joins

__all__ = [
    "DAMAGED",
    "FirstPass",
    "Folder",
    "FrameDiffers",
    "FrameReader",
    "Instants",
    "Plan",
    "SegmentWork",
    "header_of",
]

log = logging.getLogger(__name__)

LONGEST = 240  # frames of a segment: a multiple of what a network for photographs measures the noise after
SHORTEST = 96  # frames of one before a cut
_LEVELS = len(fields(Noise))
_SKIPPED = 400  # frames that are rather decoded and left than looked for anew
_LEAD = Fraction(1)  # seconds before the first wanted frame that a file is looked into
# What reading a plan or a segment fails with after a power failure.
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class SegmentWork:
    """What all segments of a video are made from and with; plain data, that another process can be given.

    Attributes:
        source, output: paths.
        folder: of the segments.
        config: how to denoise; its ``threads`` are those of one job.
        encode: how to encode, its threads included.
        start, duration, deinterlace: see ``Transcode``.
        longest, shortest: frames of a segment, and of one that a cut may end.
    """

    source: str
    output: str
    folder: str
    config: DenoiseConfig
    encode: EncodeConfig
    start: Fraction | None = None
    duration: Fraction | None = None
    deinterlace: Deinterlace | None = None
    longest: int = LONGEST
    shortest: int = SHORTEST

    def open(
        self, start: Fraction | None = None, *, strict: bool = False, sequence: bool = True
    ) -> FileSource:
        """The source from ``start`` seconds of the video on, instead of from its own start; to its own end."""
        begin = self.start if sequence else start
        duration = self.duration
        if duration is not None and not sequence:
            duration = (self.start or Fraction(0)) + duration - (start or Fraction(0))
        return FileSource(
            self.source, start=begin, duration=duration, deinterlace=self.deinterlace, strict=strict
        )


@dataclass(frozen=True)
class Plan:
    """What the first pass found of the frames of one segment.

    Attributes:
        begin: number of its first frame.
        pts: of each frame, in the source's time_base, as the output has them.
        sums: a checksum of each frame's planes.
        seen: what each frame told.
        state: to go on behind it.
    """

    begin: int
    pts: list[int]
    sums: list[int]
    seen: list[tuple[Seen, ...]]
    state: dict[str, Any]

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def at_cut(self) -> bool:
        """Whether a shot begins with it, before which nothing counts."""
        return self.begin == 0 or (bool(self.seen[0]) and all(each.cut for each in self.seen[0]))

    def save(self, path: Path) -> None:
        """Write it."""
        arrays: list[Numbers] = []

        def put_aside(value: Any) -> Any:
            arrays.append(np.asarray(value))
            return {"array": len(arrays) - 1}

        state = json.dumps(self.state, default=put_aside).encode()
        most = max((len(each) for each in self.seen), default=0)  # 2 where there are fields
        noise = np.full((len(self.seen), most, _LEVELS), np.nan)
        cut = np.full((len(self.seen), most), 2, np.uint8)  # 2: there is no such field
        for number, seen in enumerate(self.seen):
            for field, each in enumerate(seen):
                if each.noise is not None:
                    noise[number, field] = astuple(replace(each.noise, as_white=each.noise.sigma))
                cut[number, field] = each.cut
        named = {f"array{number}": array for number, array in enumerate(arrays)}

        def write(file: IO[bytes]) -> None:
            np.savez(
                file,
                begin=np.int64(self.begin),
                pts=np.array(self.pts, np.int64),
                sums=np.array(self.sums, np.uint32),
                noise=noise,
                cut=cut,
                state=np.frombuffer(state, np.uint8),
                **named,  # type: ignore[arg-type]
            )

        _write(path, write)

    @staticmethod
    def load(path: Path) -> Plan:
        """Read it. Raises one of ``DAMAGED`` where it is not whole."""
        with np.load(path, allow_pickle=False) as found:

            def put_back(value: dict[str, Any]) -> Any:
                return found[f"array{value['array']}"] if set(value) == {"array"} else value

            seen = [
                tuple(
                    Seen(bool(cut), None if math.isnan(levels[0]) else Noise(*levels.tolist()))
                    for cut, levels in zip(cuts, noise, strict=True)
                    if cut != 2
                )
                for cuts, noise in zip(found["cut"], found["noise"], strict=True)
            ]
            return Plan(
                int(found["begin"]),
                [int(each) for each in found["pts"]],
                [int(each) for each in found["sums"]],
                seen,
                json.loads(found["state"].tobytes(), object_hook=put_back),
            )


class Folder:
    """The files of a job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job, self.end, self.lock = path / "job.json", path / "end.json", path / "lock"

    def plan(self, number: int) -> Path:
        """Where a segment's plan is."""
        return self.path / f"{number:06}.plan"

    def segment(self, number: int) -> Path:
        """Where its picture is."""
        return self.path / f"{number:06}.segment"

    def plans(self) -> int:
        """How many there are from the first on."""
        number = 0
        while self.plan(number).exists():
            number += 1
        return number

    def read(self, path: Path) -> Any:
        """Of a JSON file; None where there is none."""
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            return None

    def write(self, path: Path, found: Any) -> None:
        """Make a JSON file, whole or not at all."""
        _write(path, lambda file: file.write(json.dumps(found, default=str).encode()))

    def sweep(self) -> None:
        """Remove what processes left that were ended while they wrote."""
        for path in self.path.glob("*.*.*"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what belongs to a job; the folder stays where something else is in it."""
        for pattern in ("*.plan", "*.segment", "*.plan.*", "*.segment.*", "*.json", "*.json.*", "lock"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


class Instants(Sequence[Fraction]):
    """Of all frames before a segment, in seconds; read only where somebody asks."""

    def __init__(self, folder: Folder, number: int, unit: Fraction) -> None:
        self._folder, self._number, self._unit = folder, number, unit

    def __iter__(self) -> Iterator[Fraction]:
        for number in range(self._number):
            for pts in Plan.load(self._folder.plan(number)).pts:
                yield pts * self._unit

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


class FrameDiffers(Exception):  # it is caught in this room, and no error of the user's
    """A frame is not the one that the first pass saw."""


class FrameReader:
    """Frames of a video by their numbers, those that the first pass saw.

    Decoders begun in the middle of a file do not always give what they give when they come from its beginning (open
    GOPs, refresh without key pictures, indexes that lie), so each frame is compared; who finds another one reads on
    from the beginning.
    """

    def __init__(self, work: SegmentWork, header: Mapping[str, Any]) -> None:
        """Nothing is opened yet; ``header`` is what the folder says of the source."""
        self._work, self._header = work, header
        self._unit = Fraction(header["time_base"])
        self.source: FileSource | None = None
        self._items: Iterator[Frame] = iter(())
        self._next = 0
        self.from_beginning = not header["seeks"]
        self._told = False

    def frames(self, first: int, pts: Sequence[int], sums: Sequence[int]) -> Iterator[Frame]:
        """Frames from number ``first`` on, to the end; as many as ``pts`` has are compared.

        Raises:
            FrameDiffers: once, where looking for them in the file led to others.
            SourceError: the file cannot be read, or has changed.
        """
        self._go_to(first, pts)
        for number, frame in enumerate(self._items):
            self._next = first + number + 1
            if number < len(pts):
                self._compare(frame, pts[number], sums[number])
            yield frame
        if self._next - first < len(pts):
            self._differs("it ends earlier than when it was read first")

    def distrust(self) -> None:
        """Read from the beginning from now on."""
        self.from_beginning = True
        self.close()

    def interrupt(self) -> None:
        """See ``Source``."""
        if self.source is not None:
            self.source.interrupt()

    def close(self) -> None:
        """Release the file. May be called twice."""
        source, self.source = self.source, None
        if source is not None:
            self._items = iter(())
            source.close()

    def _go_to(self, first: int, pts: Sequence[int]) -> None:
        gap = first - self._next
        looked_for = not self.from_beginning and first > 0
        if self.source is None or gap < 0 or (gap > _SKIPPED and looked_for):
            self.close()
            try:
                self._open(pts[0] if looked_for else None)
            except SourceError as exc:
                if looked_for:
                    raise FrameDiffers from exc
                raise
            gap = 0 if looked_for else first
        for _ in range(gap):
            if next(self._items, None) is None:
                self._differs("it ends earlier than when it was read first")
        self._next = first

    def _open(self, pts: int | None) -> None:
        if pts is None:
            self.source = self._work.open()
            self._items = self._on_the_clock(self.source, None)
            return
        instant = (pts + self._header["shift"]) * self._unit - Fraction(self._header["beginning"])
        self.source = self._work.open(max(Fraction(0), instant - _LEAD), sequence=False)
        self._items = self._on_the_clock(self.source, pts)

    def _on_the_clock(self, source: FileSource, begin: int | None) -> Iterator[Frame]:
        """Frames with the times of the output, from ``begin`` on."""
        shift = round(source.template.shift / self._unit) - self._header["shift"]
        for item in source:
            if not isinstance(item, Frame):
                continue
            frame = replace(item, pts=item.pts + shift) if shift else item
            if begin is None or frame.pts >= begin:
                yield frame

    def _compare(self, frame: Frame, pts: int, total: int) -> None:
        if frame.pts != pts:
            self._differs(f"a frame at {float(pts * self._unit):.3f} s is not there any more")
        if checksum(frame) == total:
            return
        if not self.from_beginning:
            raise FrameDiffers
        if not self._told:  # damaged data is made up for in another way each time
            self._told = True
            log.warning(
                "the picture at %.3f s is decoded in another way than before", float(pts * self._unit)
            )

    def _differs(self, what: str) -> None:
        if not self.from_beginning:
            raise FrameDiffers
        raise SourceError(
            f"{self._work.source}: {what}. Has it changed? Delete {self._work.folder}, and run again"
        )


def checksum(frame: Frame) -> int:
    """Of all samples."""
    total = 0
    for plane in frame.planes:
        total = zlib.crc32(np.ascontiguousarray(plane).data, total)
    return total


class _IdentityBackend:
    """A backend that gives every picture back: a denoiser on it looks at frames and does no more."""

    info = BackendInfo("none", "none", "fp32", "nothing", "")
    ahead = 0

    def prepare(self, shape: FrameShape) -> _IdentityBackend:
        return self

    def start(
        self, planes: Planes420, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420], object]:
        return lambda: planes, self

    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        return planes, self

    def close(self) -> None:
        """Nothing is held."""


class FirstPass:
    """Decodes the video once and writes the plans, from where an earlier run was ended."""

    def __init__(
        self,
        work: SegmentWork,
        header: Mapping[str, Any],
        *,
        looks: bool,
        watches: bool,
        strict: bool = False,
    ) -> None:
        """Open the video where the last plan ends.

        Args:
            work: what it is for.
            header: what the folder says of the source.
            looks: whether what is denoised depends on what frames tell.
            watches: whether it depends on their noise, whatever the strength is.
            strict: see ``Transcode``.
        """
        self._work, self._folder = work, Folder(Path(work.folder))
        self._header, self._strict = header, strict
        config = replace(work.config, chroma_strength=None)
        self._watcher = FrameDenoiser(_IdentityBackend(), config, watch=watches) if looks else None
        self._reader = FrameReader(work, header)
        self._counts = {"corrupt": 0, "damaged": 0, "repaired": 0}

    def run(self, on_plan: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        """Write plans to the end, or until ``stopped``; ``on_plan`` is told each number and its frames."""
        try:
            try:
                self._run(on_plan, stopped)
            except FrameDiffers:
                self._reader.distrust()
                self._run(on_plan, stopped)
        finally:
            self._reader.close()

    def _run(self, on_plan: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        number = self._folder.plans()
        last = Plan.load(self._folder.plan(number - 1)) if number else None
        first, frames = self._begin(last)
        pts: list[int] = []
        sums: list[int] = []
        seen: list[tuple[Seen, ...]] = []
        for frame in frames:
            if stopped():
                return
            state = self._state() if len(pts) >= self._work.shortest else {}
            told: tuple[Seen, ...] = ()
            if self._watcher is not None:
                self._watcher.start(frame)
                told = self._watcher.seen
            cut = bool(told) and all(each.cut for each in told)
            if len(pts) >= self._work.longest or (cut and len(pts) >= self._work.shortest):
                Plan(first, pts, sums, seen, state).save(self._folder.plan(number))
                on_plan(number, len(pts))
                number, first = number + 1, first + len(pts)
                pts, sums, seen = [], [], []
            pts.append(frame.pts)
            sums.append(checksum(frame))
            seen.append(told)
        if pts:
            Plan(first, pts, sums, seen, self._state()).save(self._folder.plan(number))
            on_plan(number, len(pts))
        source = self._reader.source
        assert source is not None
        end = {"frames": first + len(pts), "segments": number + bool(pts), "losses": source.losses}
        counts = {"corrupt": source.corrupt_packets, "repaired": source.repaired_timestamps}
        self._folder.write(self._folder.end, end | counts)

    def _begin(self, last: Plan | None) -> tuple[int, Iterator[Frame]]:
        """The number of the first frame that is not known yet, and the frames from it on."""
        if last is None:
            return 0, self._reader.frames(0, (), ())
        first = last.begin + len(last)
        frames = self._reader.frames(first - 1, last.pts[-1:], last.sums[-1:])
        before = next(frames)
        if self._watcher is not None:
            self._watcher.restore(last.state["watcher"], before)
        if self._reader.source is not None and not self._reader.from_beginning:
            self._reader.source.already = last.state["corrupt"], last.state["damaged"]
        return first, frames

    def _state(self) -> dict[str, Any]:
        source = self._reader.source
        counts = {"corrupt": source.corrupt_packets, "damaged": source.damaged_frames} if source else {}
        return {**counts, "watcher": self._watcher.saved() if self._watcher is not None else None}


def header_of(source: FileSource) -> dict[str, Any]:
    """What reading by numbers needs to know of a source, opened at the beginning of the part that is wanted."""
    template = source.template
    assert template.container is not None
    return {
        "time_base": str(template.info.time_base),
        "beginning": str(source.beginning),
        "shift": round(template.shift / template.info.time_base),
        "seeks": not has_joins(template.container.format),
    }


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise SinkError(f"{path}: {exc.strerror}. The same command then goes on") from exc
