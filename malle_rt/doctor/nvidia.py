"""NVIDIA's GPU, driver and libraries."""

from __future__ import annotations

from collections.abc import Iterator

from malle_rt.cuda.driver import Driver
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import ADAPTERS, cuda_problem, open_driver
from malle_rt.doctor.finding import Finding, State
from malle_rt.errors import BackendError
from malle_rt.measuring import package_version
from malle_rt.trt.flavour import FLAVOURS, load_flavour

__all__ = ["examine_nvidia"]

_PACKAGES = {"cuda-bindings": "cuda-bindings", "pycuda": "pycuda"}
_EXTRAS = {"cuda-bindings": "cuda", "pycuda": "pycuda"}


def examine_nvidia() -> Iterator[Finding]:
    """Adapters, driver and GPU, kernels, both flavours of TensorRT."""
    for adapter in ADAPTERS:
        found = package_version(_PACKAGES[adapter])
        advice = "" if found else f"pip install 'malle-rt[{_EXTRAS[adapter]}]'"
        state: State = "ok" if found else "missing"
        yield Finding(
            section="nvidia", name=adapter, state=state, detail=found or "not installed", advice=advice
        )
    problem = cuda_problem()
    if problem is not None:
        yield Finding(section="nvidia", name="GPU", state="missing", detail=problem.what, advice=problem.hint)
        yield from _flavours(None)
        return
    try:
        driver = open_driver()
    except BackendError as exc:
        yield Finding(section="nvidia", name="GPU", state="broken", detail=str(exc))
        yield from _flavours(None)
        return
    try:
        yield from _gpu(driver)
        yield from _flavours(driver)
    finally:
        driver.close()


def _gpu(driver: Driver) -> Iterator[Finding]:
    device = driver.device
    version = f"CUDA {device.driver // 1000}.{device.driver % 1000 // 10}"
    detail = f"{device.name}, {device.sm}, {device.memory // 2**20} MiB, driver for {version}"
    yield Finding(section="nvidia", name="GPU", state="ok", detail=detail)
    try:
        image = Kernels(driver).image
    except BackendError as exc:
        yield Finding(section="nvidia", name="our kernels", state="broken", detail=str(exc))
    else:
        yield Finding(section="nvidia", name="our kernels", state="ok", detail=image)


def _flavours(driver: Driver | None) -> Iterator[Finding]:
    for name in FLAVOURS:
        try:
            from malle_rt.trt.engines import served_capabilities

            flavour = load_flavour(name)
            served_capabilities(flavour, driver.device if driver else None, "fp16")
        except BackendError as exc:
            yield Finding(section="nvidia", name=name, state="missing", detail=exc.what, advice=exc.hint)
        else:
            yield Finding(section="nvidia", name=name, state="ok", detail=flavour.version)
