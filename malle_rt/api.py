"""The whole of malle-rt in a few calls: opens the rooms and connects them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from malle_rt import __version__
from malle_rt.backends.select import running_line, select_backend
from malle_rt.config import HWACCELS, DenoiseConfig
from malle_rt.denoiser import ALMOST_NO_NOISE, FrameDenoiser, PassThrough
from malle_rt.errors import ConfigError
from malle_rt.frame import Surface
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.encode_config import EncodeConfig, default_codec
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.opening import is_path, plain_location
from malle_rt.media.own_outputs import Mark, options_digest, source_digest
from malle_rt.media.sequence_sink import SequenceSink, are_pictures
from malle_rt.media.side_by_side import SideBySide
from malle_rt.media.standard_output import is_standard_output
from malle_rt.memory import require_memory
from malle_rt.models import model_digest, photo_model_names
from malle_rt.photo.frames import FrameByFrame
from malle_rt.pipeline import Pipeline, Progress, Report
from malle_rt.protocols import Denoiser

__all__ = ["Transcode", "TranscodeOptions", "TranscodeReport", "copy_times", "open_denoiser"]

log = logging.getLogger(__name__)


def open_denoiser(config: DenoiseConfig | None = None) -> tuple[Denoiser, str]:
    """A denoiser for one video, and a line on what runs and why.

    Raises:
        ConfigError: unknown model.
        BackendUnavailable: the backend asked for cannot run here.
    """
    config = config or DenoiseConfig()
    if config.backend == "none":
        return PassThrough(), "none (asked for): frames pass through"
    if not any(config.shares):
        return PassThrough(), "none (strength or mix is 0): frames pass through"
    if config.model in photo_model_names():
        by_itself = FrameByFrame(config)
        return by_itself, "; ".join((f"{by_itself.backend} (each frame by itself)", *by_itself.notes))
    selection = select_backend(config)
    return FrameDenoiser(selection.backend, config), str(selection)


@dataclass(frozen=True, kw_only=True)
class TranscodeReport:
    """What a transcode did.

    Attributes:
        pipeline: frames, speed and latency.
        backend: what ran, and why.
        sigma: what the last frame was denoised with, 8-bit scale; None when frames passed through.
        untouched: frames that strength "auto" left as they were, for it found next to no noise.
        corrupt_packets: damaged packets that were skipped.
        losses: what the input lacked, damaged packets among it, a line each; empty for a run that was stopped early.
        repaired_timestamps: frames that came without a usable presentation time.
        output: the file that was written, OUT.partial.EXT where it was stopped early; None: there was no frame by then.
        note: what became of the output, a line, where it was not written by this run.
        compare: the side-by-side picture, if one was asked for and there was a frame to show.
    """

    pipeline: Report
    backend: str
    sigma: float | None
    untouched: int
    corrupt_packets: int
    losses: tuple[str, ...]
    repaired_timestamps: int
    output: Path | None
    compare: Path | None
    note: str = ""

    def summary(self) -> str:
        """A few lines for the user."""
        lines = [self.pipeline.summary()]
        if self.sigma is not None:
            lines.append(f"strength {self.sigma:.1f} at the end")
        if self.untouched > self.pipeline.frames_out / 2:
            lines.append(ALMOST_NO_NOISE)
        lines.extend(self.losses)
        if self.repaired_timestamps:
            many = self.repaired_timestamps > 1
            frames = f"{self.repaired_timestamps} frames" if many else "1 frame"
            lines.append(f"{frames} had no timestamp; {'they were' if many else 'one was'} estimated")
        wrote = f"wrote {self.output}" if self.output else "wrote nothing: no frame was done"
        lines.append(self.note or wrote)
        if self.compare:
            lines.append(f"wrote {self.compare}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class TranscodeOptions:
    """How one file becomes another: arguments of ``denoise_video``, which says what each is.

    Raises:
        ConfigError: for an unknown ``hwaccel``.
    """

    config: DenoiseConfig = field(default_factory=DenoiseConfig)
    encode: EncodeConfig | None = None
    start: Fraction | None = None
    duration: Fraction | None = None
    overwrite: bool = False
    keep_partial: bool = False
    strict: bool = False
    compare: str | os.PathLike[str] | None = None
    hwaccel: str = "auto"
    keep_times: bool = False
    deinterlace: Deinterlace | None = None
    frame_rate: Fraction | None = None
    container_format: str | None = None
    mark_beside: bool = False

    def __post_init__(self) -> None:
        if self.hwaccel not in HWACCELS:
            raise ConfigError(f"hwaccel must be one of {', '.join(HWACCELS)}, got {self.hwaccel!r}")

    def encoding(self, output: str | os.PathLike[str]) -> EncodeConfig:
        """How the video of ``output`` is encoded: as asked for, or as is usual in its container."""
        return self.encode or EncodeConfig(codec=default_codec(output, self.container_format))

    def mark(self, source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Mark:
        """What the output says of its making; an empty mark where the source is no file."""
        location = plain_location(source)
        if not is_path(location):
            return Mark()
        encode = asdict(self.encoding(output))
        made_with = {
            "version": __version__,
            "weights": model_digest(self.config.model),
            "start": self.start,
            "duration": self.duration,
            "deinterlace": self.deinterlace,
            **{
                name: value for name, value in asdict(self.config).items() if name != "gpu"
            },  # any gives the same
            **{f"encode {name}": value for name, value in encode.items()},
        }
        try:
            return Mark(source=source_digest(Path(location)), options=options_digest(made_with))
        except OSError:  # gone or replaced by now; reading it says so
            return Mark()


class Transcode:
    """One file on its way to another, opened and ready to run; a context manager, for the case that it is not run.

    Attributes:
        backend: what will run, and why, one line.
        frames: expected number of frames, None when the container does not say.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        options: TranscodeOptions | None = None,
    ) -> None:
        """Open everything; nothing is decoded beyond the first frame, and nothing appears under the output's name.

        Args:
            source: see ``denoise_video``.
            output: see ``denoise_video``.
            options: how.

        Raises:
            ConfigError: an option, or a combination of them, that cannot work.
            SourceError, SinkError: the input cannot be read, the output not written.
            BackendUnavailable: the backend asked for cannot run here.
        """
        options = options or TranscodeOptions()
        config = options.config
        with ExitStack() as undo:
            self._denoiser, self.backend = open_denoiser(config)
            undo.callback(self._denoiser.close)
            gpu = _decoding_gpu(self._denoiser, config, options.hwaccel)
            self._source = FileSource(
                source,
                start=options.start,
                duration=options.duration,
                gpu=gpu,
                strict=options.strict,
                deinterlace=options.deinterlace,
                frame_rate=options.frame_rate,
            )
            undo.callback(self._source.close)
            info = self._source.info
            require_memory(info.width, info.height)
            self.frames = info.expected_frames
            self._compare = Path(options.compare) if options.compare is not None else None
            self._shown = self._side_by_side(options.overwrite, self._source.template.location, Path(output))
            surface = self._source.surface if min(config.shares) == 1 else None
            self._sink: FileSink | SequenceSink
            if are_pictures(output):
                if options.encode is not None:
                    raise ConfigError(f"{output}: pictures have no video encoder, leave its settings out")
                self._sink = SequenceSink(
                    output,
                    self._source.template,
                    overwrite=options.overwrite,
                    sequence=self._source.sequence,
                    rate=self._source.rate,
                )
            else:
                self._sink = FileSink(
                    output,
                    self._source,
                    options.encoding(output),
                    options.overwrite,
                    surface,
                    stopped=lambda: self._pipeline.stopped,
                    keep_partial=options.keep_partial,
                    container_format=options.container_format,
                    mark=Mark() if options.keep_partial else options.mark(source, output),
                    mark_beside=options.mark_beside,
                )
            undo.callback(self._sink.abort)
            if gpu is not None:
                self._place(options.hwaccel, surface)
            undo.pop_all()
        self._used = False
        kept = options.keep_times and Path(source).is_file() and not is_standard_output(output)
        self._times = Path(source) if kept else None
        self._pipeline = Pipeline(self._source, self._shown or self._denoiser, self._sink)

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> TranscodeReport:
        """Transcode to the end, or until ``stop``. Used once.

        Raises:
            PipelineError: a stage failed; nothing is left under the output's name.
        """
        self._used = True
        report = self._pipeline.run(on_progress)
        shown = self._shown is not None and self._shown.save()
        if self._times is not None:
            copy_times(self._times, Path(self._sink.path))
        return TranscodeReport(
            pipeline=report,
            backend=self.backend,
            sigma=self._denoiser.sigma if isinstance(self._denoiser, FrameDenoiser | FrameByFrame) else None,
            untouched=self._denoiser.untouched
            if isinstance(self._denoiser, FrameDenoiser | FrameByFrame)
            else 0,
            corrupt_packets=self._source.corrupt_packets,
            losses=() if report.stopped else self._source.losses,
            repaired_timestamps=self._source.repaired_timestamps,
            output=Path(self._sink.path) if self._sink.frames else None,
            compare=self._compare if shown else None,
        )

    @property
    def written(self) -> int | None:
        """Bytes of the output so far; None where that is not known: a pipe, pictures, a file that is done."""
        return self._sink.size if isinstance(self._sink, FileSink) else None

    def close(self) -> None:
        """Give up what was opened, if it has not been run: nothing is left behind. May be called twice."""
        if not self._used:
            self._used = True
            self._sink.abort()
            self._source.close()
            self._denoiser.close()

    def __enter__(self) -> Transcode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, hwaccel: str, surface: Surface | None) -> None:
        """Settle where frames are kept, and tell it in the line on what runs.

        Raises:
            ConfigError: not on the GPU although the user insists.
        """
        reason = self._source.not_on_gpu
        if reason is not None and hwaccel == "cuda":
            raise ConfigError(f"hwaccel cuda cannot be had for this input: {reason}. Use auto")
        if reason is not None:
            log.info("decoded on the processor: %s", reason)
            self.backend = running_line(self.backend, "decoded on the processor")
            return
        reason = self._sink.no_surfaces if surface is not None else "the noisy picture is mixed in"
        if isinstance(self._denoiser, FrameDenoiser):
            self._denoiser.keep_surfaces = reason is None
        if reason is not None:
            log.info("frames decoded by NVDEC go through host memory: %s", reason)
        self.backend = running_line(
            self.backend, "decoded by NVDEC" if reason else "NVDEC to NVENC on the GPU"
        )

    def _side_by_side(self, overwrite: bool, source: str | None, output: Path) -> SideBySide | None:
        if self._compare is None:
            return None
        if self._compare.absolute() == output.absolute():
            raise ConfigError(f"the comparison and the video cannot both be {output}")
        return SideBySide(
            self._denoiser, self._compare, expected=self.frames, overwrite=overwrite, source=source
        )

    def stop(self) -> None:
        """End early with a playable file of what was done; from any thread or a signal handler."""
        self._pipeline.stop()

    def leave(self) -> Path | None:
        """For a process that ends at once: the file that stays, playable, or None; from any thread, after ``stop``."""
        return Path(self._sink.path) if self._sink.leave() else None


def copy_times(source: Path, output: Path) -> None:
    """Times of last access and change, of a film that is done: a failure is said and loses nothing."""
    try:
        found = source.stat()
        os.utime(output, ns=(found.st_atime_ns, found.st_mtime_ns))
    except OSError as exc:
        log.warning("%s: its times cannot be those of the source (%s)", output, exc.strerror)


def _decoding_gpu(denoiser: Denoiser, config: DenoiseConfig, hwaccel: str) -> int | None:
    """Number of the GPU that should decode, None for the processor.

    Raises:
        ConfigError: there is none although the user insists.
    """
    gpu = denoiser.gpu if isinstance(denoiser, FrameDenoiser) else None
    if hwaccel == "cuda" and gpu is None:
        raise ConfigError(
            "hwaccel cuda needs a backend on an NVIDIA GPU: tensorrt, tensorrt-rtx or cuda. Use auto"
        )
    # Mixing needs every noisy frame in host memory anyway.
    return None if hwaccel == "none" or (hwaccel == "auto" and min(config.shares) < 1) else gpu
