"""The engine a user asks for: from the cache, or built once, visibly, with the reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from malle_rt.contract import PHOTO_MULTIPLE
from malle_rt.cuda.driver import DeviceInfo
from malle_rt.errors import BackendUnavailable, ConfigError, EngineMismatch
from malle_rt.models import float_graph, graph_file, photo_graph, photo_model_names
from malle_rt.trt.build import BuildProgress, BuildRequest, BuiltEngine, build_engine
from malle_rt.trt.cache import EngineCache
from malle_rt.trt.flavour import Flavour
from malle_rt.trt.identity import EngineIdentity, gpu_fields, machine
from malle_rt.trt.plugin import VERSION
from malle_rt.trt.profiles import PHOTO, Profile

__all__ = ["EngineSpec", "ReadyEngine", "ready_engine", "served_capabilities", "specify"]

log = logging.getLogger(__name__)

_TURING = "sm_75"

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class EngineSpec:
    """One engine: what it is, and how it is built."""

    identity: EngineIdentity
    request: BuildRequest


@dataclass(frozen=True)
class ReadyEngine(Generic[Loaded]):
    """An engine that was loaded.

    Attributes:
        loaded: what the caller's ``load`` made of it.
        path: its file in the cache.
        built: how it was built just now; None when it came from the cache.
        reason: why it was built; "" when it was not.
    """

    loaded: Loaded
    path: Path
    built: BuiltEngine | None
    reason: str


def specify(
    flavour: Flavour,
    profile: Profile,
    device: DeviceInfo | None,
    *,
    model: str = "rt-s",
    precision: str = "fp16",
    kernels: str = "",
    optimization_level: int = 3,
    workspace: int | None = None,
) -> EngineSpec:
    """Describe an engine.

    Args:
        flavour: that builds and runs it.
        profile: frame sizes.
        device: the GPU it is for; None without one: TensorRT-RTX then builds for all it knows.
        model: name of the network.
        precision: "fp16", "int8" or "fp32".
        kernels: checksum of the kernels that the plugin starts, "" where they are not at hand.
        optimization_level: see ``BuildRequest``.
        workspace: see ``BuildRequest``.

    Raises:
        ConfigError: no such model, or none of it in this precision; an option out of its range.
        BackendUnavailable: the flavour does not serve this GPU, or not in this precision.
    """
    if model in photo_model_names():
        graph = photo_graph(model, "fp16" if precision == "fp32" else precision)
        profile = profile.widened(PHOTO_MULTIPLE)
    elif profile.name == PHOTO.name:
        raise ConfigError(f"profile {profile.name} is for networks for photographs, and {model} is none")
    else:
        graph = float_graph(model) if precision == "fp32" else graph_file(model, precision)
    capabilities = served_capabilities(flavour, device, precision)
    request = BuildRequest(
        flavour=flavour.name,
        graph=graph,
        profile=profile,
        capabilities=capabilities,
        widen=precision == "fp32",
        gpu=device is not None,
        optimization_level=optimization_level,
        workspace=workspace,
    )
    identity = EngineIdentity(
        model=model,
        precision=precision,
        profile=profile.name,
        flavour=flavour.name,
        version=flavour.version,
        machine=machine(),
        graph=hashlib.sha256(graph.read_bytes()).hexdigest(),
        sizes=profile.sizes,
        options=request.options,
        plugin=VERSION,
        kernels=kernels,
        **gpu_fields(device, capabilities),
    )
    return EngineSpec(identity, request)


def served_capabilities(flavour: Flavour, device: DeviceInfo | None, precision: str) -> tuple[str, ...]:
    """Architectures to build for: the GPU's; without one, all that the flavour serves in a precision.

    Raises:
        BackendUnavailable: it does not serve this GPU.
    """
    served = flavour.capabilities()
    if not served:
        return (device.sm,) if device else ()
    if precision == "int8":
        # For Turing it turns every quantised tensor back into floats; so it does for all when Turing is one of them.
        served = [name for name in served if name != _TURING]
    if device is None:
        return tuple(served)
    if device.sm not in served:
        raise BackendUnavailable(
            f"{flavour.title} serves {', '.join(served)} in {precision}, and {device.name} is {device.sm}: "
            "use backend 'tensorrt' or 'cuda', or another precision"
        )
    return (device.sm,)


def ready_engine(
    spec: EngineSpec,
    cache: EngineCache,
    load: Callable[[bytes], Loaded],
    *,
    check: Callable[[bytes], object] | None = None,
    force: bool = False,
    building: Callable[[str], None] | None = None,
    progress: Callable[[BuildProgress], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> ReadyEngine[Loaded]:
    """Load an engine from the cache; build it, once, when it is not there or does not load.

    Args:
        spec: which engine.
        cache: where to look, and where to keep it.
        load: makes of the engine's bytes what the caller needs; ``EngineMismatch`` says that they do not fit.
        check: tries a new engine before it is kept; what it raises is raised here, and nothing is kept.
        force: build even if there is one.
        building: told, before it begins, why an engine is built; None: that is logged as a warning.
        progress: see ``build_engine``.
        stopped: see ``build_engine``.

    Raises:
        BackendError: it cannot be built or kept.
        EngineMismatch: even the new engine does not load.
    """
    identity = spec.identity
    with cache.lock(identity):
        engine = None if force else cache.find(identity)
        if engine is not None:
            try:
                return ReadyEngine(load(engine), cache.path(identity), None, "")
            except EngineMismatch as exc:
                reason = f"the one in the cache does not load: {exc}"
        else:
            reason = "asked for" if force else cache.missing(identity)
        if building is None:
            log.warning("building the engine %s: %s", identity.file_name, reason)
        else:
            building(reason)
        request = replace(spec.request, timing_cache=cache.timings_path(identity))
        built = build_engine(request, progress=progress, stopped=stopped)
        if check is not None:
            check(built.data)
        path = cache.store(identity, built.data)
    return ReadyEngine(load(built.data), path, built, reason)
