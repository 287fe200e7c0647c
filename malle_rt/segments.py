"""A long video in segments: made one by one or several at once, kept on the disk, and joined at the end.

A first pass decodes the video once and fixes what a frame's result depends on: its time, where shots begin, how strong
the noise is. So it does not matter who makes a segment, when, and after what. Before a segment the network runs over a
few frames whose results are thrown away; where a shot begins it needs none. Only the picture is split.

The folder of a job, OUT.segments: ``job.json`` says what it is made from and with; of each segment, ``N.plan`` is what
the first pass found, and ``N.segment`` its encoded picture; ``end.json`` closes the first pass. Every file appears
whole or not at all.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import numpy.typing as npt

from malle_rt import __version__, errors
from malle_rt.api import TranscodeReport, copy_times, open_denoiser, transcode_mark
from malle_rt.backends.base import BackendInfo, FrameShape, Planes420, usable_cpus
from malle_rt.child import module_command
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.denoiser import FrameDenoiser, Seen
from malle_rt.errors import ConfigError, PipelineError, SinkError, SourceError
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.encode_config import EncodeConfig, default_codec
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.opening import is_path, is_pipe, plain_location
from malle_rt.media.output_file import OutputFile, lock_file
from malle_rt.media.own_outputs import difference_of, source_digest
from malle_rt.media.segment_file import UNSPLIT, SegmentFile, SegmentSink, join_segments, open_encoder
from malle_rt.media.sequence_sink import are_pictures
from malle_rt.media.standard_output import is_standard_output
from malle_rt.media.template import Template
from malle_rt.media.timeline import has_joins
from malle_rt.memory import available_memory, require_memory
from malle_rt.models import model_digest
from malle_rt.photo.frames import FrameByFrame
from malle_rt.pipeline import Latency, Pipeline, Progress, Report
from malle_rt.protocols import Denoiser
from malle_rt.shown import shown_address

__all__ = ["SegmentWork", "SegmentWorker", "SegmentedTranscode", "work_folder"]

log = logging.getLogger(__name__)

LONGEST = 240  # frames of a segment: a multiple of what a network for photographs measures the noise after
SHORTEST = 96  # frames of one before a cut
WARM_UP = 24  # frames before a segment that the network runs over
_SKIPPED = 400  # frames that are rather decoded and left than looked for anew
_LEAD = Fraction(1)  # seconds before the first wanted frame that a file is looked into
_POLL = 0.05
_PROGRESS = 0.25
_SPARE = 32 << 20  # bytes that shall stay free on the disk
# Bits for a pixel before a segment has shown how many it takes: what x264 makes of a clean film is below it.
_EXPECTED = {"ffv1": 8.0, "rawvideo": 12.0, "prores_ks": 3.0, "prores": 3.0, "mjpeg": 2.0}
_BITS = 0.25
_FORMAT = 1  # of the folder
# What reading a plan or a segment fails with after a power failure.
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

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

    def to_json(self) -> str:
        """A line of text."""
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> SegmentWork:
        """Of such a line."""
        found = json.loads(text)
        for name in ("start", "duration"):
            found[name] = None if found[name] is None else Fraction(found[name])
        config, encode = DenoiseConfig(**found.pop("config")), EncodeConfig(**found.pop("encode"))
        return SegmentWork(config=config, encode=encode, **found)

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
        fields = max((len(each) for each in self.seen), default=0)
        sigma = np.full((len(self.seen), fields), np.nan)
        cut = np.full((len(self.seen), fields), 2, np.uint8)  # 2: there is no such field
        for number, seen in enumerate(self.seen):
            for field, each in enumerate(seen):
                sigma[number, field] = np.nan if each.sigma is None else each.sigma
                cut[number, field] = each.cut
        named = {f"array{number}": array for number, array in enumerate(arrays)}

        def write(file: IO[bytes]) -> None:
            np.savez(
                file,
                begin=np.int64(self.begin),
                pts=np.array(self.pts, np.int64),
                sums=np.array(self.sums, np.uint32),
                sigma=sigma,
                cut=cut,
                state=np.frombuffer(state, np.uint8),
                **named,  # type: ignore[arg-type]
            )

        _write(path, write)

    @staticmethod
    def load(path: Path) -> Plan:
        """Read it. Raises one of ``_DAMAGED`` where it is not whole."""
        with np.load(path, allow_pickle=False) as found:

            def put_back(value: dict[str, Any]) -> Any:
                return found[f"array{value['array']}"] if set(value) == {"array"} else value

            seen = [
                tuple(
                    Seen(bool(cut), None if math.isnan(sigma) else float(sigma))
                    for cut, sigma in zip(cuts, sigmas, strict=True)
                    if cut != 2
                )
                for cuts, sigmas in zip(found["cut"], found["sigma"], strict=True)
            ]
            return Plan(
                int(found["begin"]),
                [int(each) for each in found["pts"]],
                [int(each) for each in found["sums"]],
                seen,
                json.loads(found["state"].tobytes(), object_hook=put_back),
            )


class _Folder:
    """The files of a job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job, self.end, self.lock = path / "job.json", path / "end.json", path / "lock"

    def plan(self, number: int) -> Path:
        return self.path / f"{number:06}.plan"

    def segment(self, number: int) -> Path:
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


