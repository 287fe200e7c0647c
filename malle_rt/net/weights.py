"""Weights as safetensors files that say which network they are for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save

from malle_rt.errors import BackendError
from malle_rt.net.rt import MalleNetRT, RTConfig

__all__ = ["load_rt", "save_rt"]


def save_rt(net: MalleNetRT, path: Path, *, note: dict[str, str] | None = None) -> None:
    """Write the network's state dict in float32, its configuration and ``note`` as the file's metadata."""
    state = {name: value.detach().float().cpu().contiguous() for name, value in net.state_dict().items()}
    metadata = {"family": "rt", "config": json.dumps(asdict(net.config)), **(note or {})}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(state, metadata))
    partial.replace(path)


def load_rt(path: Path) -> MalleNetRT:
    """Rebuild the network from a file of ``save_rt``, in eval mode on the CPU.

    Raises:
        BackendError: when the file is missing, damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except Exception as exc:  # safetensors raises its own type for damage, OSError for the rest
        raise BackendError(f"cannot read weights {path}: {exc}") from exc
    if metadata.get("family") != "rt":
        raise BackendError(f"{path} does not hold MalleNet-RT weights (family {metadata.get('family')!r})")
    fields: dict[str, Any] = json.loads(metadata["config"])
    for name in ("widths", "depths"):  # JSON has no tuples
        fields[name] = tuple(fields[name])
    net = MalleNetRT(RTConfig(**fields))
    net.load_state_dict(state)
    return net.eval()
