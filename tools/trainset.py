"""Clean training material, all on one device: sequences of clips and of moved stills, and crops of photographs."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
import torch.nn.functional as F
from evaluation.stills import picture_files, read_picture
from torch import Tensor

__all__ = ["Pair", "Photographs", "TrainSet", "load_clip", "load_stills", "validation_clip"]

CUT = 0.15  # share of sequences with a scene cut
STATIC = 0.35  # share of moved stills that do not move: the webcam on a tripod
LAYER = 0.3  # share of moved stills with a second, independently moving layer


def load_clip(path: Path, limit: int | None = None) -> np.ndarray:
    """Frames of a video file, or of a folder of pictures, as (T, H, W, 3) uint8 RGB."""
    if path.is_dir():
        names = sorted(path.iterdir())[:limit]
        return np.stack([read_picture(name) for name in names])
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if limit and len(frames) == limit:
                break
    return np.stack(frames)


def load_stills(folder: Path) -> list[np.ndarray]:
    """Pictures of a folder as (H, W, 3) uint8 RGB."""
    return [read_picture(path) for path in picture_files(folder)]


def validation_clip(path: Path, device: torch.device, frames: int = 12, size: int = 256) -> Tensor:
    """The middle of a clip, (T, 3, size, size) RGB in [0, 1]; sides shrink to multiples of 16 if they must."""
    clip = load_clip(path, frames)
    height, width = (min(side, size) // 16 * 16 for side in clip.shape[1:3])
    top, left = (clip.shape[1] - height) // 2, (clip.shape[2] - width) // 2
    crop = clip[:, top : top + height, left : left + width]
    return torch.from_numpy(crop.copy()).to(device).permute(0, 3, 1, 2).float() / 255


def _decode_all(clips: Path, stills: Sequence[Path], names: list[str], cache: Path) -> None:
    """Write the cache, whole or not at all."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "names": names,
        "clips": [
            torch.from_numpy(load_clip(path)).permute(0, 3, 1, 2).contiguous()
            for path in sorted(clips.iterdir())
        ],
        "stills": [
            torch.from_numpy(still.copy()).permute(2, 0, 1).contiguous()
            for folder in stills
            for still in load_stills(folder)
        ],
    }
    partial = cache.with_suffix(".partial")
    torch.save(data, partial)
    partial.replace(cache)