class _Unlike(Exception):  # it is caught here, and no error of the user's
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
            _Unlike: once, where looking for them in the file led to others.
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
                    raise _Unlike from exc
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
            raise _Unlike
        if not self._told:  # damaged data is made up for in another way each time
            self._told = True
            log.warning(
                "the picture at %.3f s is decoded in another way than before", float(pts * self._unit)
            )

    def _differs(self, what: str) -> None:
        if not self.from_beginning:
            raise _Unlike
        raise SourceError(
            f"{self._work.source}: {what}. Has it changed? Delete {self._work.folder}, and run again"
        )


def checksum(frame: Frame) -> int:
    """Of all samples."""
    total = 0
    for plane in frame.planes:
        total = zlib.crc32(np.ascontiguousarray(plane).data, total)
    return total


class _Blind:
    """A backend that gives every picture back: a denoiser on it looks at frames and does no more."""

    info = BackendInfo("none", "none", "fp32", "nothing", "")
    ahead = 0

    def prepare(self, shape: FrameShape) -> _Blind:
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
        self, work: SegmentWork, header: Mapping[str, Any], *, looks: bool, strict: bool = False
    ) -> None:
        """Open the video where the last plan ends.

        Args:
            work: what it is for.
            header: what the folder says of the source.
            looks: whether what is denoised depends on what frames tell.
            strict: see ``Transcode``.
        """
        self._work, self._folder = work, _Folder(Path(work.folder))
        self._header, self._strict = header, strict
        self._watcher = FrameDenoiser(_Blind(), work.config) if looks else None
        self._reader = FrameReader(work, header)
        self._counts = {"corrupt": 0, "damaged": 0, "repaired": 0}

    def run(self, on_plan: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        """Write plans to the end, or until ``stopped``; ``on_plan`` is told each number and its frames."""
        try:
            try:
                self._run(on_plan, stopped)
            except _Unlike:
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


class _Told:
    """Denoises frames as the first pass saw them; left open at the end of a segment."""

    def __init__(self, denoiser: Denoiser, seen: Mapping[int, tuple[Seen, ...]]) -> None:
        self._denoiser, self._seen = denoiser, seen

    @property
    def ahead(self) -> int:
        return self._denoiser.ahead

    def start(self, frame: Frame) -> Callable[[], Frame]:
        if isinstance(self._denoiser, FrameDenoiser):
            return self._denoiser.start(frame, self._seen[frame.pts])
        return self._denoiser.start(frame)

    def close(self) -> None:
        """Stays open for the next segment."""


class _Part:
    """The frames of one segment and those before it, as a source."""

    def __init__(self, reader: FrameReader, info: VideoInfo, frames: Iterator[Frame], count: int) -> None:
        self._reader, self.info, self._frames, self._count = reader, info, frames, count

    def __iter__(self) -> Iterator[Frame | Packet]:
        for _ in range(self._count):
            frame = next(self._frames, None)
            if frame is None:
                return
            yield frame

    def interrupt(self) -> None:
        self._reader.interrupt()

    def close(self) -> None:
        """The file stays open for the next segment."""


@dataclass(frozen=True)
class Made:
    """How a segment was made.

    Attributes:
        frames: in it.
        untouched: of them, that "auto" left as they were.
        sigma: of the last one; None where frames pass through.
        busy: see ``Progress``.
        latency: milliseconds, see ``Latency``.
    """

    frames: int
    untouched: int
    sigma: float | None
    busy: dict[str, float]
    latency: tuple[float, float, float]


class SegmentWorker:
    """Makes segments of one video, one after the other."""

    def __init__(self, work: SegmentWork) -> None:
        """Open the network and the source.

        Raises:
            ConfigError, SourceError, BackendUnavailable: see ``Transcode``.
        """
        self.work, self._folder = work, _Folder(Path(work.folder))
        self._stopped = False
        self._pipeline: Pipeline | None = None
        with ExitStack() as undo:
            self._denoiser, self.backend = open_denoiser(work.config)
            undo.callback(self._denoiser.close)
            self._head = work.open()  # stays at its beginning, for what encoders are told of the source
            undo.callback(self._head.close)
            self.header = header_of(self._head)
            undo.pop_all()
        self._reader = FrameReader(work, self.header)

    @property
    def info(self) -> VideoInfo:
        """The video track."""
        return self._head.info

    @property
    def template(self) -> Template:
        """What the source is."""
        return self._head.template

    @property
    def gpu(self) -> int | None:
        """Number of the NVIDIA GPU that the network runs on."""
        return self._denoiser.gpu if isinstance(self._denoiser, FrameDenoiser) else None

    @property
    def looks(self) -> bool:
        """Whether results depend on what frames tell."""
        return isinstance(self._denoiser, FrameDenoiser)

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """Make one segment, whose plan is there; None where it was stopped.

        Args:
            number: of the segment.
            on_frames: told now and then how many of its frames are done.

        Raises:
            PipelineError: a stage failed.
        """
        try:
            return self._make(number, on_frames)
        except (PipelineError, _Unlike) as exc:
            if not isinstance(exc if isinstance(exc, _Unlike) else exc.__cause__, _Unlike):
                raise
        log.info("segment %d: the file is read from its beginning, its middle cannot be reached", number)
        self._reader.distrust()
        return self._make(number, on_frames)

    def stop(self) -> None:
        """End soon, without a segment; from any thread."""
        self._stopped = True
        if (pipeline := self._pipeline) is not None:
            pipeline.stop()

    def close(self) -> None:
        """Release everything. May be called twice."""
        self._reader.close()
        self._head.close()
        self._denoiser.close()

    def _make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        plan = Plan.load(self._folder.plan(number))
        warm = self._warm_up(number, plan)
        if isinstance(self._denoiser, FrameDenoiser | FrameByFrame):
            self._denoiser.forget()
        untouched = getattr(self._denoiser, "untouched", 0)
        pts, sums, seen = warm.pts + plan.pts, warm.sums + plan.sums, warm.seen + plan.seen
        unit = Fraction(self.header["time_base"])
        sink = SegmentSink(
            self._folder.segment(number),
            self._head.template,
            self.work.encode,
            Path(self.work.output),
            before=_Instants(self._folder, number, unit),
            skip_before=plan.pts[0],
            stopped=lambda: self._stopped,
        )
        source = _Part(self._reader, self.info, self._reader.frames(warm.begin, pts, sums), len(pts))
        pipeline = Pipeline(source, _Told(self._denoiser, dict(zip(pts, seen, strict=True))), sink)
        self._pipeline = pipeline
        if self._stopped:
            sink.abort()
            return None
        try:
            report = pipeline.run(lambda _: on_frames(sink.frames))
        finally:
            self._pipeline = None
        if self._stopped or report.stopped:
            return None
        if sink.frames != len(plan):
            raise SinkError(
                f"segment {number} has {sink.frames} frames instead of {len(plan)}; please report this"
            )
        sigma = getattr(self._denoiser, "sigma", None)
        untouched = getattr(self._denoiser, "untouched", 0) - untouched
        latency = report.denoise_ms
        return Made(len(plan), max(0, untouched), sigma, report.busy, (latency.p50, latency.p95, latency.p99))

    def _warm_up(self, number: int, plan: Plan) -> Plan:
        """The frames that the network runs over before a segment."""
        nothing = Plan(plan.begin, [], [], [], {})
        if number == 0 or plan.at_cut or not isinstance(self._denoiser, FrameDenoiser):
            return nothing
        before = Plan.load(self._folder.plan(number - 1))
        count = min(WARM_UP, len(before))
        first = len(before) - count
        return Plan(plan.begin - count, before.pts[first:], before.sums[first:], before.seen[first:], {})


class _Instants(Sequence[Fraction]):
    """Of all frames before a segment, in seconds; read only where somebody asks."""

    def __init__(self, folder: _Folder, number: int, unit: Fraction) -> None:
        self._folder, self._number, self._unit = folder, number, unit

    def __iter__(self) -> Iterator[Fraction]:
        for number in range(self._number):
            for pts in Plan.load(self._folder.plan(number)).pts:
                yield pts * self._unit

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


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


def work_folder(output: str | os.PathLike[str]) -> Path:
    """Where the segments of an output are kept."""
    path = Path(output)
    return path.with_name(f"{path.name}.segments")


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


class SegmentedTranscode:
    """One file on its way to another in segments; used as ``Transcode``.

    Attributes:
        backend: what will run, and why, one line.
        frames: expected number of frames, None when the container does not say.
        jobs: segments that are made at once.
        folder: where they are kept until the end.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        jobs: int | None = None,
        config: DenoiseConfig | None = None,
        encode: EncodeConfig | None = None,
        start: Fraction | None = None,
        duration: Fraction | None = None,
        overwrite: bool = False,
        strict: bool = False,
        keep_times: bool = False,
        deinterlace: Deinterlace | None = None,
        longest: int = LONGEST,
        shortest: int = SHORTEST,
    ) -> None:
        """Check everything, and go on with what an earlier run has left.

        Args:
            source: path of the noisy video.
            output: path of the result.
            jobs: segments at once; None: as many as make the most of the machine.
            config: see ``Transcode``, also for the next ones.
            encode: how to encode.
            start: seconds to skip.
            duration: seconds to transcode.
            overwrite: replace an existing output.
            strict: an input that is damaged, or ends before its header says, is an error.
            keep_times: whether the output gets the times of the source.
            deinterlace: "field" or "frame" makes interlaced pictures progressive.
            longest: frames of a segment; a multiple of 12.
            shortest: frames of one that a cut may end.

        Raises:
            ConfigError: an option, or a combination of them, that cannot work; or segments are there that were made
                from another source or with other options.
            SourceError, SinkError: the input cannot be read, the output not written; another run is at it.
            BackendUnavailable: the backend asked for cannot run here.
        """
        location = _plain_file(source, output)
        config = config or DenoiseConfig()
        encode = encode or EncodeConfig(codec=default_codec(output))
        self.folder = work_folder(output)
        self._output, self._overwrite, self._strict = Path(output), overwrite, strict
        self._times = location if keep_times else None
        self._mark = transcode_mark(
            location, config, encode, start=start, duration=duration, deinterlace=deinterlace
        )
        self._files = _Folder(self.folder)
        self._lock: int | None = None
        self._worker: SegmentWorker | None = None
        self._begin_state()
        exists = os.path.lexists(output)
        self._there = exists and bool(self._mark.source) and not difference_of(self._output, self._mark)
        if self._there:
            self.backend, self.frames, self.jobs = "none needed: the output is there already", None, 1
            return
        OutputFile(output, overwrite=overwrite, source=str(location))  # says now where it may not be written
        with ExitStack() as undo:
            undo.callback(self.close)
            self._work = SegmentWork(
                source=str(location.absolute()),
                output=str(self._output.absolute()),
                folder=str(self.folder.absolute()),
                config=config,
                encode=encode,
                start=start,
                duration=duration,
                deinterlace=deinterlace,
                longest=longest,
                shortest=shortest,
            )
            self._worker = SegmentWorker(self._work)
            self.backend = self._worker.backend
            info = self._worker.info
            cores = config.threads or usable_cpus()
            self.jobs = jobs or likely_jobs(cores, info.width, info.height, gpu=self._worker.gpu is not None)
            require_memory(info.width, info.height * self.jobs)
            container, _ = open_encoder(
                self.folder / "none", self._worker.template, encode, self._output
            )  # says now what is wrong
            container.close()
            self.frames = info.frames
            if self.frames is None and info.duration is not None and info.frame_rate is not None:
                self.frames = round(info.duration * info.frame_rate)
            self._claim(cores)
            self._worker.work = self._work  # with its threads
            self._look_around()
            self._require_space()
            undo.pop_all()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> TranscodeReport:
        """Make what is missing, and join all of it, or until ``stop``. Used once.

        Raises:
            PipelineError: a stage failed.
            SourceError, SinkError, ConfigError: the input cannot be read, the output not written. What is done stays,
                and another run goes on with it.
            KeyboardInterrupt: after Ctrl-C.
        """
        if self._there:
            self._files.remove()
            return self._report(note=f"{self._output} is there already, from the same source and options")
        self._started = time.perf_counter()
        try:
            with _said_once():
                self._make_all(on_progress)
                done = not self._stopped and self._join()
            if self._interrupted:
                raise KeyboardInterrupt
            if not done:
                made, known = len(self._made), self._known if self._planned else None
                note = f"{made} of {known if known is not None else 'more'} segments are done, in {self.folder}; "
                return self._report(note=f"{note}the same command goes on")
            self._files.remove()
            if self._times is not None:
                copy_times(self._times, self._output)
            return self._report()
        finally:
            self.close()

    @property
    def written(self) -> int | None:
        """Bytes of the segments that are done."""
        return sum(list(self._made.values()))

    def stop(self) -> None:
        """End early; segments that are done stay. From any thread or a signal handler."""
        self._stopped = True
        for seat in list(self._seats.values()):
            seat.stop()

    def leave(self) -> Path | None:
        """For a process that ends at once: where what was done is."""
        return self.folder if self.folder.exists() else None

    def close(self) -> None:
        """Give up what is open. May be called twice; what is on the disk stays."""
        if self._worker is not None:
            self._worker.close()
        if self._lock is not None:
            self._files.sweep()
            os.close(self._lock)
            self._lock = None
            if not self._files.job.exists():
                self._files.remove()

    def __enter__(self) -> SegmentedTranscode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_state(self) -> None:
        self._changed = threading.Condition()
        self._stopped = self._interrupted = self._planned = False
        self._failure: BaseException | None = None
        self._seats: dict[int, SegmentWorker | _Process] = {}
        self._ready: list[int] = []
        self._tried: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._made: dict[int, int] = {}  # bytes of each segment that is done
        self._now: dict[int, int] = {}  # frames of each that is being made
        self._results: list[Made] = []
        self._earlier = 0
        self._started = time.perf_counter()

    @property
    def _known(self) -> int:
        return len(self._lengths)

    def _claim(self, cores: int) -> None:
        """Take the folder, and see that what is in it may be gone on with."""
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self._files.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise SinkError(
                f"{self.folder}: cannot be written ({exc.strerror}). Choose another folder for the output"
            ) from exc
        if not lock_file(self._lock):
            os.close(self._lock)
            self._lock = None
            raise SinkError(f"{self._output}: another run is making it now. Wait for its end")
        self._files.sweep()
        found, wanted = self._files.read(self._files.job), self._identity()
        if found is None:
            found = wanted | {"encoder_threads": max(1, cores // self.jobs)}
            self._files.write(self._files.job, found)
        elif (difference := _difference(found, wanted)) is not None:
            raise ConfigError(
                f"{self.folder} holds segments {difference}. Give the same again, or delete the folder to begin anew"
            )
        config = self._work.config
        if self.jobs > 1 and config.backend in ("auto", "openvino"):
            config = replace(config, threads=max(1, cores // self.jobs))
        self._work = replace(
            self._work, config=config, encode=with_threads(self._work.encode, int(found["encoder_threads"]))
        )

    def _identity(self) -> dict[str, Any]:
        """What must be the same for segments to belong together, as texts."""
        assert self._worker is not None
        work = self._work
        options = {name: str(value) for name, value in asdict(work.config).items() if name != "threads"}
        options |= {name: str(value) for name, value in asdict(work.encode).items()}
        for name in ("start", "duration", "deinterlace", "longest", "shortest"):
            options[name] = str(getattr(work, name))
        return {
            "format": _FORMAT,
            "source": source_digest(Path(work.source)),
            "version": f"malle-rt {__version__}, PyAV {av.__version__}",
            "weights": model_digest(work.config.model),
            "backend": self.backend.partition(" on ")[0],
            "options": options,
            "header": self._worker.header,
        }

    def _look_around(self) -> None:
        """What is done already."""
        for number in range(self._files.plans()):
            try:
                plan = Plan.load(self._files.plan(number))
            except _DAMAGED:
                self._forget_from(number)
                break
            self._lengths[number] = len(plan)
            try:
                segment = SegmentFile(self._files.segment(number))
                if segment.index.frames != len(plan):
                    raise OSError("another number of frames")
            except (*_DAMAGED, TypeError):
                self._files.segment(number).unlink(missing_ok=True)
                self._ready.append(number)
                continue
            self._made[number] = self._files.segment(number).stat().st_size
            self._earlier += len(plan)
        if self._made:
            log.info("%d segments are done already", len(self._made))

    def _forget_from(self, number: int) -> None:
        while self._files.plan(number).exists():
            self._files.plan(number).unlink()
            number += 1
        self._files.end.unlink(missing_ok=True)

    def _make_all(self, on_progress: Callable[[Progress], None] | None) -> None:
        threads = [threading.Thread(target=self._plan_all, name="malle-first-pass")]
        threads += [
            threading.Thread(target=self._serve, args=(seat,), name=f"malle-segments-{seat}")
            for seat in range(self.jobs)
        ]
        for thread in threads:
            thread.start()
        due = 0.0
        while any(thread.is_alive() for thread in threads):
            try:
                for thread in threads:
                    thread.join(_POLL / len(threads))
                if on_progress is not None and time.perf_counter() >= due:
                    due = time.perf_counter() + _PROGRESS
                    on_progress(self._progress())
            except KeyboardInterrupt:
                if self._interrupted:
                    raise
                self._interrupted = True
                self.stop()
            except BaseException:
                self.stop()
                raise
        if self._failure is not None:
            raise self._failure
        if on_progress is not None:
            on_progress(self._progress())

    def _plan_all(self) -> None:
        """The first pass, in a thread."""
        try:
            if not self._files.end.exists():
                assert self._worker is not None
                FirstPass(self._work, self._worker.header, looks=self._worker.looks, strict=self._strict).run(
                    self._planned_one, lambda: self._stopped
                )
            with self._changed:
                self._planned = not self._stopped
        except BaseException as exc:
            self._fail(exc)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _planned_one(self, number: int, frames: int) -> None:
        with self._changed:
            self._lengths[number] = frames
            self._ready.append(number)
            self._changed.notify_all()

    def _serve(self, seat: int) -> None:
        """Make segments as long as there are some, in a thread."""
        try:
            while (number := self._take()) is not None:
                self._require_space()
                maker = self._seats.get(seat) or self._new_seat(seat)
                self._seats[seat] = maker
                if self._stopped:
                    return
                try:
                    made = maker.make(number, lambda frames, number=number: self._went_on(number, frames))  # type: ignore[misc]
                except _Died as exc:
                    self._seats.pop(seat).close()
                    self._tried[number] = self._tried.get(number, 0) + 1
                    if self._tried[number] >= _TRIES:
                        raise SinkError(
                            f"segment {number}: {exc}, {_TRIES} times",
                            hint="Make fewer at once, a smaller jobs=N",
                        ) from exc
                    log.warning("segment %d: %s; it is made again", number, exc)
                    with self._changed:
                        self._ready.insert(0, number)
                    continue
                if made is None:
                    return
                with self._changed:
                    self._now.pop(number, None)
                    self._made[number] = self._files.segment(number).stat().st_size
                    self._results.append(made)
        except BaseException as exc:
            self._fail(exc)
        finally:
            if (last := self._seats.pop(seat, None)) is not None:
                last.close()

    def _new_seat(self, _: int) -> SegmentWorker | _Process:
        assert self._worker is not None
        return self._worker if self.jobs == 1 else _Process(self._work)

    def _take(self) -> int | None:
        with self._changed:
            while not self._stopped:
                if self._ready:
                    return self._ready.pop(0)
                if self._planned:
                    return None
                self._changed.wait(_POLL)
        return None

    def _went_on(self, number: int, frames: int) -> None:
        self._now[number] = frames

    def _fail(self, exc: BaseException) -> None:
        with self._changed:
            if self._failure is None and not (self._stopped and isinstance(exc, _Died)):
                self._failure = exc
        self.stop()

    def _require_space(self) -> None:
        """Check that the disk can take what is still to come.

        Raises:
            SinkError: it cannot; the text has both figures.
        """
        assert self._worker is not None
        frames = sum(self._lengths.get(number, 0) for number in self._made)
        of_all = max(self.frames or 0, sum(self._lengths.values()))
        info = self._worker.info
        bits = _EXPECTED.get(self._work.encode.codec, _BITS)
        each = sum(self._made.values()) / frames if frames else info.width * info.height * bits / 8
        needed = round(each * (of_all - frames) + each * of_all) + _SPARE  # the joined file is a second copy
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise SinkError(
                f"{self._output}: about {needed / 2**30:.2f} GiB are still needed in {self.folder.parent} for the "
                f"segments and the video made of them, {free / 2**30:.2f} GiB are free. Free some; the same command "
                "then goes on"
            )

    def _join(self) -> bool:
        """Put the segments and the rest of the source into the output; False where it was stopped."""
        end = self._files.read(self._files.end)
        if end is None or len(self._made) != end["segments"]:
            raise SinkError(f"{self.folder}: segments are missing; run the same command again")
        segments = [SegmentFile(self._files.segment(number)) for number in range(end["segments"])]
        unit = Fraction(self._files.read(self._files.job)["header"]["time_base"])
        instants = _Instants(self._files, end["segments"], unit)
        source = self._work.open()
        try:
            sink = FileSink(
                self._output,
                source,
                self._work.encode,
                self._overwrite,
                stopped=lambda: self._stopped,
                mark=self._mark,
                mark_beside=True,
            )
            try:
                if not join_segments(sink, source, segments, list(instants), lambda: self._stopped):
                    sink.abort()
                    return False
                sink.finish()
            except BaseException:
                sink.abort()
                raise
        finally:
            source.close()
        self._end = end
        return True

    def _progress(self) -> Progress:
        return Progress(**self._figures())

    def _figures(self) -> dict[str, Any]:
        with self._changed:
            done = sum(self._lengths.get(number, 0) for number in self._made) + sum(self._now.values())
            results = list(self._results)
        busy = {name: 0.0 for name in ("decode", "denoise", "encode")}
        for result in results:
            for name, seconds in result.busy.items():
                busy[name] += seconds
        latency = [result.latency for result in results] or [(0.0, 0.0, 0.0)]
        middle = [sorted(each)[len(latency) // 2] for each in zip(*latency, strict=True)]
        return {
            "frames_in": done,
            "frames_out": done,
            "dropped": 0,
            "seconds": time.perf_counter() - self._started,
            "position": None,
            "busy": busy,
            "denoise_ms": Latency(*middle),
            "earlier": self._earlier,
        }

    def _report(self, note: str = "") -> TranscodeReport:
        end = getattr(self, "_end", None) or {"losses": (), "corrupt": 0, "repaired": 0}
        stopped = self._stopped and not hasattr(self, "_end")
        sigmas = [result.sigma for result in self._results if result.sigma is not None]
        return TranscodeReport(
            pipeline=Report(**self._figures(), stopped=stopped),
            backend=self.backend,
            sigma=sigmas[-1] if sigmas else None,
            untouched=sum(result.untouched for result in self._results),
            corrupt_packets=end["corrupt"],
            losses=tuple(end["losses"]),
            repaired_timestamps=end["repaired"],
            output=None if stopped else self._output,
            compare=None,
            note=note,
        )


_TRIES = 2


class _Died(Exception):  # it is caught here
    """A process that made a segment is no more."""


class _Process:
    """A ``SegmentWorker`` in a process of its own, which ends with this one, however that ends."""

    def __init__(self, work: SegmentWork) -> None:
        self._process = subprocess.Popen(
            module_command("malle_rt.segments"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this one
        )
        self._stopped = False
        self._tell(work.to_json())

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """See ``SegmentWorker``. Raises _Died where the process is no more, and what it failed with."""
        self._tell(str(number))
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if "frames" in event:
                on_frames(event["frames"])
            elif "made" in event:
                return Made(**event["made"])
            else:
                kind = getattr(errors, event["error"], SinkError)
                raise (kind if kind is not PipelineError else SinkError)(event["text"])
        if self._stopped:
            return None
        code = self._process.wait()
        raise _Died(f"the process that made it ended with {code}{' (killed)' if code == -9 else ''}")

    def stop(self) -> None:
        """It ends at once; what it has not finished is not there."""
        self._stopped = True
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def close(self) -> None:
        """End it. May be called twice."""
        self.stop()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # what has become of it, its output says
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def _serve_parent() -> None:
    """What runs in such a process: a line of the work, then numbers of segments; events on standard output."""
    logging.disable(logging.WARNING)  # the other process says the same
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # the other process has ended, or wants no more

    def tell(event: dict[str, Any]) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    work = SegmentWork.from_json(sys.stdin.readline())
    threading.Thread(target=listen, daemon=True).start()
    worker: SegmentWorker | None = None
    while True:
        number = int(lines.get())
        try:
            worker = worker or SegmentWorker(work)
            made = worker.make(number, lambda frames: tell({"frames": frames}))
            assert made is not None
            tell({"made": asdict(made)})
        except Exception as exc:
            cause = exc.__cause__ if isinstance(exc, PipelineError) and exc.__cause__ is not None else exc
            tell({"error": type(cause).__name__, "text": str(cause)})


@contextmanager
def _said_once() -> Iterator[None]:
    """Every message of ours is given once: each segment has an encoder that says the same."""
    said: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno < logging.WARNING or len(said) > _MOST_SAID:
            return True
        if text in said:
            return False
        said.add(text)
        return True

    loggers = [
        each
        for name, each in logging.root.manager.loggerDict.items()
        if name.startswith("malle_rt") and isinstance(each, logging.Logger)
    ]
    for each in loggers:
        each.addFilter(new)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(new)


_MOST_SAID = 1000


def likely_jobs(cores: int, width: int, height: int, *, gpu: bool = False) -> int:
    """How many segments at once make the most of a machine; docs/batch.md has the model.

    Args:
        cores: that may be used.
        width: of the picture.
        height: of the picture.
        gpu: whether the network runs on a GPU, which one job fills.
    """
    if gpu:
        return 1
    jobs = max(1, cores // CORES_PER_JOB)
    memory = available_memory()
    while jobs > 1 and memory is not None and jobs * (width * height * 160 + (512 << 20)) > memory:
        jobs -= 1
    return jobs


CORES_PER_JOB = 4


def with_threads(encode: EncodeConfig, threads: int) -> EncodeConfig:
    """The settings with so many threads for the encoder, whose pictures may depend on their number."""
    options, codec = dict(encode.options), encode.codec
    if codec == "libx265":
        own = options.get("x265-params", "log-level=error")
        if "pools" not in own:
            options["x265-params"] = f"{own}:pools={threads}:frame-threads={min(4, threads)}"
    elif codec == "libsvtav1":
        own = options.get("svtav1-params", "")
        if "lp=" not in own:
            options["svtav1-params"] = f"{own}:lp={threads}".lstrip(":")
    elif "threads" not in options:
        options["threads"] = str(threads)
    return replace(encode, options=options)


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What makes segments that are there others than those that are wanted; None where nothing does."""
    if found.get("format") != wanted["format"] or found.get("version") != wanted["version"]:
        return f"made by {found.get('version')}, this is {wanted['version']}"
    if found["source"] != wanted["source"]:
        return "of another source, or it has changed since"
    if found["options"].get("model") == wanted["options"]["model"] and found["weights"] != wanted["weights"]:
        return "made with other weights of the network"
    for name, value in wanted["options"].items():
        if found["options"].get(name) != value:
            return f"made with {name.replace('_', '-')} {found['options'].get(name)}, not {value}"
    if found["backend"] != wanted["backend"]:
        return f"made with {found['backend']}, not {wanted['backend']}"
    return None if found["header"] == wanted["header"] else "of another source, or it has changed since"


def _plain_file(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Path:
    """The source's path, where it and the output are files.

    Raises:
        ConfigError: they are not.
    """
    location = plain_location(source)
    if not is_path(location):
        raise ConfigError(
            f"{shown_address(location)}: cannot be read twice, or from its middle", hint=UNSPLIT
        )
    if is_standard_output(output) or is_pipe(os.fspath(output)):
        raise ConfigError(f"{os.fspath(output)}: a stream cannot be joined at the end", hint=UNSPLIT)
    if are_pictures(output):
        raise ConfigError(f"{os.fspath(output)}: pictures are no video that could be split", hint=UNSPLIT)
    return Path(location)


if __name__ == "__main__":
    _serve_parent()
