"""What this processor can do at most, as far as it can be measured: bytes copied and multiply-adds per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from malle_rt.backends.base import usable_cpus
from malle_rt.vino import opset13 as op
from malle_rt.vino import ov

__all__ = ["measure_limits"]

_COPIED = 64 * 2**20  # bytes per thread and direction: beyond the caches
_CHANNELS, _SIDE = 256, 96  # of the convolution whose rate is taken for the processor's own
_SECONDS = 0.5


def measure_limits() -> dict[str, float]:
    """Rates of the processor with all threads this process may use.

    Returns:
        ``copy_gb_per_s``: read and written, in 10^9 bytes; ``int8_gmac_per_s`` and ``fp32_gmac_per_s``: of a 3 x 3
        convolution from 256 to 256 channels in OpenVINO, in 10^9 multiply-adds.
    """
    rates = {"copy_gb_per_s": _copy_rate()}
    for precision in ("int8", "fp32"):
        rates[f"{precision}_gmac_per_s"] = _convolution_rate(quantised=precision == "int8")
    return rates


def _copy_rate() -> float:
    threads = usable_cpus()
    pairs = [(np.ones(_COPIED, np.uint8), np.ones(_COPIED, np.uint8)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy_all() -> None:
            for done in [pool.submit(np.copyto, target, source) for target, source in pairs]:
                done.result()

        return 2 * threads * _COPIED / _best(copy_all) / 1e9


def _convolution_rate(*, quantised: bool) -> float:
    x = op.parameter((1, _CHANNELS, _SIDE, _SIDE), ov.Type.f32)
    random = np.random.default_rng(0)
    taps = random.standard_normal((_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    weights: Any = op.constant(taps)
    data: Any = x
    if quantised:
        data = op.fake_quantize(x, *_range(0.0, 2.55), 256)
        weights = op.fake_quantize(weights, *_range(-1.27, 1.27), 255)
    result = op.convolution(data, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    if quantised:  # otherwise the result is written in four times as many bytes
        result = op.fake_quantize(op.relu(result), *_range(0.0, 255.0), 256)
    # Twice, so that the conversion at the entrance weighs less.
    second = op.convolution(result, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": usable_cpus()}
    request = ov.Core().compile_model(ov.Model([second], [x]), "CPU", options).create_infer_request()
    request.set_tensor(x.output(0), ov.Tensor(random.random((1, _CHANNELS, _SIDE, _SIDE), np.float32)))
    macs = 2 * _SIDE**2 * _CHANNELS**2 * 9
    return macs / _best(request.infer) / 1e9


def _range(low: float, high: float) -> tuple[Any, Any, Any, Any]:
    ends = [op.constant(np.float32(value)) for value in (low, high)]
    return ends[0], ends[1], ends[0], ends[1]


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls: a limit is what the machine can do undisturbed."""
    work()
    fastest, until = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        begin = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest
