"""Weights as safetensors files that say which network they are for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from malle_rt.errors import BackendError
from malle_rt.net import rt2
from malle_rt.net.mallenet import MalleNet, MalleNetConfig
from malle_rt.net.rt import MalleNetRT, RTConfig

__all__ = ["load_rt", "load_rt2", "load_stills_net", "save_rt", "save_rt2", "save_stills_net"]


def save_rt(
    net: MalleNetRT, path: Path, *, dtype: torch.dtype = torch.float32, note: dict[str, str] | None = None
) -> None:
    """Write the network's state dict in ``dtype``, its configuration and ``note`` as the file's metadata."""
    metadata = {"family": "rt", "config": json.dumps(asdict(net.config)), **(note or {})}
    _write(net, path, dtype, metadata)


def load_rt(path: Path) -> MalleNetRT:
    """Rebuild the network from a file of ``save_rt``, in float32 and eval mode on the CPU.

    Raises:
        BackendError: when the file is missing, damaged or of another network.
    """
    fields, state = _read(path, "rt", "MalleNet-RT")
    for name in ("widths", "depths"):  # JSON has no tuples
        fields[name] = tuple(fields[name])
    net = MalleNetRT(RTConfig(**fields))
    net.load_state_dict(_without_free_bias(state, net.state_dict()))
    return net.eval()


def _without_free_bias(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the first files, whose kernel pairs had a row for a learned bias below those of their taps."""
    return {
        name: value[:-1] if name in wanted and len(value) == len(wanted[name]) + 1 else value
        for name, value in state.items()
    }


def save_rt2(
    net: rt2.MalleNetRT, path: Path, *, dtype: torch.dtype = torch.float32, note: dict[str, str] | None = None
) -> None:
    """Like ``save_rt``, of the second generation."""
    metadata = {"family": "rt2", "config": json.dumps(asdict(net.config)), **(note or {})}
    _write(net, path, dtype, metadata)


def load_rt2(path: Path) -> rt2.MalleNetRT:
    """Rebuild the network from a file of ``save_rt2``, in float32 and eval mode on the CPU.

    Raises:
        BackendError: when the file is missing, damaged or of another network.
    """
    fields, state = _read(path, "rt2", "second-generation MalleNet-RT")
    for name in ("widths", "depths"):  # JSON has no tuples
        fields[name] = tuple(fields[name])
    net = rt2.MalleNetRT(rt2.RTConfig(**fields))
    net.load_state_dict(state)
    return net.eval()


def save_stills_net(net: MalleNet, path: Path, *, note: dict[str, str] | None = None) -> None:
    """Like ``save_rt``, in float16: these networks are large, and the rounding costs them nothing to speak of."""
    metadata = {"family": "stills", "config": json.dumps(asdict(net.config)), **(note or {})}
    _write(net, path, torch.float16, metadata)


def load_stills_net(path: Path) -> MalleNet:
    """Rebuild the network from a file of ``save_stills_net``, in float32 and eval mode on the CPU.

    Raises:
        BackendError: when the file is missing, damaged or of another network.
    """
    fields, state = _read(path, "stills", "MalleNet")
    net = MalleNet(MalleNetConfig(**{**fields, "widths": tuple(fields["widths"])}))
    net.load_state_dict(state)
    return net.eval()


def _write(net: nn.Module, path: Path, dtype: torch.dtype, metadata: dict[str, str]) -> None:
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in net.state_dict().items()}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(state, metadata))
    partial.replace(path)


def _read(path: Path, family: str, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Fields of the configuration, and the state dict."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except Exception as exc:  # safetensors raises its own type for damage, OSError for the rest
        raise BackendError(f"cannot read weights {path}: {exc}") from exc
    if metadata.get("family") != family:
        raise BackendError(f"{path} does not hold {name} weights (family {metadata.get('family')!r})")
    return json.loads(metadata["config"]), state