@dataclass
class TrainSet:
    """Clean sequences, drawn at random.

    Attributes:
        clips: each (T, 3, H, W) uint8.
        stills: each (3, H, W) uint8.
        generator: the one source of randomness, on the device of the data.
        real: share of sequences from clips.
    """

    clips: list[Tensor]
    stills: list[Tensor]
    generator: torch.Generator
    real: float = 0.5

    @classmethod
    def load(
        cls, clips: Path, stills: Sequence[Path], cache: Path, device: torch.device, seed: int
    ) -> TrainSet:
        """Decode once into ``cache`` (one .pt file), then keep everything on ``device``.

        Args:
            clips: folder of them.
            stills: folders of pictures, each picture as likely as any other.
            cache: made if it is not there; refused if made from files of other names.
            device: where the data is to live.
            seed: of all that is drawn.
        """
        names = [path.name for folder in (clips, *stills) for path in sorted(folder.iterdir())]
        if not cache.exists():
            _decode_all(clips, stills, names, cache)
        data = torch.load(cache, weights_only=True)
        if data["names"] != names:
            raise SystemExit(f"{cache} was made from other files than these folders hold: delete it")
        generator = torch.Generator(device).manual_seed(seed)
        return cls(
            [clip.to(device) for clip in data["clips"]],
            [still.to(device) for still in data["stills"]],
            generator,
        )

    def draw(self, frames: int, size: int) -> Tensor:
        """One clean sequence: (frames, 3, size, size) RGB in [0, 1]."""
        sequence = self._shot(frames, size)
        if self._chance(CUT) and frames > 2:
            at = 1 + self._below(frames - 1)
            sequence = torch.cat((sequence[:at], self._shot(frames - at, size)))
        return self._dihedral(sequence)

    def _shot(self, frames: int, size: int) -> Tensor:
        if self._chance(self.real):
            return self._real_shot(frames, size)
        shot = self._moved_still(frames, size, still=self._chance(STATIC))
        if self._chance(LAYER):
            mask = self._moving_blob(frames, size)
            shot = shot + mask * (self._moved_still(frames, size, still=False) - shot)
        return shot

    def _real_shot(self, frames: int, size: int) -> Tensor:
        clip = self.clips[self._below(len(self.clips))]
        count, _, height, width = clip.shape
        scale = 2 if min(height, width) >= 2 * size and self._chance(0.4) else 1
        top, left = self._below(height - scale * size + 1), self._below(width - scale * size + 1)
        step = 2 if self._chance(0.2) else 1
        # Bounce at the ends, so that a short clip can feed a long sequence.
        at = (self._below(count) + step * torch.arange(frames)) % (2 * count - 2)
        at = torch.where(at < count, at, 2 * count - 2 - at)
        crop = clip[at.to(clip.device), :, top : top + scale * size, left : left + scale * size].float() / 255
        return F.avg_pool2d(crop, scale) if scale > 1 else crop

    def _moved_still(self, frames: int, size: int, *, still: bool) -> Tensor:
        photo = self.stills[self._below(len(self.stills))]
        _, height, width = photo.shape
        if still:
            top, left = self._below(height - size + 1), self._below(width - size + 1)
            return (photo[:, top : top + size, left : left + size].float() / 255).expand(frames, -1, -1, -1)
        half = torch.tensor([width, height], device=photo.device) / 2
        path = self._path(frames, photo.device)  # pixels from the middle of the walk
        room = (half - size * 0.75).clamp(min=0)
        middle = (self._uniform(2) * 2 - 1) * room
        turn, zoom = (self._uniform(2) - 0.5).tolist()
        time = torch.linspace(-0.5, 0.5, frames, device=photo.device)
        angle, scale = (
            turn * 0.03 * frames * time,
            torch.exp(zoom * 0.03 * frames * time) * (1 + 0.2 * float(self._uniform(1))),
        )
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        line = torch.arange(size, device=photo.device) - (size - 1) / 2
        row, column = torch.meshgrid(line, line, indexing="ij")
        where = middle + path  # [T, 2] as x, y
        x = (cos[:, None, None] * column - sin[:, None, None] * row + where[:, 0, None, None]) / half[0]
        y = (sin[:, None, None] * column + cos[:, None, None] * row + where[:, 1, None, None]) / half[1]
        grid = torch.stack((x, y), -1)
        moved = F.grid_sample(
            (photo.float() / 255).expand(frames, -1, -1, -1),
            grid,
            mode="bicubic",
            padding_mode="reflection",
            align_corners=False,
        )
        return moved.clamp(0, 1)

    def _path(self, frames: int, device: torch.device) -> Tensor:
        """(T, 2) positions in pixels: a speed that drifts, 0 to about 10 pixels a frame, with a little shake."""
        speed = 10 * math.pow(float(self._uniform(1)), 2.5)
        heading = 2 * math.pi * float(self._uniform(1))
        drift = torch.randn(frames, 2, generator=self.generator, device=device) * (0.15 * speed)
        start = torch.tensor([math.cos(heading), math.sin(heading)], device=device) * speed
        walk = (start + drift.cumsum(0)).cumsum(0)
        shake = torch.randn(frames, 2, generator=self.generator, device=device) * (
            0.5 * math.pow(float(self._uniform(1)), 2)
        )
        return walk - walk[frames // 2] + shake

    def _moving_blob(self, frames: int, size: int) -> Tensor:
        """(T, 1, size, size) mask in [0, 1]: an ellipse with a fairly sharp edge on a path of its own."""
        device = self.generator.device
        centre = (self._uniform(2) - 0.5) * size + self._path(frames, device)
        radius = size * (0.1 + 0.3 * self._uniform(2))
        line = torch.arange(size, device=device) - (size - 1) / 2
        x = (line[None] - centre[:, :1]) / radius[0]
        y = (line[None] - centre[:, 1:]) / radius[1]
        distance = (x[:, None, :] ** 2 + y[:, :, None] ** 2).sqrt()
        mask: Tensor = torch.sigmoid((1 - distance) * float(radius.min()) * 1.5)
        return mask[:, None]

    def _dihedral(self, sequence: Tensor) -> Tensor:
        if self._chance(0.5):
            sequence = sequence.flip(-1)
        if self._chance(0.5):
            sequence = sequence.flip(-2)
        if self._chance(0.5):
            sequence = sequence.transpose(-1, -2)
        return sequence.flip(0) if self._chance(0.5) else sequence

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.generator.device)

    def _chance(self, share: float) -> bool:
        return float(self._uniform(1)) < share

    def _below(self, bound: int) -> int:
        return min(int(float(self._uniform(1)) * bound), bound - 1)


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
