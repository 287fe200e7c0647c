"""Training sequences: real clips, and stills moved by a synthetic camera. Everything lives on one device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from evaluation.pictures import picture_files, read_picture
from torch import Tensor

__all__ = ["TrainSet", "load_clip", "load_stills"]

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
