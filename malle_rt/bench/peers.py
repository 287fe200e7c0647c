"""The denoisers a user would take otherwise, on the same frames: FFmpeg's filters and OpenCV's non-local means."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace

from malle_rt.bench.clip import Clip
from malle_rt.bench.program_peer import ProgramFilter
from malle_rt.bench.proof import prove
from malle_rt.opencv import opencv

__all__ = ["PEERS", "PeerMeasurement", "measure_peer", "reformatted"]

# At the strengths a search found best for sigma 15 (tools/compare.py, between those of 10 and of 25).
_FILTERS = {"ffmpeg nlmeans": ("nlmeans", "s=5.4:p=5:r=11"), "ffmpeg hqdn3d": ("hqdn3d", "22:22:24:24")}
_OPENCV = "opencv fastNlMeansDenoisingColored"
PEERS = (*_FILTERS, _OPENCV)
_OPENCV_STRENGTH = 7.5
_FEWEST, _MOST, _SHOWN = 3, 400, 4
_TICK = Fraction(1, 30)  # seconds per frame
_PROGRAM_PIXELS = 250_000_000  # half a second of hqdn3d and more

Picture = npt.NDArray[np.uint8]
"""(H * 3 // 2, W): Y, then U and V."""
Denoise = Callable[[Picture], Picture]


@dataclass(frozen=True)
class PeerMeasurement:
    """One repeat.

    Attributes:
        gain_db: see ``Proof``; the last frames.
        problem: see ``Proof``. A weak denoiser is no failure of the benchmark, so it is only told.
        fps: frames of 4:2:0 in memory to such frames, one after the other.
        setting: what the peer was told.
    """

    gain_db: float
    problem: str | None
    fps: float
    setting: str


def measure_peer(name: str, clip: Clip, *, seconds: float, folder: Path) -> PeerMeasurement:
    """Measure one of ``PEERS``.

    Args:
        name: of the peer.
        clip: what it denoises.
        seconds: about how long.
        folder: for files.

    Raises:
        BackendUnavailable: FFmpeg's filter is neither in PyAV nor is there an ffmpeg program.
        MediaError: OpenCV is not installed.
    """
    if name in _FILTERS and _FILTERS[name][0] not in av.filter.filters_available:
        return _by_program("=".join(_FILTERS[name]), clip, folder)
    denoise, setting = _opened(name, clip)
    picture = _picture(clip, 0)
    denoise(picture)
    shown: dict[int, Picture] = {}
    taken, position = 0.0, 0
    while position < _FEWEST or (taken < seconds and position < _MOST):
        picture = _picture(clip, position)
        begin = time.perf_counter()
        clean = denoise(picture)
        taken += time.perf_counter() - begin
        shown[position] = clean[: clip.size[1]]
        shown.pop(position - _SHOWN, None)
        position += 1
    proof = prove(shown, clip)
    return PeerMeasurement(proof.gain_db, proof.problem, position / taken, setting)


def _opened(name: str, clip: Clip) -> tuple[Denoise, str]:
    if name == _OPENCV:
        return _by_opencv, f"h={_OPENCV_STRENGTH:g} hColor={_OPENCV_STRENGTH:g}, RGB conversion included"
    filter_name, options = _FILTERS[name]
    return _filter(filter_name, options, clip.size), f"{filter_name}={options}"


def _filter(name: str, options: str, size: tuple[int, int]) -> Denoise:
    graph, yuv420p = Graph(), av.VideoFormat("yuv420p")
    entrance = graph.add_buffer(width=size[0], height=size[1], format=yuv420p, time_base=_TICK)
    middle, end = graph.add(name, options), graph.add("buffersink")
    entrance.link_to(middle)
    middle.link_to(end)
    graph.configure()
    position = 0

    def denoise(picture: Picture) -> Picture:
        nonlocal position
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = position, _TICK
        position += 1
        graph.vpush(frame)
        return graph.vpull().to_ndarray().astype(np.uint8, copy=False)

    return denoise


def _by_program(graph: str, clip: Clip, folder: Path) -> PeerMeasurement:
    """The same outside this process: a filter fast enough to be measured so only by the difference it makes."""
    peer = ProgramFilter(graph, (_picture(clip, position) for position in range(_SHOWN)), folder)
    luma = [picture[: clip.size[1]] for picture in peer.output()]
    proof = prove(dict(enumerate(luma)), clip)
    fps = peer.fps(_PROGRAM_PIXELS // (clip.size[0] * clip.size[1] * _SHOWN))
    return PeerMeasurement(proof.gain_db, proof.problem, fps, f"{graph}, by the ffmpeg program")


def _by_opencv(picture: Picture) -> Picture:
    image = reformatted(picture, "yuv420p", "bgr24")
    clean = opencv().fastNlMeansDenoisingColored(image, None, _OPENCV_STRENGTH, _OPENCV_STRENGTH)
    return reformatted(clean.astype(np.uint8, copy=False), "bgr24", "yuv420p")


def reformatted(picture: Picture, source: str, target: str) -> Picture:
    """A picture, as FFmpeg stores it raw, in another pix_fmt: BT.709, yuv420p of limited range, RGB of full."""
    full, limited = ColorRange.JPEG, ColorRange.MPEG
    converted = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source).reformat(
        format=target,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=limited if source == "yuv420p" else full,
        dst_color_range=limited if target == "yuv420p" else full,
    )
    return converted.to_ndarray().astype(np.uint8, copy=False)


def _picture(clip: Clip, position: int) -> Picture:
    planes = clip.noisy(position).planes
    flat = np.concatenate([plane.reshape(-1) for plane in planes]).astype(np.uint8, copy=False)
    return flat.reshape(-1, clip.size[0])
