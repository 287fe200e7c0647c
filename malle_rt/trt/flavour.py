"""TensorRT comes in two flavours with one API: TensorRT itself (data centre, desktop, Jetson) and TensorRT-RTX."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.trt.messages import Messages

__all__ = ["FLAVOURS", "TITLES", "Flavour", "choose_flavour", "load_flavour"]

OLDEST = (10, 0)  # TensorRT: the first with IPluginV3 and with networks that are typed by their graph alone
_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
TITLES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
_INSTALL = {
    "tensorrt": "Install TensorRT 10 or newer from NVIDIA (pip install tensorrt; on a Jetson, JetPack brings it)",
    "tensorrt-rtx": "pip install 'malle-rt[rtx]'",
}
FLAVOURS = tuple(_MODULES)


@dataclass(frozen=True, eq=False)
class Flavour:
    """One TensorRT library, loaded.

    Attributes:
        name: "tensorrt" or "tensorrt-rtx", as users write it.
        module: the Python module; ``Any``, since it ships no types.
        version: full version of the library.
        messages: everything it has to say; TensorRT takes one logger for the life of a process.
    """

    name: str
    module: Any
    version: str
    messages: Messages

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"{TITLES[self.name]} {self.version}"

    @property
    def is_rtx(self) -> bool:
        """Whether it compiles its kernels on the machine that runs them, so that it builds without a GPU."""
        return self.name == "tensorrt-rtx"

    @property
    def frees_plugins(self) -> bool:
        """Whether a plugin in Python may be destroyed: the bindings before 10.4 damage the memory of others then."""
        return self.is_rtx or _numbers(self.version) >= (10, 4)

    def capabilities(self) -> list[str]:
        """Architectures it can be told to build for ("sm_89"); none when it builds for the GPU at hand only."""
        if not self.is_rtx:
            return []
        members = self.module.ComputeCapability.__members__
        return [f"sm_{name[2:]}" for name in members if name.startswith("SM")]


@cache
def load_flavour(name: str) -> Flavour:
    """Load a flavour; the same object every time.

    Raises:
        ConfigError: unknown name.
        BackendUnavailable: not installed, not loadable or too old.
    """
    if name not in _MODULES:
        raise ConfigError(f"no TensorRT flavour {name!r}; there are: {', '.join(FLAVOURS)}")
    module = _import(name)
    version = str(module.__version__)
    if name == "tensorrt" and _numbers(version) < OLDEST:
        raise BackendUnavailable(
            f"backend 'tensorrt' needs TensorRT {OLDEST[0]}.{OLDEST[1]} or newer, this is {version}",
            hint=_INSTALL[name],
        )
    return Flavour(name, module, version, Messages(module))


def choose_flavour(name: str | None = None) -> tuple[Flavour, str]:
    """The flavour asked for, or else the installed one, and why it is the one.

    Raises:
        ConfigError, BackendUnavailable: see ``load_flavour``; also when none is installed.
    """
    if name is not None:
        return load_flavour(name), "asked for"
    installed = [name for name in FLAVOURS if importlib.util.find_spec(_MODULES[name]) is not None]
    if not installed:
        ways = "; or ".join(f"{TITLES[name]}: {_INSTALL[name]}" for name in reversed(FLAVOURS))
        raise BackendUnavailable("no TensorRT is installed", hint=ways)
    reason = "the only one installed" if len(installed) == 1 else "the first of those installed"
    return load_flavour(installed[0]), reason


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError as exc:
        missing = f"{TITLES[name]} ({exc})" if importlib.util.find_spec(_MODULES[name]) else TITLES[name]
        raise BackendUnavailable(f"backend {name!r} needs {missing}", hint=_INSTALL[name]) from exc


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
