"""Options that several commands share, and the configurations made of them."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, cast

from malle_rt.cli.settings import PRESETS
from malle_rt.config import BACKENDS, CUDA_ADAPTERS, PRECISIONS, SHARES, DenoiseConfig, Strength
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from malle_rt.media.encode_config import EncodeConfig

# Plain decimals: "1e99999999" is a number of a hundred million digits, and timestamps have 64 bits.
_NUMBER = re.compile(r"(?=\.?[0-9])[0-9]{0,9}(\.[0-9]{0,9})?")

__all__ = [
    "add_deinterlacing",
    "add_denoising",
    "add_encoding",
    "denoise_config",
    "either",
    "encode_config",
    "rate",
    "seconds",
    "strength",
]


def either(names: tuple[str, ...]) -> str:
    """The names as a sentence has them: "a, b or c"."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def add_denoising(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Everything a ``DenoiseConfig`` holds."""
    group = parser.add_argument_group("denoising")
    group.add_argument(
        "--preset-for",
        choices=tuple(PRESETS),
        metavar="USE",
        help=f"what suits recordings of this kind: {either(tuple(PRESETS))}; other options come over it",
    )
    group.add_argument(
        "--model",
        default="rt-s",
        metavar="NAME",
        help="network: rt-s, rt-m or rt-l, small to large; engines/NAME.md says what they can do (default: rt-s); "
        "transcode with mallenet-s or mallenet-m: each frame by itself, as photographs; webcam with auto: the best "
        "that keeps the source's rate",
    )
    group.add_argument(
        "--strength",
        default="auto",
        metavar="auto|0..75",
        help="standard deviation of the luma's noise on the 8-bit scale; 0 changes nothing; light, medium or strong: "
        "a share of what auto finds (default: auto)",
    )
    group.add_argument(
        "--chroma-strength",
        type=float,
        metavar="0..75",
        help="the same of the chroma's noise; 0 leaves the chroma as it is, more needs a network that is told of it "
        "(default: what goes with the luma's)",
    )
    group.add_argument(
        "--mix", type=float, default=1.0, metavar="0..1", help="share of the clean picture (1)"
    )
    group.add_argument("--backend", default="auto", metavar="NAME", help=f"{either(BACKENDS)} (auto)")
    group.add_argument("--precision", default="auto", metavar="NAME", help=f"{either(PRECISIONS)} (auto)")
    group.add_argument(
        "--cuda-adapter", default="auto", metavar="NAME", help=f"drives CUDA: {either(CUDA_ADAPTERS)} (auto)"
    )
    group.add_argument(
        "--gpu",
        type=_gpu,
        metavar="N|all",
        help="the NVIDIA GPU that must run, by CUDA's number; all: transcode makes segments on each (the first)",
    )
    group.add_argument("--engine", metavar="FILE", help="a TensorRT engine that malle-rt build wrote")
    group.add_argument(
        "--trust-engine",
        action="store_true",
        help="trust FILE although it was not built into your cache (engines are executable code)",
    )
    return group


def add_deinterlacing(parser: argparse.ArgumentParser) -> None:
    """Whether interlaced pictures become progressive ones."""
    parser.add_argument(
        "--deinterlace",
        nargs="?",
        const="field",
        type=_deinterlace,
        metavar="field|frame",
        help="make interlaced pictures progressive: one of each field (50 or 60 a second; the default), or with "
        "--deinterlace=frame one of each frame. Without it they stay interlaced, and each field is denoised by itself",
    )


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """Everything an ``EncodeConfig`` holds."""
    group = parser.add_argument_group("encoding, by FFmpeg's names")
    group.add_argument("--codec", metavar="NAME", help="video encoder (libx264; libvpx-vp9 for .webm)")
    group.add_argument("--crf", type=int, metavar="N", help="constant quality, lower is better (libx264: 18)")
    group.add_argument("--preset", metavar="NAME", help="encoder speed (libx264: veryfast)")
    group.add_argument(
        "--pix-fmt", metavar="NAME", help="default: the input's, or the nearest the encoder takes"
    )
    group.add_argument(
        "--encoder-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other; may be repeated",
    )


def denoise_config(options: argparse.Namespace) -> DenoiseConfig:
    """What ``add_denoising`` asked for.

    Raises:
        ConfigError: for a value outside its range.
    """
    return DenoiseConfig(
        model=options.model,
        strength=strength(options.strength),
        chroma_strength=options.chroma_strength,
        mix=options.mix,
        backend=options.backend,
        precision=options.precision,
        cuda_adapter=options.cuda_adapter,
        gpu=options.gpu,
        engine=options.engine,
        trust_engine=options.trust_engine,
    )


def encode_config(options: argparse.Namespace, codec: str) -> EncodeConfig:
    """What ``add_encoding`` asked for.

    Args:
        options: the parsed options.
        codec: encoder where none was named.

    Raises:
        ConfigError: no such encoder, or a value it does not take.
    """
    from malle_rt.media.encode_config import EncodeConfig

    return EncodeConfig(
        codec=options.codec or codec,
        crf=options.crf,
        preset=options.preset,
        pix_fmt=options.pix_fmt,
        options=dict(map(_key_value, options.encoder_option)),
    )


def strength(text: str) -> Strength:
    """The number, or the word.

    Raises:
        ConfigError: neither.
    """
    if text in SHARES:
        return cast(Strength, text)
    try:
        return float(text)
    except ValueError:
        words = ", ".join(SHARES)
        raise ConfigError(f"strength must be {words} or a number from 0 to 75, got {text!r}") from None


def seconds(text: str) -> Fraction:
    """Exact seconds of "90", "1:30", "0:01:30.5"."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(map(_NUMBER.fullmatch, parts)):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise argparse.ArgumentTypeError(f"expected seconds (9 digits at most) or [HH:]MM:SS, got {shown!r}")
    total = Fraction(0)
    for part in parts:
        total = total * 60 + Fraction(part)
    return total


def rate(text: str) -> Fraction:
    """Frames a second: "24", "23.976" (as 24000/1001, which it stands for) or "30000/1001"."""
    whole, _, below = text.partition("/")
    numbers = [whole, below or "1"]
    if not all(map(_NUMBER.fullmatch, numbers)) or not Fraction(numbers[1]):
        raise argparse.ArgumentTypeError(
            f"expected frames a second, such as 24 or 30000/1001, got {text[:40]!r}"
        )
    found = Fraction(numbers[0]) / Fraction(numbers[1])
    # Rates of television: cut off after two or three digits they would run away from the sound.
    exact = Fraction(round(found) * 1000, 1001)
    return exact if found != round(found) and abs(found - exact) < Fraction(1, 100) else found


def _deinterlace(text: str) -> str:
    if text not in ("field", "frame"):
        raise argparse.ArgumentTypeError(f"expected field or frame, got {text!r}")
    return text


def _gpu(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise argparse.ArgumentTypeError(
            f"expected the number of a GPU, from 0 on, or all, got {text[:40]!r}"
        )
    return int(text)


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigError(f"encoder option must look like NAME=VALUE, got {text!r}")
    return key, value
