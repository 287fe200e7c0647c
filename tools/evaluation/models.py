"""What can be evaluated, by name, ours and others: denoisers of stills and of videos, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from yardstick.clips import Pictures, to_yuv420p
from yardstick.raw import to_frame, to_picture

from evaluation.peernets import DnCNN, FFDNet, load_dncnn, load_ffdnet
from evaluation.stills import StillDenoiser
from evaluation.video import VideoDenoiser
from malle_rt.api import open_denoiser
from malle_rt.bench.peers import reformatted
from malle_rt.config import MAX_SIGMA, DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.models import engines_folder, model_file, model_names
from malle_rt.net.cost import kmac_per_pixel, rt_kmac_per_pixel
from malle_rt.net.mallenet import STILLS_PRESETS
from malle_rt.net.weights import load_rt, load_stills_net

__all__ = ["PEERS", "denoised", "macs", "still_denoiser", "video_denoiser"]


def denoised(noisy: Pictures, config: DenoiseConfig) -> tuple[Pictures, float]:
    """A clip from a fresh state.

    Args:
        noisy: (T, H * 3 // 2, W) raw yuv420p.
        config: which network, how strongly.

    Returns:
        the same clean, and the sigma of the last frame, 8-bit scale.

    Raises:
        BackendUnavailable: the backend asked for cannot run here.
    """
    denoiser, _ = open_denoiser(config)
    try:
        clean = [to_picture(denoiser.start(to_frame(picture, at))()) for at, picture in enumerate(noisy)]
        return np.stack(clean), denoiser.sigma if isinstance(denoiser, FrameDenoiser) else 0.0
    finally:
        denoiser.close()


_PEERS: dict[str, tuple[str, Callable[[Path], FFDNet | DnCNN]]] = {
    "ffdnet": ("ffdnet_color.pth", load_ffdnet),
    "dncnn": ("dncnn_color_blind.pth", load_dncnn),
}
PEERS = tuple(_PEERS)
_TIMED_ONLY = ("swinir", "drunet", "fastdvdnet")  # their weights are not at hand


def still_denoiser(name: str, weights: Path) -> StillDenoiser:
    """A denoiser of photographs.

    Args:
        name: a peer, a stills network of ``engines/``, or the path of one's weights, a .safetensors file.
        weights: folder of other people's weights.

    Raises:
        ConfigError: for a name that is none of these.
        BackendError: its weights are missing, damaged or another network's.
    """
    if not _is_stills(name):
        return _peer(name, weights, "photographs", [*STILLS_PRESETS, "FILE.safetensors"])
    net = load_stills_net(_stills_file(name))
    return lambda noisy, _sigma: net(noisy)


def video_denoiser(name: str, weights: Path, precision: str = "auto", map_gain: float = 1.0) -> VideoDenoiser:
    """Clips of raw yuv420p to the same.

    Args:
        name: a network of ``engines/``, or a peer, which is run on every frame by itself, converted to RGB and back.
        weights: folder of other people's weights.
        precision: of ours.
        map_gain: the noise level that a peer is told, as a multiple of the truth: in 4:2:0 its best is not 1.

    Raises:
        ConfigError: for a name that is none of these.
        BackendError: a peer's weights are missing, damaged or another network's.
    """
    if name in model_names():
        return lambda noisy, sigma: _ours(name, precision, noisy, sigma)
    net = _peer(name, weights, "clips", model_names())
    return lambda noisy, sigma: _frame_by_frame(net, noisy, sigma * map_gain)


def macs(name: str, weights: Path) -> float:
    """Thousands of multiply-adds per pixel of the picture."""
    if name in model_names():
        return rt_kmac_per_pixel(load_rt(model_file(name, ".safetensors")))
    denoise = still_denoiser(name, weights)
    return kmac_per_pixel(lambda picture: denoise(picture, 25.0))


def _is_stills(name: str) -> bool:
    return name in STILLS_PRESETS or name.endswith(".safetensors")


def _stills_file(name: str) -> Path:
    return engines_folder() / f"{name}.safetensors" if name in STILLS_PRESETS else Path(name)


def _peer(name: str, weights: Path, material: str, ours: list[str]) -> FFDNet | DnCNN:
    if name not in _PEERS:
        hint = " (tools/peer_speed.py times it)" if name in _TIMED_ONLY else ""
        raise ConfigError(
            f"no network {name!r} for {material}{hint}; there are: {', '.join([*ours, *_PEERS])}"
        )
    file, load = _PEERS[name]
    if not (weights / file).is_file():
        raise BackendUnavailable(
            f"model {name} needs {file}, not found in {weights}: pass --peers DIR, its folder"
        )
    return load(weights / file)


def _ours(name: str, precision: str, noisy: Pictures, sigma: float) -> Pictures:
    return denoised(noisy, DenoiseConfig(model=name, precision=precision, strength=min(sigma, MAX_SIGMA)))[0]


@torch.inference_mode()
def _frame_by_frame(net: FFDNet | DnCNN, noisy: Pictures, luma_sigma: float) -> Pictures:
    # White RGB noise of sigma 1 has this much in BT.709 luma of limited range.
    share = float(np.sqrt(0.2126**2 + 0.7152**2 + 0.0722**2)) * 219 / 255
    results = []
    for picture in noisy:
        rgb = torch.from_numpy(reformatted(picture, "yuv420p", "rgb24")).permute(2, 0, 1)[None].float() / 255
        clean = net(rgb, luma_sigma / share)[0].clamp(0, 1).mul(255).round().byte()
        results.append(to_yuv420p(clean.permute(1, 2, 0).contiguous().numpy()[None])[0])
    return np.stack(results)
