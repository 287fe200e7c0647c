"""What a portable graph and everything that runs one agree on: names, sizes, and how noise is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["FRAME", "MULTIPLE", "NEXT", "PHOTO_MULTIPLE", "STATE", "TOLD", "Noise"]

MULTIPLE = 8  # height and width of the luma that a graph takes
PHOTO_MULTIPLE = 64  # height and width that the graph of a network for photographs takes
FRAME = ("y", "uv")
# (1, 1, 1, 1) luma's sigma, or (1, 4, 1, 1) ``Noise``: names, and how many numbers; a graph takes one of them.
TOLD = {"sigma": 1, "noise": 4}
STATE = ("y_before", "uv_before", "hidden_before")
NEXT = ("y_clean", "uv_clean", "hidden")  # what becomes ``STATE`` of the next frame

# Of the luma's sigma: what white noise in RGB leaves in the chroma.
_CHROMA_SHARE = 0.7


@dataclass(frozen=True)
class Noise:
    """Noise of a video; standard deviations on the 8-bit scale.

    Attributes:
        dark, bright: of the luma's noise in black and in white parts; by brightness between them.
        chroma: of the noise in U and V.
        coarse: how much of the luma's variance is left in means of 4 x 4 pixels, 0 (white noise) to 1.
        as_white: luma's sigma of the white noise that a network which is told one number takes this one away best as;
            None: ``luma``.
    """

    dark: float
    bright: float
    chroma: float
    coarse: float = 0.0
    as_white: float | None = None

    @classmethod
    def white(cls, sigma: float) -> Noise:
        """White noise in RGB whose luma has this sigma: what one number tells."""
        return cls(sigma, sigma, _CHROMA_SHARE * sigma)

    def times(self, factor: float) -> Noise:
        """As coarse and as it depends on brightness, so many times as strong."""
        dark, bright, chroma = (factor * level for level in (self.dark, self.bright, self.chroma))
        white = None if self.as_white is None else factor * self.as_white
        return Noise(dark, bright, chroma, self.coarse, as_white=white)

    def limited(self, most: float) -> Noise:
        """No stronger than that, the chroma's either."""
        noise = self.times(most / self.sigma) if self.sigma > most else self
        return replace(noise, chroma=most) if noise.chroma > most else noise

    @property
    def luma(self) -> float:
        """Of the luma's noise, in parts of middle brightness."""
        return (self.dark + self.bright) / 2

    @property
    def sigma(self) -> float:
        """The one number, for networks that are told no more."""
        return self.luma if self.as_white is None else self.as_white

    def scaled(self) -> tuple[float, float, float, float]:
        """As a graph takes it: standard deviations of values in [0, 1], and how coarse it is."""
        return self.dark / 255, self.bright / 255, self.chroma / 255, self.coarse
