"""Settings of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from malle_rt.errors import ConfigError

__all__ = ["PipelineConfig", "WhenFull"]

WhenFull = Literal["block", "drop_oldest"]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Settings of a pipeline, checked at construction.

    Attributes:
        depth: frames that may wait between two stages; each costs the memory of one decoded picture.
        megabytes: of decoded pictures that may wait, so that large ones are fewer; one always may.
        when_full: "block" for files, where no frame may be lost; "drop_oldest" for live input, where the delay
            must not grow.
    """

    depth: int = 8
    megabytes: int = 256
    when_full: WhenFull = "block"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ConfigError(f"depth must be at least 1, got {self.depth}")
        if self.when_full not in get_args(WhenFull):
            raise ConfigError(f"when_full must be 'block' or 'drop_oldest', got {self.when_full!r}")
