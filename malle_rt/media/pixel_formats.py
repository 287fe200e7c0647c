"""Which pixel format to use when the wanted one is not possible: names and losses only, no pixels."""

from __future__ import annotations

from collections.abc import Iterable

import av
from av.video.format import VideoFormat

from malle_rt.errors import ConfigError
from malle_rt.frame import pixel_layout

__all__ = [
    "alpha_format",
    "bits_of",
    "has_alpha",
    "is_full_range_name",
    "is_rgb",
    "nearest_planar",
    "nearest_supported",
    "plain_name",
    "transparent_formats",
]

_SUBSAMPLING = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
_DEPTHS = (8, 9, 10, 12, 14, 16)


def is_full_range_name(pix_fmt: str) -> bool:
    """Whether the name itself says "full range" (yuvj420p and its family)."""
    return pix_fmt.startswith("yuvj")


def plain_name(pix_fmt: str) -> str:
    """yuvj420p -> yuv420p: the same bytes; the range belongs in the colour tags."""
    return pix_fmt.replace("yuvj", "yuv", 1) if is_full_range_name(pix_fmt) else pix_fmt


def bits_of(pix_fmt: str) -> int:
    """Bits of a sample, of the component that has most."""
    return max(component.bits for component in VideoFormat(pix_fmt).components)


def alpha_format(pix_fmt: str) -> str:
    """The planar YUV format with transparency that holds ``pix_fmt``, a planar YUV or gray one, with the least loss."""
    names = [
        f"yuva{sub}p{'' if bits == 8 else f'{bits}le'}" for sub in ("420", "422", "444") for bits in _DEPTHS
    ]
    return min(filter(_known, names), key=lambda name: _loss(pix_fmt, name))


def transparent_formats(pix_fmt: str, supported: Iterable[str]) -> list[str]:
    """The formats of ``supported`` with transparency, the one that loses least of a planar ``pix_fmt`` first."""
    wanted = alpha_format(pix_fmt)
    return sorted(
        (name for name in supported if has_alpha(name)),
        key=lambda name: (name != wanted, _loss(wanted, name)),
    )


def has_alpha(pix_fmt: str) -> bool:
    """Whether the format has a transparency component."""
    return any(component.is_alpha for component in VideoFormat(pix_fmt).components)


def is_rgb(pix_fmt: str) -> bool:
    """Whether the format holds red, green and blue, in planes, packed or by a palette."""
    form = VideoFormat(pix_fmt)
    return bool(form.is_rgb or form.has_palette)


def nearest_planar(pix_fmt: str) -> str:
    """The planar YUV or gray format that holds ``pix_fmt`` with the least loss; itself where it is one already.

    8-bit RGB goes to 10-bit 4:4:4, since rounding to 8-bit YUV would merge a quarter of all colours.
    Alpha has no place in a frame: an encoder takes it from the decoder's own.

    Raises:
        ConfigError: for a format without pixels of its own (hardware surfaces).
    """
    plain = plain_name(pix_fmt)
    if _is_planar(plain):
        return plain
    form = VideoFormat(pix_fmt)
    color = [c for c in form.components if not c.is_alpha]
    if not color:
        raise ConfigError(f"pix_fmt {pix_fmt!r} holds no pixels that can be read; decode in software instead")
    depth = max(c.bits for c in color)
    if form.is_rgb or form.has_palette or pix_fmt.startswith(("bayer", "xyz")):
        return _named("444", max(depth, 8) + 2)
    if len(color) == 1:
        return _gray(depth)
    return _named(_SUBSAMPLING[_chroma_shifts(pix_fmt)], depth)


def nearest_supported(pix_fmt: str, supported: Iterable[str]) -> str | None:
    """The format of ``supported`` that loses least of ``pix_fmt``, or None if none of them holds pixels."""
    names = list(supported)
    if pix_fmt in names:
        return pix_fmt
    candidates = [name for name in names if VideoFormat(name).components and not is_full_range_name(name)]
    return min(candidates, key=lambda name: _loss(pix_fmt, name), default=None)


def _is_planar(pix_fmt: str) -> bool:
    try:
        pixel_layout(pix_fmt)
    except ConfigError:
        return False
    return True


def _chroma_shifts(pix_fmt: str) -> tuple[int, int]:
    """(horizontal, vertical) chroma subsampling as shifts."""
    form = VideoFormat(pix_fmt, 64, 64)
    return (64 // form.chroma_width(64)).bit_length() - 1, (64 // form.chroma_height(64)).bit_length() - 1


def _named(subsampling: str, depth: int) -> str:
    """The planar YUV format with at least ``depth`` bits that FFmpeg has; 4:4:4 of 16 bits in the last resort."""
    for bits in _DEPTHS:
        name = f"yuv{subsampling}p{'' if bits == 8 else f'{bits}le'}"
        if bits >= min(depth, 16) and _known(name):
            return name
    return "yuv444p16le"


def _gray(depth: int) -> str:
    bits = next(bits for bits in _DEPTHS if bits >= min(depth, 16))
    return "gray" if bits == 8 else f"gray{bits}le"


def _known(pix_fmt: str) -> bool:
    try:
        av.VideoFormat(pix_fmt)
    except ValueError:
        return False
    return True


def _loss(source: str, target: str) -> tuple[int, ...]:
    """Sort key: what converting ``source`` to ``target`` loses, worst loss first, then what it wastes."""
    from_, to = VideoFormat(source), VideoFormat(target)
    from_depth, to_depth = bits_of(source), bits_of(target)
    from_color = len([c for c in from_.components if not c.is_alpha]) > 1
    to_color = len([c for c in to.components if not c.is_alpha]) > 1
    have, want = _chroma_shifts(target), _chroma_shifts(source) if from_color else (2, 2)
    return (
        int(from_color and not to_color),
        sum(max(0, h - w) for h, w in zip(have, want, strict=True)) if to_color else 0,
        max(0, from_depth - to_depth),
        int(to.is_rgb or to.has_palette),
        int(to_color and not from_color),
        sum(max(0, w - h) for h, w in zip(have, want, strict=True)),
        max(0, to_depth - from_depth),
        int(any(c.is_alpha for c in to.components)),
        int(not _is_planar(target)),
    )
