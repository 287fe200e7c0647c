"""What is to be measured: backends, models, precisions and sizes, multiplied out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from malle_rt.config import BACKENDS, PRECISIONS, RUNTIMES
from malle_rt.errors import ConfigError
from malle_rt.models import graph_precisions, model_names, photo_model_names

__all__ = ["SIZES", "Combination", "Size", "combinations", "parse_size"]

_FIXED = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
_SMALLEST = 32  # pixels along a side: the drawn clip carries something to denoise from there on


@dataclass(frozen=True)
class Size:
    """A frame size; ``name`` is as the user wrote it."""

    name: str
    width: int
    height: int


SIZES = {
    name: Size(name, width, height)
    for name, width, height in (
        ("360p", 640, 360),
        ("720p", 1280, 720),
        ("1080p", 1920, 1080),
        ("4k", 3840, 2160),
    )
}


@dataclass(frozen=True)
class Combination:
    """One thing to measure.

    Attributes:
        backend, model, precision: as in ``DenoiseConfig``.
        size: of the frames.
        required: whether the user named the backend: then a machine that cannot run it is a failure.
    """

    backend: str
    model: str
    precision: str
    size: Size
    required: bool = True

    def __str__(self) -> str:
        return f"{self.backend} {self.model} {self.precision} {self.size.name}"


def parse_size(text: str) -> Size:
    """A size by name, or as "WIDTHxHEIGHT".

    Raises:
        ConfigError: neither, or odd, or too small.
    """
    if text in SIZES:
        return SIZES[text]
    fixed = _FIXED.fullmatch(text)
    if not fixed:
        raise ConfigError(f"no size {text!r}; there are: {', '.join(SIZES)}, or one such as 960x540")
    size = Size(text, int(fixed[1]), int(fixed[2]))
    if min(size.width, size.height) < _SMALLEST or size.width % 2 or size.height % 2:
        raise ConfigError(f"a size must be even and at least {_SMALLEST}x{_SMALLEST}, got {text}")
    return size


def combinations(
    backends: Sequence[str], models: Sequence[str], precisions: Sequence[str], sizes: Sequence[Size]
) -> list[Combination]:
    """Every combination that can exist.

    Args:
        backends: names; "all" for all that run here, "auto" for the one that ``malle-rt transcode`` would take.
        models: names, or "all" for those for video.
        precisions: names; "all" for those that backend and model have, "auto" for the backend's own choice.
        sizes: of the frames.

    Raises:
        ConfigError: an unknown name, or nothing left to measure.
    """
    _check("backend", backends, (*BACKENDS, "all"))
    _check("precision", precisions, (*PRECISIONS, "all"))
    named = model_names() if "all" in models else list(models)
    _check("model", [name for name in named if "/" not in name], (*model_names(), *photo_model_names()))
    found = [
        Combination(backend, model, precision, size, required)
        for size in sizes
        for model in named
        for backend, required in _backends(backends)
        for precision in _precisions(backend, model, precisions, required=required)
    ]
    if not found:
        raise ConfigError(
            f"nothing to measure: no backend of {', '.join(backends)} runs in {', '.join(precisions)}"
        )
    return list(dict.fromkeys(found))


def _backends(asked: Sequence[str]) -> Iterator[tuple[str, bool]]:
    yield from ((name, True) for name in asked if name != "all")
    if "all" in asked:
        yield from ((name, False) for name in RUNTIMES if name not in asked)


def _precisions(backend: str, model: str, asked: Sequence[str], *, required: bool) -> list[str]:
    """Those that the backend has for the model; any that was named stays, where the backend was named too."""
    if backend not in RUNTIMES:
        return ["auto" if each == "all" else each for each in asked]
    graphs = {*graph_precisions(model), "fp32"}  # see ``models.float_graph``
    runtime = RUNTIMES[backend]
    has = [each for each in runtime.precisions if each in graphs or not runtime.reads_graphs]
    if "all" in asked:
        return has
    return [each for each in asked if each == "auto" or each in has or required]


def _check(what: str, asked: Sequence[str], known: tuple[str, ...]) -> None:
    for name in asked:
        if name not in known:
            raise ConfigError(f"{what} must be one of {', '.join(known)}, got {name!r}")
