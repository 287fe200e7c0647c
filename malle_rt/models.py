"""The networks that ship with the package: portable graphs and weights, by name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from malle_rt.errors import ConfigError

__all__ = ["checksum", "engines_folder", "model_file", "model_names"]


def engines_folder() -> Path:
    """The folder of graphs and weights; in a source checkout it is a link to the ``engines`` beside the package."""
    return Path(__file__).resolve().parent / "engines"


def model_names() -> list[str]:
    """Networks at hand, sorted."""
    return sorted(path.stem for path in engines_folder().glob("*.onnx"))


def model_file(name: str, suffix: str) -> Path:
    """Path of a network's file.

    Args:
        name: as ``model_names`` gives it.
        suffix: ".onnx" (portable graph) or ".safetensors" (weights).

    Raises:
        ConfigError: for a name that is not at hand.
    """
    path = engines_folder() / f"{name}{suffix}"
    if name not in model_names() or not path.is_file():
        raise ConfigError(f"no model {name!r} ({suffix}); there are: {', '.join(model_names()) or 'none'}")
    return path


def checksum(path: Path) -> str:
    """First 12 hex digits of the file's SHA-256: enough to tell which weights ran."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
