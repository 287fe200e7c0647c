"""What networks for photographs have in common, whatever runs them: RGB in, RGB out, one tile at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Protocol

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import BackendInfo

__all__ = ["PhotoNet", "Pixels", "ReadyPhotoNet", "trial_picture"]

_KEPT = 2  # sizes that stay ready: the tile, and that of a picture smaller than one

Pixels = npt.NDArray[np.float32]


class ReadyPhotoNet(Protocol):
    """A network ready for one size."""

    def run(self, noisy: Pixels) -> Pixels:
        """See ``PhotoNet``."""
        ...

    def close(self) -> None:
        """Release what this size holds. May be called twice."""
        ...


class PhotoNet(ABC):
    """One way to run one network for photographs; by one thread at a time.

    Attributes:
        info: what is running.
    """

    info: BackendInfo

    def __init__(self) -> None:
        self._ready: OrderedDict[tuple[int, int], ReadyPhotoNet] = OrderedDict()

    def run(self, noisy: Pixels) -> Pixels:
        """Denoise one picture or tile.

        Args:
            noisy: (H, W, 3) RGB in [0, 1]; H and W are multiples of ``malle_rt.contract.PHOTO_MULTIPLE``.

        Returns:
            Same shape, not clipped; the memory is the network's own until the next call.

        Raises:
            BackendError: the network cannot be made ready for this size, or fails.
        """
        size = noisy.shape[0], noisy.shape[1]
        if size not in self._ready:
            while len(self._ready) >= _KEPT:
                self._ready.popitem(last=False)[1].close()
            self._ready[size] = self._prepare(*size)
        self._ready.move_to_end(size)
        return self._ready[size].run(noisy)

    def release(self) -> None:
        """Release what the sizes hold; the next picture takes it anew."""
        while self._ready:
            self._ready.popitem()[1].close()

    def close(self) -> None:
        """Release everything. May be called twice."""
        self.release()

    @abstractmethod
    def _prepare(self, rows: int, columns: int) -> ReadyPhotoNet:
        """Make ready for a size."""


def trial_picture(rows: int, columns: int) -> Pixels:
    """Waves, edges and white noise, always the same: what a new engine is tried on beside the reference."""
    y, x = np.mgrid[:rows, :columns]
    waves = [0.5 + 0.2 * np.sin(x / (9 + 4 * k)) * np.cos(y / 13) for k in range(3)]
    truth = np.stack(waves, -1) + 0.15 * ((x // 24 + y // 24) % 2)[..., None]
    noise = np.random.default_rng(7).normal(0, 20 / 255, truth.shape)
    picture: Pixels = np.clip(truth + noise, 0, 1).astype(np.float32)
    return picture
