"""Our networks as users run them."""

from __future__ import annotations

import numpy as np
from yardstick.noisy_clip import Pictures
from yardstick.raw_frame import to_frame, to_picture

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser

__all__ = ["denoised"]


def denoised(noisy: Pictures, config: DenoiseConfig) -> tuple[Pictures, float]:
    """A clip from a fresh state.

    Args:
        noisy: (T, H * 3 // 2, W) raw yuv420p.
        config: which network, how strongly.

    Returns:
        the same clean, and the strength of the last frame, 8-bit scale.

    Raises:
        BackendUnavailable: the backend asked for cannot run here.
    """
    denoiser, _ = open_denoiser(config)
    try:
        clean = [to_picture(denoiser.start(to_frame(picture, at))()) for at, picture in enumerate(noisy)]
        return np.stack(clean), denoiser.sigma if isinstance(denoiser, FrameDenoiser) else 0.0
    finally:
        denoiser.close()
