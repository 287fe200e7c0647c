"""Which backend runs, and why. Only "auto" may choose; any other name runs or fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from malle_rt.backends.base import Backend
from malle_rt.backends.photo import PhotoNet
from malle_rt.config import NVIDIA, DenoiseConfig
from malle_rt.cuda.opening import cuda_problem
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.models import graph_precisions
from malle_rt.ops.native import openvino_pin

__all__ = ["Selection", "running_line", "select_backend", "select_photo_net"]

log = logging.getLogger(__name__)

SEVERAL_GPUS = 'Videos made in segments take several: transcode with gpu="all"'
_WIDEST = 91  # characters of the line on what runs: 100 with "backend: " before it


@dataclass(frozen=True)
class Selection:
    """A backend and the reason for it, a few words; what was passed over is logged in full."""

    backend: Backend
    reason: str

    def __str__(self) -> str:
        """What runs and why, one short line."""
        info = self.backend.info
        return running_line(", ".join((str(info), *info.notes)), self.reason)


def running_line(*parts: str) -> str:
    """What runs, the most important part first: at most 91 characters; the log gets all of a longer one."""
    line = "; ".join(parts)
    if len(line) <= _WIDEST:
        return line
    log.info("backend: %s", line)
    return line[: _WIDEST - 3] + "..."


def select_backend(config: DenoiseConfig) -> Selection:
    """Open the backend that a configuration asks for.

    Args:
        config: its ``backend`` is any but "none".

    Raises:
        BackendUnavailable: when it cannot run here.
        ConfigError: for an unknown model, or a precision that the backend does not have; for all GPUs at once.
    """
    if config.gpu == "all":
        raise ConfigError("one network runs on one GPU: give its number as gpu", hint=SEVERAL_GPUS)
    if config.backend == "auto":
        return _automatic(config)
    return Selection(_OPENERS[config.backend](config), "asked for")


def select_photo_net(config: DenoiseConfig) -> PhotoNet:
    """Open a network for photographs; "auto" is the embedded backend.

    Raises:
        BackendUnavailable: it cannot run here.
        ConfigError: no such network, or a precision that the backend does not have it in.
    """
    backend = "openvino" if config.backend == "auto" else config.backend
    if config.gpu is not None and backend not in NVIDIA:
        raise ConfigError(
            f"{config.model} runs on the processor, got gpu={config.gpu}",
            hint='Add backend="cuda", or leave gpu out',
        )
    if config.gpu == "all":
        raise ConfigError("one network runs on one GPU: give its number as gpu", hint=SEVERAL_GPUS)
    only = _PHOTO_PRECISIONS.get(backend)
    if only is None or config.precision not in ("auto", only):
        has = ", ".join(f"{name} ({precision})" for name, precision in _PHOTO_PRECISIONS.items())
        raise ConfigError(
            f"model {config.model} runs in backend {has}; got {config.backend} in {config.precision}"
        )
    if backend == "openvino":
        from malle_rt.backends.openvino_photo import OpenVinoPhotoNet

        return OpenVinoPhotoNet(config.model, threads=config.threads)
    if backend in ("torch", "cuda"):
        from malle_rt.backends.torch_photo import CudaPhotoNet, TorchPhotoNet

        if backend == "torch":
            return TorchPhotoNet(config.model)
        return CudaPhotoNet(config.model, adapter=config.cuda_adapter, device=_gpu_number(config))
    from malle_rt.backends.tensorrt_photo import TensorRTPhotoNet

    return TensorRTPhotoNet(
        backend,
        config.model,
        adapter=config.cuda_adapter,
        gpu=_gpu_number(config),
        engine=Path(config.engine) if config.engine is not None else None,
        trust_engine=config.trust_engine,
    )


# The one that each backend runs networks for photographs in.
_PHOTO_PRECISIONS = {
    "openvino": "fp32",
    "torch": "fp32",
    "cuda": "fp16",
    "tensorrt": "fp16",
    "tensorrt-rtx": "fp16",
}


def _automatic(config: DenoiseConfig) -> Selection:
    """NVIDIA's where there is such a GPU and software for it, else the embedded one, unless a GPU was named."""
    problem = cuda_problem(_gpu_number(config))
    if problem is not None:
        if config.gpu is not None:
            raise problem
        log.info("no backend for NVIDIA GPUs: %s", problem)
        # Without the advice: nothing is wrong with a machine that has no GPU.
        return Selection(_openvino(config), problem.what.partition(" (")[0])
    passed: list[str] = []
    reasons: list[str] = []
    for name in NVIDIA:
        try:
            return Selection(_OPENERS[name](config), _without(passed) if passed else "fastest here")
        except (BackendUnavailable, ConfigError) as exc:  # ConfigError: not in this precision
            log.info("not %s: %s", name, exc)
            passed.append(name)
            reasons.append(f"{name}: {exc}")
    if config.gpu is not None:
        raise BackendUnavailable(f"nothing here runs on GPU {config.gpu}: {'; '.join(reasons)}")
    return Selection(_openvino(config), _without(passed))


def _without(passed: list[str]) -> str:
    return f"not {', '.join(passed)} (-v says why)"


def _openvino(config: DenoiseConfig) -> Backend:
    try:
        from malle_rt.backends.openvino import OpenVinoBackend
    except ImportError as exc:
        raise BackendUnavailable(
            f"backend 'openvino' needs OpenVINO ({exc}): pip install '{openvino_pin()}'"
        ) from exc
    return OpenVinoBackend(config.model, threads=config.threads, precision=_on_cpu(config))


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

    return CudaBackend(
        config.model,
        precision=_on_gpu(config),
        adapter=config.cuda_adapter,
        device=_gpu_number(config),
        widen=config.precision == "auto",
    )


def _tensorrt(config: DenoiseConfig, flavour: str) -> Backend:
    from malle_rt.backends.tensorrt import TensorRTBackend

    return TensorRTBackend(
        flavour,
        config.model,
        precision=_on_gpu(config),
        adapter=config.cuda_adapter,
        device=_gpu_number(config),
        widen=config.precision == "auto",
        engine=Path(config.engine) if config.engine is not None else None,
        trust_engine=config.trust_engine,
    )


def _gpu_number(config: DenoiseConfig) -> int:
    return config.gpu if isinstance(config.gpu, int) else 0


def _on_gpu(config: DenoiseConfig) -> str:
    return "fp16" if config.precision == "auto" else config.precision


_OPENERS: dict[str, Callable[[DenoiseConfig], Backend]] = {
    "tensorrt": lambda config: _tensorrt(config, "tensorrt"),
    "tensorrt-rtx": lambda config: _tensorrt(config, "tensorrt-rtx"),
    "cuda": _cuda,
    "openvino": _openvino,
    "torch": _torch,
}
