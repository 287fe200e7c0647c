"""Settings of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from malle_rt.errors import ConfigError

__all__ = ["PipelineConfig"]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Settings of a pipeline, checked at construction.

    Attributes:
        depth: frames that may wait between two stages; each costs the memory of one decoded picture.
        megabytes: of decoded pictures that may wait, so that large ones are fewer; one always may.
    """

    depth: int = 8
    megabytes: int = 256

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ConfigError(f"depth must be at least 1, got {self.depth}")
