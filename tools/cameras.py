"""Noise as cameras, tapes and films leave it: clean RGB sequences to the planes that a decoder would give.

In the order in which it happens in a camera: light -> mosaic of colour filters -> shot and read noise, hot pixels,
noise of whole rows -> white balance -> demosaicing -> tone curve -> cored details (how cameras smooth noise) ->
sharpening -> a smaller picture -> 4:2:0 -> an encoder. The ranges of shot and read noise are those of Brooks et al.,
"Unprocessing Images for Learned Raw Denoising", CVPR 2019, widened towards low light. Tapes carry luma of about 3 MHz
and chroma of about 0.5 MHz, whose noise is smeared along the lines; the grain of films is 1 to 3 pixels wide and
strongest in the middle tones. At the end, what H.264 and MJPEG leave of a sequence. Standard deviations are on the
8-bit scale (0 to 255); tensors hold [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from av.video.codeccontext import VideoCodecContext
from torch import Tensor

from malle_rt.net.noise import Encode, Planes420, rgb_to_planes

__all__ = ["CAMERAS", "Recorded", "h264", "mjpeg", "record", "through_encoder"]

GAMMA = 2.2


class Recorded(NamedTuple):
    """What was recorded, and what should have been.

    Attributes:
        noisy: planes on the 8-bit grid.
        clean: the same without noise and without an encoder: as sharp, as dark, as grainless as the camera draws.
        encoded: whether ``noisy`` has been through an encoder.
    """

    noisy: Planes420
    clean: Planes420
    encoded: bool


class _Dice:
    """Everything random, from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=self.generator, device=self.device))

    def log_between(self, low: float, high: float) -> float:
        return math.exp(self.between(math.log(low), math.log(high)))

    def chance(self, share: float) -> bool:
        return self.between(0, 1) < share

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device)

    @property
    def device(self) -> torch.device:
        return self.generator.device


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Ranges of a camera, from which each recording draws.

    Attributes:
        shot: variance of the noise per unit of linear light.
        larger: share of recordings whose sensor has twice the picture's width.
        core: details smaller than so many standard deviations of what is there count as noise, in part.
        core_chroma: likewise, of chroma.
        sharpen: how much of the details is added again.
        rows: share of recordings with noise of whole rows and hot pixels.
        colour: saturation of what it shows.
        encoded: share of recordings that are encoded.
    """

    shot: tuple[float, float]
    larger: float
    core: tuple[float, float]
    core_chroma: tuple[float, float]
    sharpen: tuple[float, float]
    rows: float = 0.0
    colour: tuple[float, float] = (0.8, 1.1)
    encoded: float = 0.8


_SENSORS = {
    "phone": Sensor(
        shot=(3e-4, 1.2e-2), larger=0.5, core=(0.2, 1.6), core_chroma=(0.5, 2.5), sharpen=(0.2, 1.0)
    ),
    "webcam": Sensor(
        shot=(1e-3, 2.5e-2), larger=0.3, core=(0.0, 1.4), core_chroma=(0.0, 2.0), sharpen=(0.0, 1.2)
    ),
    "cctv": Sensor(
        shot=(4e-3, 3e-2),
        larger=0.3,
        core=(0.0, 1.0),
        core_chroma=(0.0, 1.5),
        sharpen=(0.0, 0.8),
        rows=0.5,
        colour=(0.0, 0.6),
        encoded=0.95,
    ),
}


def record(clean: Tensor, camera: str, generator: torch.Generator, encode: Encode | None = None) -> Recorded:
    """Record a sequence.

    Args:
        clean: (T, 3, H, W) RGB in [0, 1], on the generator's device; H and W multiples of 4.
        camera: one of ``CAMERAS``.
        generator: all randomness comes from it.
        encode: the encoder and its decoder; None: nothing is encoded.
    """
    dice = _Dice(generator)
    noisy, target, share = CAMERAS[camera](clean, dice)
    noisy = Planes420(*(plane.clamp(0, 1).mul(255).round_().div_(255) for plane in noisy))
    target = Planes420(*(plane.clamp(0, 1) for plane in target))
    encoded = encode is not None and dice.chance(share)
    if encode is not None and encoded:
        noisy = encode(noisy, generator)
    return Recorded(noisy, target, encoded)


Pair = tuple[Planes420, Planes420, float]
"""Noisy and clean planes, and the share of such recordings that are encoded."""


def _sensor(name: str) -> Callable[[Tensor, _Dice], Pair]:
    return lambda clean, dice: _through_sensor(clean, _SENSORS[name], dice)


def _through_sensor(clean: Tensor, sensor: Sensor, dice: _Dice) -> Pair:
    height, width = clean.shape[2:]
    if dice.chance(sensor.larger):
        clean = F.interpolate(clean, scale_factor=2.0, mode="bicubic", align_corners=False).clamp(0, 1)
    grey = clean.mean(1, keepdim=True)
    clean = grey + (clean - grey) * dice.between(*sensor.colour)
    exposure = dice.between(0.25, 1.0) if dice.chance(0.5) else 1.0
    linear = clean.clamp(0, 1) ** GAMMA * exposure
    gains = torch.tensor([dice.between(1.2, 2.4), 1.0, dice.between(1.2, 2.2)], device=clean.device)
    gains = gains.view(1, 3, 1, 1)
    light = _mosaic(linear / gains)
    shot = dice.log_between(*sensor.shot)
    read = math.exp(2.18 * math.log(shot) + 1.2 + 0.26 * float(dice.normal(1)))
    noise = (light.clamp(min=0) * shot + read).sqrt() * dice.normal(*light.shape)
    if dice.chance(sensor.rows):
        noise = noise + dice.normal(*light.shape[:3], 1) * math.sqrt(read) * dice.between(0.1, 0.6)
        hot = dice.uniform(1, 1, *light.shape[2:]) < 10 ** -dice.between(3.0, 4.5)
        noise = noise + hot * dice.between(0.1, 0.6)
    # Digital gain: a dark scene is brought back, and its noise with it.
    gain = exposure ** -dice.between(0.0, 1.0)
    curve = 1 / (GAMMA * dice.between(0.9, 1.15))
    cores = dice.between(*sensor.core), dice.between(*sensor.core_chroma)
    sharpen, spread = dice.between(*sensor.sharpen), dice.between(0.6, 1.2)
    matrix = "bt709" if dice.chance(0.6) else "bt601"
    full = dice.chance(0.3)
    planes = []
    for raw in (light + noise, light):
        rgb = (_demosaic(raw) * gains * gain).clamp(1e-6, 1) ** curve
        if rgb.shape[2] != height:
            rgb = F.avg_pool2d(rgb, 2)
        planes.append(rgb)
    noisy_rgb = _cored(planes[0], planes[1], cores)
    noisy, target = (
        rgb_to_planes(_sharpened(rgb, sharpen, spread).clamp(0, 1), matrix=matrix, full_range=full)
        for rgb in (noisy_rgb, planes[1])
    )
    return noisy, target, sensor.encoded


def _mosaic(rgb: Tensor) -> Tensor:
    """(T, 3, H, W) to what a Bayer sensor (RGGB) sees, (T, 1, H, W)."""
    raw = rgb[:, 1:2].clone()
    raw[..., ::2, ::2] = rgb[:, 0:1, ::2, ::2]
    raw[..., 1::2, 1::2] = rgb[:, 2:3, 1::2, 1::2]
    return raw


# Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004:
# green at red or blue; red at green in a red row; in a blue row; red at blue. All divided by 8.
_GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ALONG = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_ACROSS = tuple(zip(*_ALONG, strict=True))
_OTHER = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


def _demosaic(raw: Tensor) -> Tensor:
    """(T, 1, H, W) RGGB to RGB."""
    kernels = torch.tensor((_GREEN, _ALONG, _ACROSS, _OTHER), device=raw.device).unsqueeze(1) / 8
    green, along, across, other = F.conv2d(F.pad(raw, (2,) * 4, mode="reflect"), kernels).split(1, 1)
    red, blue, greens = other.clone(), other.clone(), raw.clone()
    red[..., ::2, ::2], blue[..., 1::2, 1::2] = raw[..., ::2, ::2], raw[..., 1::2, 1::2]
    red[..., ::2, 1::2], blue[..., 1::2, ::2] = along[..., ::2, 1::2], along[..., 1::2, ::2]
    red[..., 1::2, ::2], blue[..., ::2, 1::2] = across[..., 1::2, ::2], across[..., ::2, 1::2]
    greens[..., ::2, ::2], greens[..., 1::2, 1::2] = green[..., ::2, ::2], green[..., 1::2, 1::2]
    return torch.cat((red, greens, blue), 1)


def _cored(noisy: Tensor, clean: Tensor, cores: tuple[float, float]) -> Tensor:
    """Shrink details that are no larger than noise, those of chroma more widely: what cameras do against noise."""
    level = (noisy - clean).square().mean().sqrt()
    luma = noisy.mean(1, keepdim=True)
    chroma = noisy - luma
    luma = _shrunk(luma, _gaussian(luma, 1.0), cores[0] * level)
    chroma = _shrunk(chroma, _gaussian(chroma, 2.0), cores[1] * level)
    return luma + chroma


def _shrunk(values: Tensor, smooth: Tensor, threshold: Tensor) -> Tensor:
    details = values - smooth
    kept = details.square() / (details.square() + threshold.square() + 1e-12)
    return smooth + details * kept


def _sharpened(rgb: Tensor, amount: float, spread: float) -> Tensor:
    return rgb + amount * (rgb - _gaussian(rgb, spread))


def _gaussian(values: Tensor, across: float, down: float | None = None) -> Tensor:
    """Blur by standard deviations in pixels, along rows and along columns (alike unless told)."""
    for spread, axis in ((across, 3), (across if down is None else down, 2)):
        if spread <= 0:
            continue
        reach = min(math.ceil(2.5 * spread), values.shape[axis] - 1)
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / spread) ** 2)
        shape = (1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1)
        kernel = (taps / taps.sum()).view(shape).expand(values.shape[1], -1, -1, -1)
        pads = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
        values = F.conv2d(F.pad(values, pads, mode="reflect"), kernel, groups=values.shape[1])
    return values


def _grain(dice: _Dice, shape: tuple[int, ...], across: float, down: float) -> Tensor:
    """Noise of unit variance, blurred."""
    noise = _gaussian(dice.normal(*shape), across, down)
    return noise / noise.square().mean().sqrt()


def _tape(clean: Tensor, dice: _Dice) -> Pair:
    """An analogue recording: little luma detail across, much less chroma, noise in streaks along the lines."""
    planes = rgb_to_planes(clean, matrix="bt601", full_range=False)
    width, chroma_width = dice.between(0.4, 1.2), dice.between(1.5, 4.0)
    target = Planes420(_gaussian(planes.y, width, 0), _gaussian(planes.uv, chroma_width, 0.3))
    luma, chroma = dice.between(1, 12) / 255, dice.between(2, 22) / 255
    streaks = _grain(dice, tuple(planes.y.shape), dice.between(0.5, 1.5), 0)
    colours = _grain(dice, tuple(planes.uv.shape), dice.between(2, 6), dice.between(0, 0.6))
    lines = dice.normal(*planes.y.shape[:3], 1) * luma * dice.between(0, 0.3)
    noisy = Planes420(target.y + luma * streaks + lines, target.uv + chroma * colours)
    if dice.chance(0.3):  # dot crawl: the colour carrier shows in the luma, and moves
        carrier = _carrier(target.y.shape, clean.device)
        amplitude = dice.between(0.1, 0.5) * F.interpolate(
            (target.uv - 0.5).norm(dim=1, keepdim=True), scale_factor=2.0
        )
        noisy = Planes420(noisy.y + carrier * amplitude, noisy.uv)
    return noisy, target, 0.5


def _carrier(shape: torch.Size, device: torch.device) -> Tensor:
    """A sine of a quarter of the sampling rate, turned from line to line and from frame to frame: (T, 1, H, W)."""
    time, _, rows, columns = (torch.arange(size, device=device) for size in shape)
    turn = columns.view(1, 1, 1, -1) + 2 * rows.view(1, 1, -1, 1) + 2 * time.view(-1, 1, 1, 1)
    return torch.sin(turn * (math.pi / 2))


def _film(clean: Tensor, dice: _Dice) -> Pair:
    """Grain of a scanned film: correlated, strongest in the middle tones, little colour of its own."""
    target = rgb_to_planes(clean, matrix="bt709" if dice.chance(0.7) else "bt601", full_range=False)
    size = dice.between(0.4, 1.3)
    sigma = dice.between(1, 14) / 255
    tone = 0.35 + 0.65 * (4 * target.y * (1 - target.y)).clamp(0, 1)
    noisy_y = target.y + sigma * tone * _grain(dice, tuple(target.y.shape), size, size)
    colours = _grain(dice, tuple(target.uv.shape), size / 2, size / 2) * (sigma * dice.between(0.2, 0.7))
    return Planes420(noisy_y, target.uv + colours), target, 0.6


CAMERAS: dict[str, Callable[[Tensor, _Dice], Pair]] = {
    **{name: _sensor(name) for name in _SENSORS},
    "tape": _tape,
    "film": _film,
}
"""Kinds of recordings, by name."""


Pictures = npt.NDArray[np.uint8]
"""(T, H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; H even, W a multiple of 4."""


def h264(pictures: Pictures, *, crf: float, preset: str = "medium") -> Pictures:
    """What x264 leaves at a constant rate factor; its presets are named as x264 does.

    The same frames do not always give the same bytes: on a busy machine a few runs in a hundred differ a little.
    """
    encoder = _context("libx264", "w")
    encoder.options = {"crf": f"{crf:.1f}", "preset": preset, "x264-params": "log-level=none"}
    return _through(encoder, _context("h264", "r"), pictures, "yuv420p")


def mjpeg(pictures: Pictures, *, quantiser: int) -> Pictures:
    """What FFmpeg's MJPEG encoder leaves at a quantiser of 1 (best) to 31."""
    encoder = _context("mjpeg", "w")
    encoder.qmin = encoder.qmax = quantiser
    return _through(encoder, _context("mjpeg", "r"), pictures, "yuvj420p")


def _context(codec: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = VideoCodecContext.create(codec, mode)
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1  # a sequence is small
    return context


def _through(
    encoder: VideoCodecContext, decoder: VideoCodecContext, pictures: Pictures, pix_fmt: str
) -> Pictures:
    encoder.width, encoder.height = pictures.shape[2], pictures.shape[1] * 2 // 3
    encoder.pix_fmt = pix_fmt
    encoder.framerate = Fraction(25)
    frames: list[av.VideoFrame] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=pix_fmt)
        frame.pts = number
        for packet in encoder.encode(frame):
            frames += decoder.decode(packet)
    for packet in encoder.encode(None):
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    return np.stack([frame.to_ndarray().astype(np.uint8, copy=False) for frame in frames])


MJPEG_SHARE = 0.2
MJPEG_QUANTISERS = (2, 10)  # of FFmpeg's 1 to 31
H264_CRF = (15, 33)
H264_PRESETS = ("superfast", "veryfast", "faster", "medium")


def through_encoder(planes: Planes420, generator: torch.Generator) -> Planes420:
    """Encode a sequence and decode it again, at a quality drawn at random.

    Args:
        planes: (T, 1, H, W) and (T, 2, H/2, W/2) on the 8-bit grid, [0, 1]; W a multiple of 4.
        generator: draws the encoder and its settings.
    """
    kind, quality, preset = torch.rand(3, generator=generator, device=generator.device).tolist()
    pictures = _pictures(planes)
    if kind < MJPEG_SHARE:
        low, high = MJPEG_QUANTISERS
        return _planes(mjpeg(pictures, quantiser=round(low + (high - low) * quality)), planes)
    low, high = H264_CRF
    name = H264_PRESETS[int(preset * len(H264_PRESETS))]
    return _planes(h264(pictures, crf=low + (high - low) * quality, preset=name), planes)


def _pictures(planes: Planes420) -> Pictures:
    frames, _, _, width = planes.y.shape
    flat = torch.cat([plane.reshape(frames, -1) for plane in planes], 1)
    pictures: Pictures = flat.mul(255).round().byte().reshape(frames, -1, width).cpu().numpy()
    return pictures


def _planes(pictures: Pictures, like: Planes420) -> Planes420:
    flat = torch.from_numpy(pictures).reshape(len(pictures), -1).to(like.y.device).float().div(255)
    luma, chroma = flat.split([like.y[0].numel(), like.uv[0].numel()], 1)
    return Planes420(luma.reshape(like.y.shape), chroma.reshape(like.uv.shape))
