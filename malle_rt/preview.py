"""One sheet with crops of a frame at several strengths, to choose one by eye."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig, Strength, check_tuning
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import ConfigError, SourceError
from malle_rt.frame import Frame, VideoInfo
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.file_source import FileSource
from malle_rt.media.opening import is_path, plain_location
from malle_rt.media.output_file import OutputFile
from malle_rt.media.png import check_suffix, write_picture
from malle_rt.media.preview_sheet import preview_sheet
from malle_rt.memory import require_memory

__all__ = ["MOST_STRENGTHS", "WARM_UP", "Preview", "preview_strengths"]

MOST_STRENGTHS = 15  # with the noisy crop a sheet of four by four
WARM_UP = 8  # frames before the shown one: the network's past has told what it can by then


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a sheet shows.

    Attributes:
        output: the sheet.
        seconds: instant of the shown frame, from the beginning of the video.
        place: column, row, width and height of the crops in the upright frame, in pixels.
        sigmas: what the frame was denoised with at each strength, 8-bit scale; 0 where it was left as it is.
        backend: what ran, and why.
    """

    output: Path
    seconds: Fraction
    place: tuple[int, int, int, int]
    sigmas: tuple[float, ...]
    backend: str

    def summary(self) -> str:
        """A line for the user."""
        x, y, width, height = self.place
        return (
            f"wrote {self.output}: {width}x{height} pixels at column {x}, row {y} of the frame at "
            f"{float(self.seconds):.2f} s"
        )


def preview_strengths(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    strengths: Sequence[Strength],
    *,
    config: DenoiseConfig | None = None,
    start: Fraction | None = None,
    overwrite: bool = False,
    deinterlace: Deinterlace | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Preview:
    """Write a sheet of labelled crops of one frame, the noisy one first, where the strengths differ most.

    Args:
        source: path or URL of the noisy video.
        output: the sheet: .png, .jpg or .webp.
        strengths: as ``DenoiseConfig.strength``.
        config: everything else about denoising.
        start: seconds from the beginning; the frame shown is the one ``WARM_UP`` frames later, or the last one there
            is. None: in the middle of the video, at its beginning where its length is not known.
        overwrite: replace an existing sheet.
        deinterlace: as for ``Transcode``.
        on_progress: called with the number of frames denoised, and of all that will be.

    Raises:
        ConfigError: an option, or a combination of them, that cannot work.
        SourceError, SinkError: the input cannot be read, the sheet not written.
        BackendError: the backend asked for cannot run here, or fails.
    """
    output = Path(output)
    check_suffix(output, "preview")
    if not 0 < len(strengths) <= MOST_STRENGTHS:
        raise ConfigError(f"a preview takes 1 to {MOST_STRENGTHS} strengths, got {len(strengths)}")
    config = config or DenoiseConfig()
    for strength in strengths:
        check_tuning(strength, config.mix)
    file = OutputFile(output, overwrite=overwrite, source=plain_location(source))
    with ExitStack() as opened:
        denoiser, backend = open_denoiser(replace(config, strength="auto"))
        opened.callback(denoiser.close)
        if not isinstance(denoiser, FrameDenoiser):
            raise ConfigError("a preview needs a network: leave out backend none and mix 0")
        info, frames, begin = _beginning(source, start, deinterlace)
        clean: list[Frame] = []
        sigmas: list[float] = []
        for strength in strengths:
            denoiser.adjust(strength=strength, mix=config.mix)
            denoiser.forget()
            for number, frame in enumerate(frames):
                result = denoiser.denoise(frame)
                if on_progress is not None:
                    on_progress(len(clean) * len(frames) + number + 1, len(strengths) * len(frames))
            clean.append(result)
            sigmas.append(denoiser.sigma)
    labels = [_label(*pair) for pair in zip(strengths, sigmas, strict=True)]
    sheet, place = preview_sheet(frames[-1], clean, labels, info.rotation)
    write_picture(file, sheet, "preview")
    return Preview(
        output=output,
        seconds=begin + frames[-1].seconds - frames[0].seconds,
        place=place,
        sigmas=tuple(sigmas),
        backend=backend,
    )


def _label(strength: Strength, sigma: float) -> str:
    if not isinstance(strength, str):
        return f"strength {strength:g}"
    return f"{strength}: {sigma:.1f}" if sigma else f"{strength}: almost no noise found"


def _beginning(
    source: str | os.PathLike[str], start: Fraction | None, deinterlace: Deinterlace | None
) -> tuple[VideoInfo, list[Frame], Fraction]:
    """What is known of the video, the frames up to the shown one, and the instant of the first, in seconds."""
    if start is None and is_path(plain_location(source)):  # else it cannot be opened twice
        start = _before_the_middle(source)
        try:
            return _read(source, start, deinterlace)
        except SourceError:  # a header may promise more than there is: take what can be read
            start = None
    return _read(source, start, deinterlace)


def _before_the_middle(source: str | os.PathLike[str]) -> Fraction | None:
    """In seconds; None where the length is not known."""
    opened = FileSource(source, carry_other_streams=False)
    try:
        info = opened.info
    finally:
        opened.close()
    if not info.duration:
        return None
    return max(Fraction(0), info.duration / 2 - (WARM_UP / info.frame_rate if info.frame_rate else 0))


def _read(
    source: str | os.PathLike[str], start: Fraction | None, deinterlace: Deinterlace | None
) -> tuple[VideoInfo, list[Frame], Fraction]:
    opened = FileSource(source, start=start, carry_other_streams=False, deinterlace=deinterlace)
    try:
        info = opened.info
        require_memory(info.width, info.height)
        frames = list(islice((item for item in opened if isinstance(item, Frame)), WARM_UP + 1))
    finally:
        opened.close()
    # A size that changes on the way would leave nothing to compare; the last one is shown.
    frames = [frame for frame in frames if _shape(frame) == _shape(frames[-1])]
    return info, frames, start or Fraction(0)


def _shape(frame: Frame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.pix_fmt
