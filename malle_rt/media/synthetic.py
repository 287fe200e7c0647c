"""A source and a sink without files, for tests, the demo and the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import ColorTags, Frame, Packet, PixelLayout, Plane, VideoInfo, pixel_layout

__all__ = ["INDEX_ROWS", "CollectSink", "SyntheticSource", "read_index"]

# Rows at the top of the luma plane that carry the frame's index, as 16 blocks, most significant bit first.
INDEX_ROWS = 8
_BITS = 16
_LIMITED_RANGE, _BT709 = 1, 1


class SyntheticSource:
    """A textured picture that pans, with a disc moving over it; the same for the same arguments.

    The first ``INDEX_ROWS`` rows of luma carry the index of the frame and stay free of noise, so that loss, swap
    and repeat are visible at the other end.
    """

    def __init__(
        self,
        frames: int,
        size: tuple[int, int] = (320, 192),
        frame_rate: Fraction = Fraction(30000, 1001),
        pix_fmt: str = "yuv420p",
        noise_sigma: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Draw nothing yet.

        Args:
            frames: how many, up to 65536.
            size: (width, height); at least 16 x 16, for the index.
            frame_rate: frames per second.
            pix_fmt: a planar format.
            noise_sigma: standard deviation of Gaussian noise on every plane, on the 8-bit scale.
            seed: of texture and noise.
        """
        width, height = size
        if not 1 <= frames <= 1 << _BITS:
            raise ConfigError(f"frames must be 1 to {1 << _BITS}, got {frames}")
        if width < 16 or height < 16:
            raise ConfigError(f"size must be at least 16x16, got {width}x{height}")
        if noise_sigma < 0 or frame_rate <= 0:
            raise ConfigError(
                f"noise_sigma and frame_rate must not be negative, got {noise_sigma}, {frame_rate}"
            )
        self._frames = frames
        self._layout = pixel_layout(pix_fmt)
        self._sigma = noise_sigma
        self._seed = seed
        self._info = VideoInfo(
            width=width,
            height=height,
            pix_fmt=pix_fmt,
            time_base=1 / Fraction(frame_rate),
            frame_rate=Fraction(frame_rate),
            duration=frames / Fraction(frame_rate),
            frames=frames,
            color=ColorTags(_LIMITED_RANGE, _BT709, _BT709, _BT709),
        )

    @property
    def info(self) -> VideoInfo:
        """The track; its time_base is the duration of one frame."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """The frames; may be iterated again."""
        for index in range(self._frames):
            yield self._frame(index, noisy=self._sigma > 0)

    def clean(self, index: int) -> Frame:
        """Frame ``index`` without noise, to measure a denoiser against."""
        return self._frame(index, noisy=False)

    def interrupt(self) -> None:
        """Nothing here waits for data."""

    def close(self) -> None:
        """Nothing to release."""

    def _frame(self, index: int, *, noisy: bool) -> Frame:
        shapes = self._layout.plane_shapes(self._info.width, self._info.height)
        # One generator per frame: any frame can be made without the ones before.
        noise = np.random.default_rng((self._seed, index))
        planes = []
        for number, shape in enumerate(shapes):
            plane = self._draw(number, shape, index)
            if noisy:
                plane = plane + noise.standard_normal(shape, np.float32) * np.float32(self._sigma)
            planes.append(_quantised(plane, self._layout))
        _write_index(planes[0], index, self._layout)
        return Frame(tuple(planes), self._info.pix_fmt, index, self._info.time_base, 1, self._info.color)

    def _draw(self, number: int, shape: tuple[int, int], index: int) -> npt.NDArray[np.float32]:
        """Plane ``number`` on the 8-bit scale: fine and coarse stripes panning, and a disc that crosses them."""
        rows, columns = shape
        scale = self._info.width / columns
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * np.float32(scale)
        x = x + 2 * index + 7 * self._seed
        wave = np.sin(x / 9 + number) * np.cos(y / 7) + 0.5 * np.sin((x + y) / 2.3)
        disc = (
            np.hypot(x - 4 * index - self._info.width / 3, y - self._info.height / 2) < self._info.height / 5
        )
        picture = 118 + (45 if number == 0 else 20) * wave + np.where(disc, 30, 0)
        return cast(npt.NDArray[np.float32], picture.astype(np.float32))


class CollectSink:
    """Keeps what it is given, up to a bound.

    Attributes:
        items: frames and packets in order.
        finished: whether ``finish`` was called.
        aborted: whether ``abort`` was called.
    """

    def __init__(self, limit: int = 1024) -> None:
        """``limit``: items after which writing fails, so that a forgotten sink cannot fill the memory."""
        self.items: list[Frame | Packet] = []
        self.finished = False
        self.aborted = False
        self._limit = limit

    @property
    def frames(self) -> list[Frame]:
        """The frames alone."""
        return [item for item in self.items if isinstance(item, Frame)]

    def write(self, item: Frame | Packet) -> None:
        """Keep an item.

        Raises:
            SinkError: the bound is reached.
        """
        if len(self.items) >= self._limit:
            raise SinkError(f"more than {self._limit} items collected. Give CollectSink a higher limit")
        self.items.append(item)

    def finish(self) -> None:
        """Note the end."""
        self.finished = True

    def abort(self) -> None:
        """Note the failure; what was collected stays to be looked at."""
        self.aborted = True


def read_index(frame: Frame) -> int:
    """The index that a ``SyntheticSource`` wrote into a frame."""
    luma = frame.planes[0]
    middle = 1 << (pixel_layout(frame.pix_fmt).bits - 1)
    blocks = np.array_split(luma[:INDEX_ROWS].astype(np.float64), _BITS, axis=1)
    return int("".join("1" if block.mean() > middle else "0" for block in blocks), 2)


def _quantised(plane: npt.NDArray[np.float32], layout: PixelLayout) -> Plane:
    """From the 8-bit scale to samples of the layout, within limited range."""
    scale = 1 << (layout.bits - 8)
    return cast(Plane, np.rint(np.clip(plane, 16, 235) * scale).astype(layout.dtype))


def _write_index(luma: Plane, index: int, layout: PixelLayout) -> None:
    scale = 1 << (layout.bits - 8)
    for bit, block in enumerate(np.array_split(luma[:INDEX_ROWS], _BITS, axis=1)):
        block[:] = (235 if index >> (_BITS - 1 - bit) & 1 else 16) * scale
