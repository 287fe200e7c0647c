"""What a user can choose about denoising, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from malle_rt.errors import ConfigError

__all__ = ["BACKENDS", "MAX_SIGMA", "DenoiseConfig"]

BACKENDS = ("auto", "openvino", "torch", "none")
MAX_SIGMA = 75.0


@dataclass(frozen=True, kw_only=True)
class DenoiseConfig:
    """How frames are denoised.

    Attributes:
        model: a network of ``engines/``, for example "rt-s".
        strength: standard deviation of the luma's noise on the 8-bit scale, 0 (leave every frame as it is) to 75,
            or "auto" to estimate it from the picture.
        mix: share of the denoised picture in the result; 0.8 leaves a fifth of the noise in.
        backend: "auto", or the one that must run; "none" passes frames through, to measure the rest.

    Raises:
        ConfigError: for a value outside its range.
    """

    model: str = "rt-s"
    strength: float | Literal["auto"] = "auto"
    mix: float = 1.0
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.strength != "auto" and not 0 <= self.strength <= MAX_SIGMA:
            raise ConfigError(f"strength must be auto or 0 to {MAX_SIGMA:g}, got {self.strength:g}")
        if not 0 <= self.mix <= 1:
            raise ConfigError(f"mix must be 0 to 1, got {self.mix:g}")
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {self.backend!r}")
