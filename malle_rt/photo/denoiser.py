"""A picture of any size, denoised tile by tile in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import BackendInfo
from malle_rt.backends.select import select_photo_net
from malle_rt.config import DenoiseConfig, Strength, check_tuning
from malle_rt.contract import PHOTO_MULTIPLE
from malle_rt.errors import ConfigError
from malle_rt.photo.noise import PERIOD, Treatment, found_noise, noise_pattern, treatment

__all__ = ["PHOTO_MODEL", "ArrayCanvas", "Canvas", "PhotoDenoiser", "denoise_array"]

PHOTO_MODEL = "mallenet-m"
TILE = 768  # side of what the network sees at once
# What it sees beyond the pixels it is asked for. It looks farther, through its kernels on a grid of 64 pixels, but what
# it sees there changes a pixel by at most 0.3 8-bit code values (0.6 with 64 pixels, 0.02 with 128; noise of sigma 50).
MARGIN = 96
_SAMPLES, _SAMPLE = 8, 256  # noise of large pictures is measured on 8 x 8 squares of 256 pixels

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
AnyPixels = TypeVar("AnyPixels", npt.NDArray[np.uint8], npt.NDArray[np.uint16])
Values = npt.NDArray[np.float32]


class Canvas(Protocol):
    """A picture whose pixels are read and replaced.

    Attributes:
        height, width: in pixels.
        largest: code value of white: 255 or 65535.
    """

    height: int
    width: int
    largest: int

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Pixels of a rectangle, (rows, columns, 3) RGB, or (rows, columns, 1) gray."""
        ...

    def write(self, top: int, left: int, pixels: Pixels) -> None:
        """Replace a rectangle; shape as ``read`` gives it."""
        ...


class ArrayCanvas:
    """An array as a canvas: (H, W, 3) or (H, W), uint8 or uint16; changed in place."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self._pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        self.height, self.width = pixels.shape[:2]
        self.largest = int(np.iinfo(pixels.dtype).max)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """See ``Canvas``."""
        return self._pixels[top:bottom, left:right]

    def write(self, top: int, left: int, pixels: Pixels) -> None:
        """See ``Canvas``."""
        rows, columns = pixels.shape[:2]
        self._pixels[top : top + rows, left : left + columns] = pixels


class PhotoDenoiser:
    """Denoise photographs with one network; by one thread at a time.

    Args:
        model: name of a network for photographs.
        threads: of the CPU; None for all that this process may use.
        config: model, threads and what runs them, in place of the two above.

    Attributes:
        network_span: readings of ``time.perf_counter`` before and after the tiles of the last picture; None before.

    Raises:
        ConfigError: no such network, or not in the backend or precision asked for.
        BackendError: it cannot be opened here.
    """

    network_span: tuple[float, float] | None = None

    def __init__(
        self, model: str = PHOTO_MODEL, *, threads: int | None = None, config: DenoiseConfig | None = None
    ) -> None:
        self._net = select_photo_net(config or DenoiseConfig(model=model, threads=threads))

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._net.info

    def denoise(
        self,
        canvas: Canvas,
        strength: Strength = "auto",
        mix: float = 1.0,
        on_progress: Callable[[float], None] | None = None,
    ) -> float | None:
        """Denoise a picture in place.

        Args:
            canvas: the picture.
            strength: sigma of the noise to take away, 8-bit scale, or a word, see ``malle_rt.config``.
            mix: share of the denoised picture in the result.
            on_progress: told the share that is done, now and then.

        Returns:
            The strength, 8-bit scale; None: nothing was changed, for "auto" found next to no noise, or strength or mix
            is 0.

        Raises:
            ConfigError: strength or mix out of range.
            BackendError: the network fails.
        """
        chosen = self.examine(canvas, strength, mix)
        if chosen is None:
            return None
        self.treat(canvas, chosen, on_progress)
        return chosen.sigma

    def examine(self, canvas: Canvas, strength: Strength = "auto", mix: float = 1.0) -> Treatment | None:
        """What is to be done with a picture; None: leave it as it is. Arguments and errors as of ``denoise``."""
        check_tuning(strength, mix)
        return treatment(found_noise(_sample(canvas)), strength, mix)

    def treat(
        self, canvas: Canvas, chosen: Treatment, on_progress: Callable[[float], None] | None = None
    ) -> None:
        """Do it, in place. Errors as of ``denoise``."""
        begin = time.perf_counter()
        pattern = noise_pattern(chosen.added) if any(chosen.added) else None
        done = 0
        for top, left, clean in self._tiles(canvas, chosen, pattern):
            canvas.write(top, left, clean)
            done += clean.shape[0] * clean.shape[1]
            if on_progress:
                on_progress(done / (canvas.height * canvas.width))
        self.network_span = begin, time.perf_counter()

    def release(self) -> None:
        """Release what the network holds beside its weights; another picture takes it anew."""
        self._net.release()

    def close(self) -> None:
        """Release the network. May be called twice."""
        self._net.close()

    def _tiles(
        self, canvas: Canvas, chosen: Treatment, pattern: Values | None
    ) -> Iterator[tuple[int, int, Pixels]]:
        """Clean rectangles, with their corners. What is read has not been written to: bands overlap."""
        size = tuple(min(TILE, _padded(side)) for side in (canvas.height, canvas.width))
        band, above = canvas.read(0, 0, 0, canvas.width), 0
        for first, top, bottom in _spans(canvas.height, size[0]):
            fresh = canvas.read(above + len(band), 0, min(first + size[0], canvas.height), canvas.width)
            band, above = np.concatenate([band[first - above :], fresh]), first
            for begin, left, right in _spans(canvas.width, size[1]):
                tile = band[:, begin : begin + size[1]]
                clean = self._clean(tile, (first, begin), size, canvas.largest, chosen.share, pattern)
                yield top, left, clean[top - first : bottom - first, left - begin : right - begin]

    def _clean(
        self,
        tile: Pixels,
        corner: tuple[int, int],
        size: tuple[int, ...],
        largest: int,
        share: float,
        pattern: Values | None,
    ) -> Pixels:
        """A tile's own pixels, denoised; the network is given ``size``, the last row and column repeated."""
        rows, columns, channels = tile.shape
        noisy = np.empty((*size, 3), np.float32)
        np.multiply(tile, np.float32(1 / largest), out=noisy[:rows, :columns])
        noisy[:rows, columns:] = noisy[:rows, columns - 1 : columns]
        noisy[rows:] = noisy[rows - 1]
        if pattern is None:
            clean = self._net.run(noisy)[:rows, :columns]
        else:
            index = [
                np.arange(start, start + side) % PERIOD for start, side in zip(corner, size, strict=True)
            ]
            noise = pattern[np.ix_(*index)]
            clean = self._net.run(noisy + noise)[:rows, :columns].copy()
            clean += self._net.run(noisy - noise)[:rows, :columns]
            clean *= 0.5
        noisy = noisy[:rows, :columns]
        if channels == 1:
            clean, noisy = clean.mean(-1, keepdims=True), noisy[..., :1]
        result = noisy + np.float32(share) * (clean - noisy)
        codes: Pixels = np.rint(np.clip(result, 0, 1) * np.float32(largest)).astype(tile.dtype)
        return codes


