"""Which adapter drives CUDA, and why it cannot be driven at all where that is so."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from malle_rt.cuda.driver import Driver
from malle_rt.cuda.libcuda import require_device
from malle_rt.cuda.sharing import share_context
from malle_rt.errors import BackendUnavailable, ConfigError

__all__ = ["ADAPTERS", "cuda_problem", "open_driver"]

log = logging.getLogger(__name__)

# By name, in the order of preference: the module of each.
ADAPTERS = {"cuda-bindings": "cuda.bindings.driver", "pycuda": "pycuda.driver"}


def open_driver(adapter: str = "auto", device: int = 0) -> Driver:
    """Open the CUDA driver on one GPU.

    Args:
        adapter: "cuda-bindings" or "pycuda", which runs or fails; "auto" takes the first that is installed.
        device: the driver's number of the GPU.

    Raises:
        BackendUnavailable: no adapter, no driver, one too old, or no such GPU.
        ConfigError: for an unknown adapter.
    """
    if adapter not in ("auto", *ADAPTERS):
        raise ConfigError(f"no CUDA adapter {adapter!r}; there are: auto, {', '.join(ADAPTERS)}")
    require_device(device)
    share_context(device)
    chosen, reason = _choose() if adapter == "auto" else (adapter, "asked for")
    driver = _open(chosen, device)
    gpu = driver.device
    log.info("CUDA through %s (%s) on GPU %d: %s, %s", chosen, reason, gpu.index, gpu.name, gpu.sm)
    return driver


def cuda_problem(device: int = 0) -> BackendUnavailable | None:
    """Why CUDA cannot be used on a GPU here; None when it can. Makes no context and imports no adapter."""
    try:
        require_device(device)
        _choose()
    except BackendUnavailable as exc:
        return exc
    return None


def _choose() -> tuple[str, str]:
    """Name of an adapter, and the reason."""
    first = next(iter(ADAPTERS))
    for name, module in ADAPTERS.items():
        if _installed(module):
            return name, "the default" if name == first else f"{first} is not installed"
    raise BackendUnavailable(
        f"no CUDA adapter is installed ({' or '.join(ADAPTERS)})", hint="pip install 'malle-rt[cuda]'"
    )


def _installed(module: str) -> bool:
    try:
        return find_spec(module.rpartition(".")[0]) is not None
    except ImportError:  # of a package above it
        return False


def _open(adapter: str, device: int) -> Driver:
    if adapter == "pycuda":
        from malle_rt.cuda.pycuda import PyCudaDriver

        return PyCudaDriver(device)
    from malle_rt.cuda.bindings import BindingsDriver

    return BindingsDriver(device)
