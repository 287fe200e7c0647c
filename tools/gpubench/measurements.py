"""What is measured on an NVIDIA GPU: kernels, the slice's bandwidth, a backend's speed and latency, and file to file.

Only files need PyAV, and only they import it.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpubench.every_kernel import DeviceMemory, frame_launches
from malle_rt.backends.base import Backend, FrameShape, Planes420
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.contract import Noise
from malle_rt.cuda.driver import Driver, Stream
from malle_rt.cuda.kernels import Kernels, SliceDims
from malle_rt.cuda.launches import Storage
from malle_rt.frame import Plane
from malle_rt.measuring import describe_machine, psnr
from malle_rt.media.synthetic import INDEX_ROWS, SyntheticSource
from malle_rt.pipeline import nearest_rank

__all__ = [
    "describe",
    "measure_files",
    "measure_kernels",
    "measure_sessions",
    "measure_slices",
    "measure_together",
    "milliseconds",
    "noisy_planes",
]

_PACKAGES = ("torch", "cuda-bindings", "pycuda", "tensorrt", "tensorrt-rtx-cu13", "numpy", "av")
_QUERY = "driver_version,power.limit,clocks.max.sm,clocks.max.memory,clocks.current.sm,temperature.gpu"


def describe(driver: Driver) -> dict[str, Any]:
    """GPU, driver, versions; nothing that tells whose machine it is."""
    device = driver.device
    return {
        "gpu": device.name,
        "architecture": device.sm,
        "memory_mib": device.memory // 2**20,
        "cuda_of_the_driver": f"{device.driver // 1000}.{device.driver % 1000 // 10}",
        "nvidia_smi": _nvidia_smi(),
        **describe_machine(_PACKAGES),
    }


def _nvidia_smi() -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return {"error": str(exc)}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout else []
    return dict(zip(_QUERY.split(","), values, strict=False))


ROUNDS = 7


def milliseconds(driver: Driver, stream: Stream, work: Callable[[], None], *, repeats: int) -> float:
    """Median over rounds of the time that one call's work takes on the device.

    Args:
        driver: of the device.
        stream: that ``work`` fills.
        work: puts work into the stream; captured once into a CUDA graph of ``repeats`` calls, so that the host's own
            time for launches does not count, where the driver's adapter has graphs.
        repeats: calls of a round.
    """

    def all_of_it() -> None:
        for _ in range(repeats):
            work()

    work()  # what is loaded at first use must not be loaded in a capture, or be measured
    stream.synchronize()
    graph = None if driver.no_graphs else driver.capture(stream, all_of_it)
    start, end = driver.event(timing=True), driver.event(timing=True)
    times = []
    for _ in range(ROUNDS + 2):
        start.record(stream)
        if graph is None:
            all_of_it()
        else:
            graph.launch(stream)
        end.record(stream)
        end.wait(seconds=60)
        times.append(end.milliseconds_since(start) / repeats)
    for each in (start, end, *([graph] if graph else [])):
        each.close()
    return statistics.median(times[2:])


# Buffers take turns, so that what a call reads was pushed out of the last-level cache (50 to 128 MiB) since.
_SPREAD = 512 * 2**20
_MOST_BUFFERS = 64


@dataclass(frozen=True)
class Case:
    """One slice of MalleNet-RT at one picture size."""

    name: str
    dims: SliceDims


def cases(width: int, height: int, channels: int) -> list[Case]:
    """The slices of the networks: of rt-s, of the larger ones, and inside the trunk, of so many ``channels``."""
    rows, columns = height // 2, width // 2
    inside = (1, channels, 10 * channels)
    return [
        Case("luma K=5 stride 4", SliceDims.of((1, 1, height, width), (1, 26, rows // 2, columns // 2), 5)),
        Case("chroma K=3 stride 2", SliceDims.of((1, 2, rows, columns), (1, 10, rows // 2, columns // 2), 3)),
        Case("luma K=5 stride 2", SliceDims.of((1, 1, height, width), (1, 26, rows, columns), 5)),
        Case("chroma K=3 stride 1", SliceDims.of((1, 2, rows, columns), (1, 10, rows, columns), 3)),
        Case(
            f"trunk K=3 stride 4, {channels} channels",
            SliceDims.of((1, inside[1], rows, columns), (1, inside[2], rows // 4, columns // 4), 3),
        ),
    ]


def measure_slices(
    driver: Driver, sizes: dict[str, tuple[int, int]], channels: int = 16
) -> list[dict[str, Any]]:
    """A row for each case, size and storage type: microseconds, GB/s, and the share of the copy's GB/s."""
    kernels = Kernels(driver)
    rows: list[dict[str, Any]] = []
    storages: tuple[Storage, ...] = ("f16", "f32")
    with ExitStack() as undo:
        stream = driver.stream()
        undo.callback(stream.close)
        for (size, (width, height)), storage in itertools.product(sizes.items(), storages):
            for case in cases(width, height, channels):
                rows.append({"size": size, "storage": storage, "case": case.name})
                rows[-1] |= _one(driver, kernels, stream, case.dims, storage)
    return rows


