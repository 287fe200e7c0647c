"""From a portable graph to an engine, in a process of its own.

A builder is not ours to trust with the user's program: TensorRT-RTX's parser ends the process when it does not find
its own library, other failures have crashed inside the C++ library, and a build cannot always be stopped from within.
So a child builds, and what goes wrong there is an error message here.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from malle_rt.child import module_command
from malle_rt.errors import BackendError, BackendUnavailable, ConfigError
from malle_rt.trt.flavour import TITLES
from malle_rt.trt.profiles import Profile

__all__ = ["BuildProgress", "BuildRequest", "BuiltEngine", "build_engine"]

log = logging.getLogger(__name__)

LIMIT = 3600.0  # seconds for one build; small machines need minutes
_WORKER = "malle_rt.trt.worker"
_POLL = 0.2  # seconds between looks at `stopped`
_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (BackendError, BackendUnavailable, ConfigError)
}


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        flavour: "tensorrt" or "tensorrt-rtx".
        graph: the portable graph; its types are the engine's precision.
        profile: frame sizes.
        capabilities: architectures to build for, ("sm_89",), where the flavour can be told; the engine then uses
            nothing that the least of them lacks.
        gpu: whether there is a GPU here.
        optimization_level: 0 (fast build) to 5 (fast engine).
        workspace: MiB of GPU memory that a layer may use while it runs; None: no limit.
        timing_cache: file of measurements that later builds on this machine reuse; TensorRT only, None for none.
    """

    flavour: str
    graph: Path
    profile: Profile
    capabilities: tuple[str, ...] = ()
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
        folder = Path(name)
        with (folder / "stderr").open("w+b") as errors, _child(request, folder, errors) as child:
            answer = _answer(child, progress, stopped, start + limit)
            code = child.wait(timeout=30)
        said = (folder / "stderr").read_text(errors="replace")
        log.debug("the builder's own output:\n%s", said)
        if answer is None:
            raise BackendError(f"{TITLES[request.flavour]}'s builder {_ending(code)}: {_last_line(said)}")
        data = (folder / "engine").read_bytes()
        return BuiltEngine(data, int(answer["plugins"]), time.monotonic() - start)


class _Child(subprocess.Popen[bytes]):
    """A process that does not outlive its ``with`` block."""

    def __exit__(self, *error: Any) -> None:
        if self.poll() is None:
            self.kill()
        super().__exit__(*error)


def _child(request: BuildRequest, folder: Path, errors: Any) -> _Child:
    if importlib.util.find_spec(_WORKER) is None:
        raise BackendError(f"malle-rt is not installed completely: {_WORKER} is missing")
    order = asdict(request) | {"graph": str(request.graph.resolve()), "engine": str(folder / "engine")}
    if request.timing_cache:
        order["timing_cache"] = str(request.timing_cache.resolve())
    return _Child(
        module_command(_WORKER, json.dumps(order)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=folder,
        env=os.environ | _library_path(folder),
    )


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


def _answer(
    child: _Child, progress: Callable[[BuildProgress], None] | None, stopped: Callable[[], bool], end: float
) -> dict[str, Any] | None:
    """The child's last word; None when it ended without one."""
    for line in _lines(child, stopped, end):
        message = json.loads(line)
        if "error" in message:
            raise _ERRORS.get(message["error"], BackendError)(message["text"])
        if "plugins" in message:
            return dict(message)
        if progress is not None:
            progress(BuildProgress(message["share"], message["phase"]))
    return None


def _lines(child: _Child, stopped: Callable[[], bool], end: float) -> Iterator[bytes]:
    """Lines as they come; looks at ``stopped`` and the clock while there are none."""
    output, rest = child.stdout.fileno() if child.stdout else -1, b""
    with selectors.DefaultSelector() as ready:
        ready.register(output, selectors.EVENT_READ)
        while True:
            if stopped():
                raise BackendError("the build was stopped; no engine was kept")
            if time.monotonic() > end:
                raise BackendError("the build took too long and was stopped; no engine was kept")
            if not ready.select(_POLL):
                continue
            content = os.read(output, 65536)
            if not content:
                return
            *lines, rest = (rest + content).split(b"\n")
            yield from lines


def _ending(code: int) -> str:
    """How a process ended."""
    return f"ended with signal {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
