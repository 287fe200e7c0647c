"""Photographs as training material: decoded once, kept on the device as bytes, drawn as crops with white noise."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from evaluation.pictures import picture_files, read_picture
from torch import Tensor

__all__ = ["Pair", "Photographs"]


class Pair(NamedTuple):
    """Crops with and without noise, (N, 3, size, size) float32 RGB, 1 is white; the noise leaves [0, 1]."""

    noisy: Tensor
    clean: Tensor


@dataclass
class Photographs:
    """Clean photographs and the two sources of randomness.

    Attributes:
        pictures: each (3, H, W) uint8 RGB, all on one device.
        places: where crops are cut and how strong their noise is; on the CPU, so that no draw waits for a GPU.
        noise: the noise itself, on the device of the pictures.
    """

    pictures: list[Tensor]
    places: torch.Generator
    noise: torch.Generator

    @classmethod
    def load(cls, folder: Path, device: torch.device, seed: int) -> Photographs:
        """Every picture of a folder, in the order of the names.

        Decoding is Pillow's, on all threads: 215 megapixels of AVIF take some 10 s of one core.

        Raises:
            ConfigError: when there is nothing to read.
            SourceError: a picture is damaged.
        """
        names = picture_files(folder)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            pictures = [picture.to(device) for picture in pool.map(_decode, names)]
        return cls(pictures, torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed))

    def again(self, seed: int) -> Photographs:
        """The same pictures, drawn from another seed."""
        places, noise = (torch.Generator(each.device).manual_seed(seed) for each in (self.places, self.noise))
        return Photographs(self.pictures, places, noise)

    def draw(self, batch: int, size: int, sigma: tuple[float, float]) -> Pair:
        """Random crops, flipped and turned, with white Gaussian noise, not clipped, as the literature trains.

        Args:
            batch: crops, each of a picture of its own drawing.
            size: side in pixels.
            sigma: the noise's standard deviation, 8-bit scale, uniform between these for each crop.

        Raises:
            ValueError: when a picture is smaller than the crop.
        """
        chosen = torch.randint(len(self.pictures), (batch,), generator=self.places).tolist()
        crops = torch.stack([self._crop(self.pictures[index], size) for index in chosen])
        clean = crops.float() / 255
        low, high = sigma
        spread = (low + (high - low) * torch.rand(batch, 1, 1, 1, generator=self.places)) / 255
        white = torch.randn(clean.shape, generator=self.noise, device=clean.device)
        return Pair(clean + white * spread.to(clean.device), clean)

    def _crop(self, picture: Tensor, size: int) -> Tensor:
        """One of the eight ways to lay a random square of the picture, (3, size, size) uint8."""
        _, height, width = picture.shape
        if min(height, width) < size:
            raise ValueError(
                f"a photograph of {width}x{height} has no crop of {size}: leave it out or cut smaller"
            )
        share = torch.rand(5, generator=self.places).tolist()
        top, left = int(share[0] * (height - size + 1)), int(share[1] * (width - size + 1))
        crop = picture[:, top : top + size, left : left + size]
        mirrored = [axis for axis, draw in ((-1, share[2]), (-2, share[3])) if draw < 0.5]
        crop = crop.flip(mirrored) if mirrored else crop
        return crop.transpose(-1, -2) if share[4] < 0.5 else crop

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next draw is the same."""
        return {"places": self.places.get_state(), "noise": self.noise.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state`` gave."""
        self.places.set_state(state["places"])
        self.noise.set_state(state["noise"])


def _decode(path: Path) -> Tensor:
    return torch.from_numpy(read_picture(path)).permute(2, 0, 1).contiguous()