def _one(
    driver: Driver, kernels: Kernels, stream: Stream, dims: SliceDims, storage: Storage
) -> dict[str, float]:
    item = 2 if storage == "f16" else 4
    x = dims.batch * dims.channels * dims.height * dims.width * item
    values = dims.kernel_size**2 + 1
    grid = dims.batch * dims.groups * values * dims.rows * dims.columns * item
    moved = 2 * x + grid
    count = min(_MOST_BUFFERS, max(2, -(-_SPREAD // moved)))
    with ExitStack() as undo:
        sets = []
        for _ in range(count):
            buffers = [driver.allocate(size) for size in (x, grid, x)]
            for buffer, size in zip(buffers, (x, grid, x), strict=True):
                undo.callback(buffer.close)
                driver.clear(buffer.pointer, size, stream)
            sets.append(tuple(buffer.pointer for buffer in buffers))
        turns = itertools.cycle(sets)

        def slice_once() -> None:
            source, kernel, target = next(turns)
            kernels.slice(source, kernel, target, dims, storage, stream.handle)

        taken = milliseconds(driver, stream, slice_once, repeats=4 * count)
    copied = _copy(driver, stream, moved)
    return {
        "microseconds": round(taken * 1e3, 2),
        "gigabytes_per_second": round(moved / taken / 1e6, 1),
        "copy_gigabytes_per_second": round(copied, 1),
        "share_of_copy": float(f"{moved / taken / 1e6 / copied:.3g}"),
    }


def _copy(driver: Driver, stream: Stream, moved: int) -> float:
    """GB/s, read and written, of device copies that move as many bytes in all."""
    half = moved // 2
    count = min(_MOST_BUFFERS, max(2, -(-_SPREAD // moved)))
    with ExitStack() as undo:
        pairs = []
        for _ in range(count):
            buffers = [driver.allocate(half) for _ in range(2)]
            for buffer in buffers:
                undo.callback(buffer.close)
            pairs.append((buffers[0].pointer, buffers[1].pointer))
        turns = itertools.cycle(pairs)

        def copy_once() -> None:
            source, target = next(turns)
            driver.copy(target, source, half, stream)

        taken = milliseconds(driver, stream, copy_once, repeats=4 * count)
    return 2 * half / taken / 1e6


def measure_kernels(driver: Driver, sizes: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """A row for each size: microseconds of every kernel that is no slice, for NV12 and a network in float16."""
    kernels = Kernels(driver)
    rows = []
    for size, picture in sizes.items():
        taken: dict[str, float] = {}
        with ExitStack() as undo:
            stream = driver.stream()
            undo.callback(stream.close)
            for launch in frame_launches(DeviceMemory(driver, stream, undo), picture):
                once = partial(kernels.start, launch, stream.handle)
                taken[launch.name] = round(milliseconds(driver, stream, once, repeats=20) * 1e3, 2)
        rows.append({"size": size, "microseconds": taken, "together": round(sum(taken.values()), 1)})
    return rows


_CLIP = 8  # frames, played in a circle
_WARM_UP = 20


def measure_sessions(
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
        ordered, end = sorted(latencies), (frames - 1) % _CLIP
        row["latency_ms"] = {f"p{p}": round(nearest_rank(ordered, p), 3) for p in (50, 95, 99)}
        row["compute_ms"] = round(
            statistics.median(session.compute_milliseconds(noisy[0]) for _ in range(30)), 3
        )
        row["gain_db"] = round(_gain(last, noisy[end][0], clean[end]), 2)
        rows.append(row)
        session.close()
    opened.close()
    return rows


def measure_together(
    backend: Callable[[], Backend], size: tuple[int, int], counts: Sequence[int], *, frames: int
) -> list[dict[str, Any]]:
    """A row for each number of videos at once on one GPU, by one process with a thread for each: frames a second."""
    opened = backend()
    shape = FrameShape(*size)
    _, noisy = noisy_planes(*size)
    rows = []
    for count in counts:
        sessions = [opened.prepare(shape) for _ in range(count)]
        begin = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda each: _throughput(cast(GpuSession, each), noisy, frames), sessions))
        seconds = time.perf_counter() - begin
        rows.append({"videos": count, "fps_of_all": round(count * (frames + _WARM_UP) / seconds, 1)})
        for each in sessions:
            each.close()
    opened.close()
    return rows


def noisy_planes(width: int, height: int, sigma: float = 15.0) -> tuple[list[Plane], list[Planes420]]:
    """Clean luma of the frames of a drawn clip, and the frames with white noise on every plane."""
    source = SyntheticSource(_CLIP, (width, height), noise_sigma=sigma)
    clip = [(frame.planes[0], frame.planes[1], frame.planes[2]) for frame in source]
    return [source.clean(index).planes[0] for index in range(_CLIP)], clip


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


def _latencies(session: GpuSession, clip: list[Planes420], frames: int) -> tuple[list[float], Plane]:
    state, times, luma = None, [], clip[0][0]
    for index in range(frames):
        begin = time.perf_counter()
        (luma, _, _), state = session.run(clip[index % _CLIP], Noise.white(15.0), state)
        times.append((time.perf_counter() - begin) * 1e3)
    return times, luma


def _gain(denoised: Plane, noisy: Plane, clean: Plane) -> float:
    """In dB, where the clip has noise: below the rows of the index."""
    denoised, noisy, clean = (plane[INDEX_ROWS:] for plane in (denoised, noisy, clean))
    return psnr(denoised, clean) - psnr(noisy, clean)


# Backend, strength and hwaccel of a row: as a user has it, with a fixed strength, decoded on the processor, and what
# decoding and encoding take by themselves.
FILE_CASES = (("auto", "auto"), (15.0, "auto"), (15.0, "none"), (None, "none"))


def measure_files(
    backend: str, sizes: dict[str, tuple[int, int]], *, frames: int
) -> Iterator[dict[str, Any]]:
    """A row for each size and case: frames per second of the job, seconds each stage worked, overlap of the stages."""
    from malle_rt import DenoiseConfig, EncodeConfig, Transcode, TranscodeOptions

    encode = EncodeConfig(codec="libx264", preset="ultrafast", crf=23)
    with tempfile.TemporaryDirectory() as folder:
        for size, (width, height) in sizes.items():
            source = Path(folder) / f"{size}.mp4"
            _write(source, width, height, frames)
            for number, (strength, hwaccel) in enumerate(FILE_CASES):
                config = DenoiseConfig(backend="none")
                if strength is not None:
                    config = DenoiseConfig(backend=backend, strength=cast(Any, strength))
                options = TranscodeOptions(config=config, encode=encode, hwaccel=hwaccel)
                with Transcode(source, source.with_suffix(f".{number}.mp4"), options) as job:
                    report = job.run().pipeline
                yield {
                    "size": size,
                    "backend": job.backend,
                    "strength": strength,
                    "hwaccel": hwaccel,
                    "frames": report.frames_out,
                    "fps": round(report.fps, 1),
                    "busy_s": {stage: round(seconds, 2) for stage, seconds in report.busy.items()},
                    "overlap": round(sum(report.busy.values()) / report.seconds, 2),
                }


def _write(path: Path, width: int, height: int, frames: int) -> None:
    """A noisy H.264 clip of 25 frames per second."""
    import av

    _, clip = noisy_planes(width, height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(_stacked(clip[index % len(clip)]), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _stacked(planes: Planes420) -> np.ndarray:
    """Y, U, V below each other, (rows * 3 / 2, columns), as PyAV takes yuv420p."""
    y, u, v = planes
    return np.concatenate([y, u.reshape(-1, y.shape[1]), v.reshape(-1, y.shape[1])])
