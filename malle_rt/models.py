"""The networks that ship with the package: portable graphs and weights, by name.

A name with a slash in it is a path, less the file's suffix, of others: ``engines/next/rt-s``.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from malle_rt.errors import BackendError, ConfigError

__all__ = [
    "PRECISIONS",
    "checksum",
    "engines_folder",
    "float_graph",
    "graph_file",
    "graph_precisions",
    "model_digest",
    "model_file",
    "model_names",
    "photo_graph",
    "photo_model_names",
    "record_checksums",
    "weights_file",
]

_SUMS = "SHA256SUMS"
PHOTO_FAMILY = "mallenet-"  # what the names of networks for photographs begin with
# Precision is a matter of the graph: each has its own file, NAME and then this.
PRECISIONS = {"fp16": ".f16.onnx", "int8": ".int8.onnx", "fp32": ".onnx"}
WEIGHTS = ".safetensors"


def engines_folder() -> Path:
    """The folder of graphs and weights: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "engines"
    return installed if installed.is_dir() else package.parent / "engines"


def model_names() -> list[str]:
    """Networks for video at hand, sorted."""
    return [name for name in _all_names() if not name.startswith(PHOTO_FAMILY)]


def photo_model_names() -> list[str]:
    """Networks for photographs at hand, sorted."""
    return [name for name in _all_names() if name.startswith(PHOTO_FAMILY)]


def _all_names() -> list[str]:
    return sorted({path.name.partition(".")[0] for path in engines_folder().glob("*.onnx")})


def model_file(name: str, suffix: str) -> Path:
    """Path of a network's file.

    Args:
        name: as ``model_names`` gives it.
        suffix: of the file, for example ".safetensors" (weights).

    Raises:
        ConfigError: for a name that is not at hand.
    """
    path = Path(f"{_known(name)}{suffix}")
    if not path.is_file():
        raise ConfigError(f"model {name} has no {path.name}: reinstall malle-rt")
    return _checked(path)


def weights_file(name: str) -> Path:
    """Path of the weights of something small that is no network for pictures.

    Args:
        name: "noise", of the learned estimate of noise.

    Raises:
        ConfigError: they are not at hand.
    """
    path = engines_folder() / f"{name}.npz"
    if not path.is_file():
        raise ConfigError(f"{path.name} is not at hand: reinstall malle-rt")
    return _checked(path)


def graph_file(name: str, precision: str) -> Path:
    """Path of a network's portable graph in one precision.

    Args:
        name: as ``model_names`` gives it.
        precision: "fp16", "int8" or "fp32".

    Raises:
        ConfigError: for a name or precision that is not at hand.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    if name in photo_model_names():
        raise ConfigError(
            f"model {name} is for photographs, and runs in 'malle-rt photo' and, frame by frame, in 'malle-rt "
            f"transcode'; here there are: {', '.join(model_names())}"
        )
    path = Path(f"{_known(name)}{PRECISIONS[precision]}")
    if not path.is_file():
        raise ConfigError(
            f"model {name} has no {precision} graph; it has: {', '.join(graph_precisions(name))}"
        )
    return _checked(path)


def float_graph(name: str) -> Path:
    """Path of the graph that is computed in float32.

    Larger networks ship none of their own, for the sake of downloads: theirs is the float16 one, to be widened.

    Raises:
        ConfigError: for a name that is not at hand.
    """
    return graph_file(name, "fp32" if "fp32" in graph_precisions(name) else "fp16")


def photo_graph(name: str, precision: str = "fp16") -> Path:
    """Path of the portable graph of a network for photographs.

    Raises:
        ConfigError: for a name that is none of these, or a precision it does not have.
    """
    if name not in photo_model_names():
        raise ConfigError(f"no model {name!r} for photographs; there are: {', '.join(photo_model_names())}")
    if precision not in graph_precisions(name):
        raise ConfigError(
            f"model {name} has no {precision} graph; it has: {', '.join(graph_precisions(name))}"
        )
    return _checked(engines_folder() / f"{name}{PRECISIONS[precision]}")


def model_digest(name: str) -> str:
    """One text for all files of a network, another one wherever a file is another."""
    stem = _stem(name)
    sums = _sums(stem.parent)
    if not sums:
        files = (Path(f"{stem}{suffix}") for suffix in (*PRECISIONS.values(), WEIGHTS))
        sums = {file.name: _digest(file, file.stat().st_mtime_ns) for file in files if file.is_file()}
    return " ".join(digest for file, digest in sorted(sums.items()) if file.startswith(f"{stem.name}."))


def graph_precisions(name: str) -> list[str]:
    """Precisions that a network has a portable graph in."""
    return [each for each, suffix in PRECISIONS.items() if Path(f"{_stem(name)}{suffix}").is_file()]


def checksum(path: Path) -> str:
    """First 12 hex digits of the file's SHA-256: enough to tell which weights ran."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def record_checksums(*paths: Path) -> None:
    """Write the SHA-256 of files that were made anew, all in one folder, beside them; those of others stay."""
    folder = paths[0].parent
    sums = _sums(folder) | {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items()) if (folder / name).is_file()]
    partial = folder / f"{_SUMS}.partial"
    partial.write_text("".join(lines))
    partial.replace(folder / _SUMS)


def _sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of files by name, as ``sha256sum`` writes them; empty where there is no list."""
    path = folder / _SUMS
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _checked(path: Path) -> Path:
    """The path, of a file that is as it was made: one wrong bit would make another picture and say nothing.

    Raises:
        BackendError: it is not.
    """
    sums = _sums(path.parent)
    if sums and sums.get(path.name) != _digest(path, path.stat().st_mtime_ns):
        raise BackendError(
            f"{path.name} is not the file of this release (its SHA-256 is another): reinstall malle-rt"
        )
    return path


@lru_cache(maxsize=64)
def _digest(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stem(name: str) -> Path:
    """Path of a network's files without their suffix."""
    return Path(name) if "/" in name else engines_folder() / name


def _known(name: str) -> Path:
    """``_stem`` of a network that is there.

    Raises:
        ConfigError: it is not.
    """
    if "/" in name and not (graph_precisions(name) or Path(f"{name}{WEIGHTS}").is_file()):
        suffixes = ", ".join((*PRECISIONS.values(), WEIGHTS))
        raise ConfigError(f"no model {name}: none of {Path(name).name} with {suffixes} is in that folder")
    if "/" not in name and name not in _all_names():
        raise ConfigError(f"no model {name!r}; there are: {', '.join(model_names()) or 'none'}")
    return _stem(name)
