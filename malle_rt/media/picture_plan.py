"""Size, format and orientation of the pictures an encoder is given, decided before the first one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av

from malle_rt.errors import ConfigError
from malle_rt.frame import VideoInfo, pixel_layout
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.pixel_formats import (
    alpha_format,
    bits_of,
    has_alpha,
    nearest_supported,
    plain_name,
    transparent_formats,
)
from malle_rt.media.scheduling import kept_scheduling

__all__ = ["PicturePlan", "plan_picture"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PicturePlan:
    """What the encoder is given.

    Attributes:
        source_size: (width, height) that frames should have; others are scaled to it.
        rotation: degrees counter-clockwise each picture is turned by; 0 where the container can say it instead.
        size: (width, height) after turning and padding.
        pix_fmt: the encoder's input format.
        sample_aspect_ratio: after turning.
    """

    source_size: tuple[int, int]
    rotation: int
    size: tuple[int, int]
    pix_fmt: str
    sample_aspect_ratio: Fraction


def plan_picture(info: VideoInfo, config: EncodeConfig, *, turn: bool, alpha: bool = False) -> PicturePlan:
    """Decide what the encoder is given.

    Where an encoder refuses an odd size (4:2:0 in H.264 and H.265 cannot have one), the picture is padded by one
    column or row that repeats its neighbour: every pixel stays where and what it is, and the file plays everywhere,
    which it would not in 4:4:4.

    Args:
        info: the source's track.
        config: what the user chose.
        turn: whether the picture must be turned upright, since the container cannot say how.
        alpha: whether the source has transparency, which is kept where the encoder takes it.
    """
    rotation = info.rotation if turn else 0
    sideways = rotation % 180 != 0
    width, height = (info.height, info.width) if sideways else (info.width, info.height)
    aspect = 1 / info.sample_aspect_ratio if sideways else info.sample_aspect_ratio
    pix_fmt = _choose_format(info, config, alpha=alpha)
    size = _choose_size((width, height), pix_fmt, config)
    return PicturePlan((info.width, info.height), rotation, size, pix_fmt, aspect)


def _choose_format(info: VideoInfo, config: EncodeConfig, *, alpha: bool) -> str:
    wanted = plain_name(info.pix_fmt)
    supported = config.supported_formats()
    # Encoders name such formats, and some refuse them: x265 is often built without transparency.
    candidates = transparent_formats(wanted, supported) if alpha else []
    size = info.width, info.height
    transparent = next((name for name in candidates if _accepts(_even(size, name), name, config)), None)
    if alpha and not has_alpha(config.pix_fmt or transparent or wanted):
        log.warning(
            "transparency is dropped: %s has none. Codecs libvpx-vp9 (.webm), prores_ks (.mov) and ffv1 (.mkv) keep it",
            f"pix_fmt {config.pix_fmt}" if transparent else f"encoder {config.codec}",
        )
    if config.pix_fmt is not None:
        return config.pix_fmt
    if transparent is not None:
        wanted = alpha_format(wanted)
    chosen = transparent or (nearest_supported(wanted, supported) if supported else wanted)
    if chosen is None:
        raise ConfigError(f"encoder {config.codec} takes no pixel format that can be given to it here")
    if chosen != wanted:
        had, kept = bits_of(wanted), bits_of(chosen)
        lost = f": {kept} of {had} bits a sample. {_keep_more(wanted, kept)}" if kept < had else ""
        log.warning("encoder %s cannot take %s; encoding %s%s", config.codec, wanted, chosen, lost)
    return chosen


def _keep_more(pix_fmt: str, kept: int) -> str:
    """Which encoders keep more than so many bits of a sample, as a sentence; "" where none does."""
    more = []
    for codec in ("libx264", "libx265", "libsvtav1", "ffv1"):
        if codec in av.codecs_available:
            nearest = nearest_supported(pix_fmt, EncodeConfig(codec=codec).supported_formats())
            if nearest is not None and bits_of(nearest) > kept:
                more.append(f"{codec} {bits_of(nearest)}")
    return f"Others keep more: {', '.join(more)}" if more else ""


def _choose_size(size: tuple[int, int], pix_fmt: str, config: EncodeConfig) -> tuple[int, int]:
    padded = _even(size, pix_fmt)
    if padded == size or _accepts(size, pix_fmt, config):
        return size
    log.warning(
        "encoder %s cannot encode %dx%d in %s: the last column or row is repeated to %dx%d "
        "(pix_fmt yuv444p or codec ffv1 would keep the size)",
        config.codec,
        *size,
        pix_fmt,
        *padded,
    )
    return padded


def _even(size: tuple[int, int], pix_fmt: str) -> tuple[int, int]:
    """The size rounded up to whole chroma samples."""
    try:
        across, down = pixel_layout(pix_fmt).chroma or (0, 0)
    except ConfigError:  # nv12, p010 and the like, which only encoders take
        across = down = 1
    width, height = size
    return -(-width >> across) << across, -(-height >> down) << down


def _accepts(size: tuple[int, int], pix_fmt: str, config: EncodeConfig) -> bool:
    """Whether the encoder opens with this size, tried on an encoder that is thrown away."""
    context = cast(av.VideoCodecContext, av.CodecContext.create(config.codec, "w"))
    context.width, context.height = size
    context.pix_fmt = pix_fmt
    context.time_base = Fraction(1, 25)
    context.options = config.encoder_options(pix_fmt)
    try:
        with kept_scheduling():
            context.open()
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    return True
