"""From a portable graph to an engine, in a process of its own.

A builder is not ours to trust with the user's program: TensorRT-RTX's parser ends the process when it does not find
its own library, other failures have crashed inside the C++ library, and a build cannot always be stopped from within.
So a child builds, and what goes wrong there is an error message here.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from malle_rt.child import ChildEndedError, call
from malle_rt.errors import BackendError, ConfigError
from malle_rt.trt.flavour import TITLES
from malle_rt.trt.profiles import Profile

__all__ = ["BuildProgress", "BuildRequest", "BuiltEngine", "build_engine"]

LIMIT = 3600.0  # seconds for one build; small machines need minutes
ENGINE = "engine"  # file that the worker writes in its folder


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        flavour: "tensorrt" or "tensorrt-rtx".
        graph: the portable graph; its types are the engine's precision.
        profile: frame sizes.
        capabilities: architectures to build for, ("sm_89",), where the flavour can be told; the engine then uses
            nothing that the least of them lacks.
        widen: whether a graph in float16 is to be one in float32.
        gpu: whether there is a GPU here.
        optimization_level: 0 (fast build) to 5 (fast engine).
        workspace: MiB of GPU memory that a layer may use while it runs; None: no limit.
        timing_cache: file of measurements that later builds on this machine reuse; TensorRT only, None for none.
    """

    flavour: str
    graph: Path
    profile: Profile
    capabilities: tuple[str, ...] = ()
    widen: bool = False
    gpu: bool = False
    optimization_level: int = 3
    workspace: int | None = None
    timing_cache: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.optimization_level <= 5:
            raise ConfigError(f"the optimisation level must be 0 to 5, got {self.optimization_level}")
        if self.workspace is not None and self.workspace < 1:
            raise ConfigError(f"the workspace must be at least 1 MiB, got {self.workspace}")

    @property
    def options(self) -> str:
        """Options of the builder as text, for the engine's identity."""
        return f"level {self.optimization_level}, workspace {self.workspace or 'any'}"


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        share: 0 to 1; never falls.
        phase: TensorRT's own name of what it does.
    """

    share: float
    phase: str


@dataclass(frozen=True)
class BuiltEngine:
    """A new engine.

    Attributes:
        data: TensorRT's serialised plan.
        plugins: number of our nodes in it.
        seconds: it took to build.
    """

    data: bytes
    plugins: int
    seconds: float


def build_engine(
    request: BuildRequest,
    *,
    progress: Callable[[BuildProgress], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    limit: float = LIMIT,
) -> BuiltEngine:
    """Build an engine. Returns when it is there; TensorRT's memory is free again by then.

    Args:
        request: what to build.
        progress: called on this thread, some times a second.
        stopped: asked some times a second; True gives up.
        limit: seconds after which to give up.

    Raises:
        BackendUnavailable: the flavour cannot build here.
        BackendError: TensorRT refused, crashed, was stopped or took too long; its own words are in the message.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="malle-rt-") as name:
        folder, timings = Path(name), request.timing_cache
        request = replace(
            request, graph=request.graph.resolve(), timing_cache=timings.resolve() if timings else None
        )
        try:
            plugins = call(
                "malle_rt.trt.worker",
                request,
                lambda now: progress(BuildProgress(**now)) if progress is not None else None,
                stopped=stopped,
                limit=limit,
                folder=folder,
                environment=_library_path(folder),
            )
        except ChildEndedError as exc:
            raise BackendError(
                f"{TITLES[request.flavour]}'s builder {exc}", hint="No engine was kept"
            ) from exc
        return BuiltEngine((folder / ENGINE).read_bytes(), plugins, time.monotonic() - start)


def _library_path(folder: Path) -> dict[str, str]:
    """Make TensorRT-RTX's parser find its own library.

    It opens "libtensorrt_rtx.so" by that name; the wheel brings "libtensorrt_rtx.so.1" only. Where it finds nothing,
    it ends the process. The loader reads this variable when a process starts, and never again.
    """
    try:
        spec = importlib.util.find_spec("tensorrt_rtx_libs")
    except (ImportError, ValueError):
        spec = None
    for place in (spec.submodule_search_locations or []) if spec else []:
        for library in sorted(Path(place).glob("libtensorrt_rtx.so.*")):
            (folder / "libtensorrt_rtx.so").symlink_to(library)
            known = os.environ.get("LD_LIBRARY_PATH")
            return {"LD_LIBRARY_PATH": f"{folder}{os.pathsep}{known}" if known else str(folder)}
    return {}
