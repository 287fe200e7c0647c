"""Frames per second and latency of a GPU backend, the network alone and frame in to frame out."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from malle_rt.backends.base import Backend, FrameShape, Planes420
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.contract import Noise
from malle_rt.pipeline import nearest_rank

__all__ = ["measure", "noisy_planes"]

_CLIP = 8  # frames, played in a circle
_WARM_UP = 20


def measure(
    backend: Callable[[], Backend], sizes: dict[str, tuple[int, int]], *, frames: int
) -> list[dict[str, Any]]:
    """A row for each size.

    ``pipelined_fps``: frames kept in flight, planes in host memory to planes in host memory. ``latency_ms``: one
    frame at a time, the same way. ``compute_ms``: pack, network and unpack on the device, between events.
    ``gain_db``: what the last frame's luma gained on the noisy one, so that a row that ran nothing shows.
    """
    opened = backend()
    rows = []
    for size, (width, height) in sizes.items():
        session = opened.prepare(FrameShape(width, height))
        assert isinstance(session, GpuSession)
        clean, noisy = noisy_planes(width, height)
        row: dict[str, Any] = {"size": size, "backend": str(opened.info), "graphs": session.graphs}
        row["pipelined_fps"] = round(_throughput(session, noisy, frames), 1)
        latencies, last = _latencies(session, noisy, frames)
        ordered = sorted(latencies)
        row["latency_ms"] = {f"p{p}": round(nearest_rank(ordered, p), 3) for p in (50, 95, 99)}
        row["compute_ms"] = round(
            statistics.median(session.compute_milliseconds(noisy[0]) for _ in range(30)), 3
        )
        row["gain_db"] = round(_psnr(last, clean) - _psnr(noisy[(frames - 1) % _CLIP][0], clean), 2)
        rows.append(row)
        session.close()
    opened.close()
    return rows


def noisy_planes(width: int, height: int, sigma: float = 15.0) -> tuple[np.ndarray, list[Planes420]]:
    """Luma of a still picture, uint8 (height, width), and frames of it with white noise on every plane."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    luma = 128 + 60 * np.sin(columns / 23) * np.cos(rows / 31) + 30 * ((columns // 64 + rows // 64) % 2)
    chroma = luma[::2, ::2] * 0.25 + 96
    clip = []
    for _ in range(_CLIP):
        planes = [p + random.normal(0, sigma, p.shape).astype(np.float32) for p in (luma, chroma, chroma)]
        y, u, v = (plane.clip(0, 255).round().astype(np.uint8) for plane in planes)
        clip.append((y, u, v))
    return luma.clip(0, 255).round().astype(np.uint8), clip


def _throughput(session: GpuSession, clip: list[Planes420], frames: int) -> float:
    flying: deque[Callable[[], Planes420]] = deque()
    state, begun = None, 0.0
    for index in range(frames + _WARM_UP):
        if index == _WARM_UP:
            begun = time.perf_counter()
        result, state = session.start(clip[index % _CLIP], Noise.white(15.0), state)
        flying.append(result)
        if len(flying) > session.ahead:
            flying.popleft()()
    while flying:
        flying.popleft()()
    return frames / (time.perf_counter() - begun)


def _latencies(session: GpuSession, clip: list[Planes420], frames: int) -> tuple[list[float], np.ndarray]:
    state, times, luma = None, [], clip[0][0]
    for index in range(frames):
        begin = time.perf_counter()
        (luma, _, _), state = session.run(clip[index % _CLIP], Noise.white(15.0), state)
        times.append((time.perf_counter() - begin) * 1e3)
    return times, luma


def _psnr(luma: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(luma.astype(np.float64) - clean).mean() / 255**2))
