"""What other people published about denoisers, with the paper that says so. None of it was measured here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLAIM", "PUBLISHED", "Published"]

_FFDNET = "FFDNet (Zhang, Zuo, Zhang, IEEE TIP 2018)"
_SWINIR = "SwinIR (Liang et al., ICCV workshops 2021)"
_DRUNET = "Plug-and-Play Image Restoration with Deep Denoiser Prior (Zhang et al., IEEE TPAMI 2021)"

CLAIM = (
    "Jiang et al., *Fast and High-Quality Image Denoising via Malleable Convolutions* (ECCV 2022), report MalleNet "
    "as 8.9 times as fast as SwinIR at similar quality"
)


@dataclass(frozen=True)
class Published:
    """Mean PSNR of one denoiser on colour CBSD68 with white noise.

    Attributes:
        psnr: in dB, by sigma, 8-bit scale.
        paper: that has the figures.
    """

    psnr: dict[float, float]
    paper: str


PUBLISHED = {
    "dncnn": Published({15: 33.90, 25: 31.24, 50: 27.95}, f"in a table of {_SWINIR}"),
    "ffdnet": Published({15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96}, _FFDNET),
    "drunet": Published({15: 34.30, 25: 31.69, 50: 28.51}, _DRUNET),
    "swinir": Published({15: 34.42, 25: 31.78, 50: 28.56}, _SWINIR),
}
