"""Look at a video without cleaning it: its noise, cuts and fields, what a transcode would do, and how long it takes."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.chroma import to_420
from malle_rt.config import SHARES, DenoiseConfig
from malle_rt.cuts import CutDetector
from malle_rt.errors import ConfigError
from malle_rt.fields import split_fields
from malle_rt.frame import Frame, VideoInfo, pixel_layout
from malle_rt.learned_estimate import NoiseEstimator
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_source import FileSource
from malle_rt.media.opening import is_path, is_pipe, plain_location
from malle_rt.media.own_outputs import clean_name
from malle_rt.media.sequences import is_sequence
from malle_rt.memory import require_memory
from malle_rt.telecine import TelecineDetector

__all__ = ["Analysis", "Plan", "Shot", "analyze_video"]

PLACES = 8  # of a long video that are looked at
FRAMES = 24  # at each; the noise is known after 16, and telecine after 20
TRIED = 24  # frames that are transcoded to know the speed


@dataclass(frozen=True)
class Shot:
    """What lies between two cuts, or a place that was looked at.

    Attributes:
        seconds: where it begins.
        sigma: noise of the luma, 8-bit scale; None where nothing could be told.
    """

    seconds: float
    sigma: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a transcode with the same options would do.

    Attributes:
        backend: what would run, and why.
        sigma: from the least to the most, 8-bit scale.
        codec: of the output's video.
        fps: frames of the input a second, as tried on a part of it; 0 where nothing was tried.
        seconds: for the whole video; None where its length is not known.
        output_bytes: size of the output likewise.
    """

    backend: str
    sigma: tuple[float, float]
    codec: str
    fps: float
    seconds: float | None
    output_bytes: float | None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What was found.

    Attributes:
        source: the input.
        info: its video track.
        others: its other streams, as "audio aac".
        frames: that were looked at.
        whole: whether these are all.
        shots: in the order of time.
        cuts: how many were seen.
        interlaced: share of the frames that are, 0 to 1.
        field_order: "top" or "bottom" of the first of them; None where none is.
        telecine: whether fields are repeated for good.
        plan: what would be done; None where it was not tried.
    """

    source: str
    info: VideoInfo
    others: tuple[str, ...]
    frames: int
    whole: bool
    shots: tuple[Shot, ...]
    cuts: int
    interlaced: float
    field_order: str | None
    telecine: bool
    plan: Plan

    @property
    def sigmas(self) -> list[float]:
        """Noise of the shots where it could be told, from the weakest."""
        return sorted(shot.sigma for shot in self.shots if shot.sigma is not None)


def analyze_video(
    source: str | os.PathLike[str],
    *,
    config: DenoiseConfig | None = None,
    encode: EncodeConfig | None = None,
    deinterlace: Deinterlace | None = None,
    whole: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Analysis:
    """Look at a video at several places, and transcode a second of it into a folder that is removed again.

    Args:
        source: path of a video.
        config: how it would be denoised.
        encode: how the result would be encoded.
        deinterlace: as for ``Transcode``.
        whole: look at every frame, which finds every cut.
        on_progress: called with the number of frames that were looked at.

    Raises:
        ConfigError: what is no file cannot be read at several places; an option that cannot work.
        SourceError: it cannot be read.
        BackendError: the backend asked for cannot run here, or fails.
    """
    location = plain_location(source)
    if not is_path(location) or is_sequence(location) or is_pipe(location):
        raise ConfigError(f"analyze reads a video file at several places, got {location}: save it first")
    config = config or DenoiseConfig()
    with closing(FileSource(location)) as opened:
        info, others = opened.info, tuple(map(_described, opened.template.others))
    require_memory(info.width, info.height)
    length = info.duration
    seen = _Seen(on_progress)
    # Of few frames none may lie behind the last place; Matroska does not say how many there are.
    expected = info.frames or (length * info.frame_rate if length and info.frame_rate else math.inf)
    whole = whole or length is None or expected <= PLACES * FRAMES
    if whole:
        seen.look(location, None, None)
    else:
        for place in range(PLACES):
            seen.look(location, length * Fraction(place, PLACES), FRAMES)  # type: ignore[operator]
    return Analysis(
        source=location,
        info=info,
        others=others,
        frames=seen.frames,
        whole=whole,
        shots=tuple(seen.shots),
        cuts=seen.cuts,
        interlaced=seen.interlaced / seen.frames if seen.frames else 0.0,
        field_order=seen.field_order,
        telecine=seen.telecine,
        plan=_tried(location, info, seen, config, encode, deinterlace),
    )


class _Seen:
    """What the frames that were looked at have shown."""

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self._on_progress = on_progress
        self.frames = self.cuts = self.interlaced = 0
        self.shots: list[Shot] = []
        self.field_order: str | None = None
        self.telecine = False

    def look(self, location: str, start: Fraction | None, most: int | None) -> None:
        """Look at frames from a place on, which begins a shot of its own."""
        estimator, cuts, telecine = NoiseEstimator(), CutDetector(), TelecineDetector()
        began: float | None = None
        found: float | None = None
        with closing(FileSource(location, start=start, carry_other_streams=False)) as opened:
            for frame in islice((item for item in opened if isinstance(item, Frame)), most):
                self.frames += 1
                self._on_progress(self.frames)
                bits = pixel_layout(frame.pix_fmt).bits
                seconds = float(frame.seconds + (start or 0))
                began = seconds if began is None else began
                picture = frame
                if frame.fields is not None and frame.height > 1:
                    self.interlaced += 1
                    self.field_order = self.field_order or frame.fields
                    picture, lower = split_fields(frame)
                    self.telecine |= telecine.update(picture.planes[0], lower.planes[0])
                if cuts.update(picture.planes[0], bits):
                    self.cuts += 1
                    self.shots.append(Shot(began, found))
                    estimator.restart()
                    began = seconds
                planes = partial(to_420, tuple(picture.planes), pixel_layout(picture.pix_fmt))
                noise = estimator.update(planes, bits)
                found = None if noise is None else noise.sigma
        if began is not None:
            self.shots.append(Shot(began, found))


def _described(stream: object) -> str:
    """The kind and the codec of a stream, as FFmpeg calls them."""
    kind = str(getattr(stream, "type", "data"))
    codec = getattr(getattr(stream, "codec_context", None), "name", None)
    return f"{kind} {codec}" if codec else kind


def _tried(
    location: str,
    info: VideoInfo,
    seen: _Seen,
    config: DenoiseConfig,
    encode: EncodeConfig | None,
    deinterlace: Deinterlace | None,
) -> Plan:
    rate = info.frame_rate or 25
    part = Fraction(TRIED) / Fraction(rate)
    start = info.duration / 2 if info.duration and info.duration > 3 * part else None
    with tempfile.TemporaryDirectory(prefix="malle-rt-") as folder:
        output = Path(folder) / clean_name(Path(location))
        options = TranscodeOptions(
            config=config, encode=encode, start=start, duration=part, deinterlace=deinterlace
        )
        with Transcode(location, output, options) as job:
            run = job.run()
            backend = job.backend
        size = output.stat().st_size if output.is_file() else 0
    made, took = run.pipeline, run.pipeline.busy
    given = max(1, made.frames_in)
    # The stages work beside each other. The first frame waits for the network to be prepared; the median does not.
    slowest = max(took["decode"] / given, made.denoise_ms.p50 / 1000, took["encode"] / given)
    fps = 1 / slowest if slowest and made.frames_in else 0.0
    if deinterlace == "field" and seen.interlaced:
        fps /= 2  # frames of the output are twice those of the input
    frames = info.frames or (round(info.duration * rate) if info.duration else None)
    return Plan(
        backend=backend,
        sigma=_sigmas(config, seen),
        codec=encode.codec if encode is not None else "libx264",
        fps=fps,
        seconds=frames / fps if frames and fps else None,
        output_bytes=size * float(info.duration / part) if info.duration and size else None,
    )


def _sigmas(config: DenoiseConfig, seen: _Seen) -> tuple[float, float]:
    if not isinstance(config.strength, str):
        return float(config.strength), float(config.strength)
    found = [SHARES[config.strength] * (shot.sigma or 0.0) for shot in seen.shots]
    return min(found, default=0.0), max(found, default=0.0)