def denoise_array(
    picture: AnyPixels,
    strength: Strength = "auto",
    model: str = PHOTO_MODEL,
    mix: float = 1.0,
    *,
    threads: int | None = None,
    backend: str = "auto",
    precision: str = "auto",
) -> AnyPixels:
    """Denoise one photograph.

    Args:
        picture: (H, W, 3) RGB or (H, W) gray, uint8 or uint16 (the whole range is used), any size; not changed.
        strength: standard deviation of the noise to take away, on the 8-bit scale, or a word: "auto" takes what is
            found in the picture, "light", "medium" and "strong" are shares of that.
        model: name of the network: "mallenet-s" or "mallenet-m".
        mix: share of the denoised picture in the result.
        threads: of the CPU; None for all that this process may use.
        backend: "auto", or the one that must run.
        precision: "auto", or the one it must run in.

    Returns:
        A new array of the same shape and dtype.

    Raises:
        ConfigError: for another shape or dtype, an unknown model, a value out of range.
        BackendError: when the network cannot run here.
    """
    shape_fits = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
    if not shape_fits or picture.dtype not in (np.uint8, np.uint16) or not picture.size:
        raise ConfigError(
            "a picture must be (H, W, 3) RGB or (H, W) gray of uint8 or uint16, "
            f"got {picture.shape} of {picture.dtype}"
        )
    clean: AnyPixels = picture.copy()
    config = DenoiseConfig(model=model, threads=threads, backend=backend, precision=precision)
    denoiser = PhotoDenoiser(config=config)
    try:
        denoiser.denoise(ArrayCanvas(clean), strength, mix)
    finally:
        denoiser.close()
    return clean


def _padded(side: int) -> int:
    return -(-side // PHOTO_MULTIPLE) * PHOTO_MULTIPLE


def _spans(length: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Parts of a side, one after the other: where the tile begins, and from where to where its pixels count.

    Tiles begin at multiples of ``PHOTO_MULTIPLE``, and the last ends where the padded side does, so that the network
    sees what it would see in the whole.

    Args:
        length: of the side, in pixels.
        size: of a tile, a multiple of ``PHOTO_MULTIPLE``: the padded side, or ``TILE``.
    """
    start = 0
    while start < length:
        first = min(max(0, start - MARGIN) // PHOTO_MULTIPLE * PHOTO_MULTIPLE, _padded(length) - size)
        end = length if first + size >= length else first + size - MARGIN
        yield first, start, end
        start = end


def _sample(canvas: Canvas) -> Values:
    """The picture, or squares of a large one below each other, (H, W, 3) on the 8-bit scale."""
    height, width = canvas.height, canvas.width
    if height * width <= (_SAMPLES * _SAMPLE) ** 2:
        parts = [canvas.read(0, 0, height, width)]
    else:
        rows, columns = (
            np.linspace(0, side - min(side, _SAMPLE), _SAMPLES).astype(int) for side in (height, width)
        )
        parts = [
            canvas.read(row, column, row + _SAMPLE, column + _SAMPLE) for row in rows for column in columns
        ]
    whole = np.concatenate(parts).astype(np.float32) * np.float32(255 / canvas.largest)
    rgb: Values = np.broadcast_to(whole, (*whole.shape[:2], 3))
    return rgb
