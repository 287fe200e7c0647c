"""Which backend runs, and why. Only "auto" may choose; any other name runs or fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from malle_rt.backends.base import Backend
from malle_rt.config import DenoiseConfig
from malle_rt.cuda.opening import cuda_problem
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.models import graph_precisions

__all__ = ["Selection", "select_backend"]

_NVIDIA = ("tensorrt", "tensorrt-rtx", "cuda")  # fastest first


@dataclass(frozen=True)
class Selection:
    """A backend and the reason for it, one line."""

    backend: Backend
    reason: str


def select_backend(config: DenoiseConfig) -> Selection:
    """Open the backend that a configuration asks for.

    Args:
        config: its ``backend`` is any but "none".

    Raises:
        BackendUnavailable: when it cannot run here.
        ConfigError: for an unknown model, or a precision that the backend does not have.
    """
    if config.backend == "auto":
        return _automatic(config)
    return Selection(_OPENERS[config.backend](config), "asked for")


def _automatic(config: DenoiseConfig) -> Selection:
    """NVIDIA's where there is such a GPU and software for it, else the embedded one."""
    problem = cuda_problem()
    if problem is not None:
        what, *_ = problem.split(": ")  # without the advice: nothing is wrong with a machine that has no GPU
        return Selection(_openvino(config), f"default here: {what}")
    reasons: list[str] = []
    for name in _NVIDIA:
        try:
            return Selection(_OPENERS[name](config), "; ".join(["fastest here", *reasons]))
        except (BackendUnavailable, ConfigError) as exc:  # ConfigError: not in this precision
            reasons.append(f"not {name}: {exc}")
    return Selection(_openvino(config), "; ".join(["default here", *reasons]))


def _openvino(config: DenoiseConfig) -> Backend:
    try:
        from malle_rt.backends.openvino import OpenVinoBackend
    except ImportError as exc:
        raise BackendUnavailable(
            f"backend 'openvino' needs OpenVINO ({exc}): pip install --force-reinstall malle-rt"
        ) from exc
    return OpenVinoBackend(config.model, precision=_on_cpu(config))


def _on_cpu(config: DenoiseConfig) -> Literal["int8", "fp32"]:
    """int8 where the processor is faster at it and the model has it."""
    from malle_rt.backends.openvino import int8_pays

    if config.precision == "fp16":
        raise ConfigError("backend 'openvino' runs in int8 or fp32, got fp16")
    if config.precision == "auto":
        return "int8" if int8_pays() and "int8" in graph_precisions(config.model) else "fp32"
    return "int8" if config.precision == "int8" else "fp32"


def _torch(config: DenoiseConfig) -> Backend:
    from malle_rt.backends.torch import TorchBackend

    if config.precision not in ("auto", "fp32"):
        raise ConfigError(f"backend 'torch' is the yardstick and runs in fp32, got {config.precision}")
    return TorchBackend(config.model)


def _cuda(config: DenoiseConfig) -> Backend:
    from malle_rt.backends.cuda import CudaBackend

    return CudaBackend(config.model, precision=_on_gpu(config), adapter=config.cuda_adapter)


def _tensorrt(config: DenoiseConfig, flavour: str) -> Backend:
    from malle_rt.backends.tensorrt import TensorRTBackend

    return TensorRTBackend(
        flavour,
        config.model,
        precision=_on_gpu(config),
        adapter=config.cuda_adapter,
        engine=Path(config.engine) if config.engine is not None else None,
        trust_engine=config.trust_engine,
    )


def _on_gpu(config: DenoiseConfig) -> str:
    return "fp16" if config.precision == "auto" else config.precision


_OPENERS: dict[str, Callable[[DenoiseConfig], Backend]] = {
    "tensorrt": lambda config: _tensorrt(config, "tensorrt"),
    "tensorrt-rtx": lambda config: _tensorrt(config, "tensorrt-rtx"),
    "cuda": _cuda,
    "openvino": _openvino,
    "torch": _torch,
}
