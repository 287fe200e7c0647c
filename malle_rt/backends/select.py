"""Which backend runs, and why. Only "auto" may choose; any other name runs or fails."""

from __future__ import annotations

from dataclasses import dataclass

from malle_rt.backends.base import Backend
from malle_rt.config import BACKENDS
from malle_rt.errors import BackendUnavailable, ConfigError

__all__ = ["Selection", "select_backend"]


@dataclass(frozen=True)
class Selection:
    """A backend and the reason for it, one line."""

    backend: Backend
    reason: str


def select_backend(name: str, model: str) -> Selection:
    """Open the backend of that name for a model.

    Raises:
        BackendUnavailable: when it cannot run here.
        ConfigError: for an unknown name or model.
    """
    if name == "auto":
        return Selection(_openvino(model), "default on machines without an NVIDIA engine")
    if name == "openvino":
        return Selection(_openvino(model), "asked for")
    if name == "torch":
        from malle_rt.backends.torch import TorchBackend

        return Selection(TorchBackend(model), "asked for")
    raise ConfigError(f"no backend {name!r}; there are: {', '.join(BACKENDS)}")


def _openvino(model: str) -> Backend:
    try:
        from malle_rt.backends.openvino import OpenVinoBackend
    except ImportError as exc:
        raise BackendUnavailable(
            f"backend 'openvino' needs OpenVINO ({exc}): pip install --force-reinstall malle-rt"
        ) from exc
    return OpenVinoBackend(model)
