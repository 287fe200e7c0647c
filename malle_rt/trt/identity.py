"""What a built engine depends on: it runs where all of this is the same, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from malle_rt.cuda.driver import DeviceInfo
from malle_rt.errors import EngineMismatch
from malle_rt.trt.flavour import TITLES

__all__ = ["ANY_GPU", "EngineIdentity", "gpu_fields", "machine"]

ANY_GPU = "any GPU"

_WORDS = {
    "graph": "from graph",
    "sizes": "for frame sizes",
    "gpu": "for",
    "capability": "for compute capability",
    "driver": "under CUDA driver",
    "machine": "on",
    "options": "with options",
    "plugin": "with plugin version",
    "kernels": "with kernels",
}


@dataclass(frozen=True, kw_only=True)
class EngineIdentity:
    """Everything an engine's validity hangs on; all text, so that it reads in the JSON file beside the engine.

    Attributes:
        model: name of the network, "rt-s".
        precision: "fp16", "int8" or "fp32".
        profile: name of the profile.
        flavour: "tensorrt" or "tensorrt-rtx".
        version: of the flavour, in full.
        gpu: its name; ``ANY_GPU`` when the engine was built without one.
        capability: "sm_89", or all that an engine without a GPU was built for.
        driver: CUDA version of the driver, "13.0"; "none" without a GPU.
        machine: operating system and processor.
        graph: SHA-256 of the graph's file, weights included.
        sizes: smallest, tuned-for and largest frame.
        options: of the builder.
        plugin: version of our plugin.
        kernels: checksum of the kernels that the plugin starts; "" where they are not at hand.
    """

    model: str
    precision: str
    profile: str
    flavour: str
    version: str
    gpu: str
    capability: str
    driver: str
    machine: str
    graph: str
    sizes: str
    options: str
    plugin: str
    kernels: str = ""

    @property
    def slot(self) -> tuple[str, ...]:
        """What a user means by "this engine": a new engine takes the place of older ones of its slot."""
        return self.model, self.precision, self.profile, self.flavour, self.gpu

    @property
    def file_name(self) -> str:
        """Readable, and different for every identity."""
        digest = hashlib.sha256(self.to_json().encode()).hexdigest()[:10]
        gpu = re.sub(r"[^A-Za-z0-9]+", "_", self.gpu).strip("_")
        model = self.model.rpartition("/")[2]
        return f"{model}-{self.precision}-{self.profile}-{self.flavour}_{self.version}-{gpu}-{digest}.engine"

    def to_json(self) -> str:
        """Every field by its name."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_fields(cls, values: Any) -> EngineIdentity:
        """The identity that ``to_json`` wrote.

        Raises:
            EngineMismatch: fields are missing, unknown or no text: another version of malle-rt wrote it.
        """
        wanted = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != wanted or not all(map(_is_text, values.values())):
            raise EngineMismatch("the engine was described by another version of malle-rt")
        return cls(**values)

    def differences(self, here: EngineIdentity) -> list[str]:
        """What keeps this engine from being of use here, for people; empty when it fits.

        An engine built without a GPU fits every GPU of an architecture that it was built for.

        Returns:
            For example ["built with TensorRT 10.3, this is 10.7"].
        """
        found = []
        for field in fields(self):
            there, now = getattr(self, field.name), getattr(here, field.name)
            if there == now or self._without_gpu_fits(field.name, here):
                continue
            words = _WORDS.get(field.name, f"as {field.name}")
            if field.name == "version":
                words = f"with {TITLES.get(self.flavour, self.flavour)}"
            found.append(f"built {words} {_short(there)}, this is {_short(now)}")
        return found

    def _without_gpu_fits(self, field: str, here: EngineIdentity) -> bool:
        if self.gpu != ANY_GPU:
            return False
        known = set(self.capability.split())
        return field in ("gpu", "driver", "kernels") or (field == "capability" and here.capability in known)

    def check(self, here: EngineIdentity) -> None:
        """Raises ``EngineMismatch`` naming exactly what differs."""
        if found := self.differences(here):
            raise EngineMismatch(
                f"the engine {self.model}-{self.precision}-{self.profile} was {'; '.join(found)}"
            )


def gpu_fields(device: DeviceInfo | None, capabilities: Sequence[str]) -> dict[str, str]:
    """The fields of an identity that tell of the GPU.

    Args:
        device: the GPU that the engine is built on; None without one.
        capabilities: architectures that the engine is built for without one.
    """
    if device is None:
        return {"gpu": ANY_GPU, "capability": " ".join(capabilities), "driver": "none"}
    driver = f"{device.driver // 1000}.{device.driver % 1000 // 10}"
    return {"gpu": device.name, "capability": device.sm, "driver": driver}


def machine() -> str:
    """Operating system and processor, as an engine's code is made for them."""
    return f"{platform.system().lower()} {platform.machine().lower()}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _short(value: str) -> str:
    """A checksum by its beginning, everything else in full."""
    return value[:12] if re.fullmatch(r"[0-9a-f]{64}", value) else value or "none"
