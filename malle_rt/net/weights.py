"""Weights as safetensors files that say which network they are for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from malle_rt.errors import BackendError
from malle_rt.net import rt, rt2
from malle_rt.net.mallenet import MalleNet, MalleNetConfig

__all__ = [
    "Network",
    "load_network",
    "load_rt",
    "load_rt2",
    "load_stills_net",
    "load_video_net",
    "save_network",
]

Network = rt.MalleNetRT | rt2.MalleNetRT | MalleNet
# By the name in the file: the network, its configuration and what it is called.
_FAMILIES: dict[str, tuple[Any, Any, str]] = {
    "rt": (rt.MalleNetRT, rt.RTConfig, "MalleNet-RT"),
    "rt2": (rt2.MalleNetRT, rt2.RTConfig, "second-generation MalleNet-RT"),
    "stills": (MalleNet, MalleNetConfig, "MalleNet"),
}


def save_network(
    net: Network, path: Path, *, dtype: torch.dtype = torch.float32, note: dict[str, str] | None = None
) -> None:
    """Write the network's state dict in ``dtype``, its configuration and ``note`` as the file's metadata."""
    family = next(name for name, (kind, _, _) in _FAMILIES.items() if type(net) is kind)
    metadata = {"family": family, "config": json.dumps(asdict(net.config)), **(note or {})}
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in net.state_dict().items()}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(state, metadata))
    partial.replace(path)


def load_network(path: Path) -> Network:
    """Rebuild the network from a file of ``save_network``, in float32 and eval mode on the CPU.

    Raises:
        BackendError: when the file is missing or damaged.
    """
    family, fields, state = _read(path)
    if family not in _FAMILIES:
        raise BackendError(f"{path} does not hold weights of a network of ours (family {family!r})")
    kind, config, _ = _FAMILIES[family]
    # JSON has no tuples.
    net = kind(
        config(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
    )
    net.load_state_dict(_without_free_bias(state, net.state_dict()))
    return cast(Network, net.eval())


def load_rt(path: Path) -> rt.MalleNetRT:
    """``load_network`` of MalleNet-RT; ``BackendError`` for any other, too."""
    return cast(rt.MalleNetRT, _load(path, "rt"))


def load_rt2(path: Path) -> rt2.MalleNetRT:
    """``load_network`` of MalleNet-RT, second generation; ``BackendError`` for any other, too."""
    return cast(rt2.MalleNetRT, _load(path, "rt2"))


def load_video_net(path: Path) -> rt.MalleNetRT | rt2.MalleNetRT:
    """``load_network`` of MalleNet-RT of either generation; ``BackendError`` for any other, too."""
    family, _, _ = _read(path)
    return load_rt2(path) if family == "rt2" else load_rt(path)


def load_stills_net(path: Path) -> MalleNet:
    """``load_network`` of MalleNet; ``BackendError`` for any other, too."""
    return cast(MalleNet, _load(path, "stills"))


def _load(path: Path, family: str) -> Network:
    found, _, _ = _read(path)
    if found != family:
        raise BackendError(f"{path} does not hold {_FAMILIES[family][2]} weights (family {found!r})")
    return load_network(path)


def _without_free_bias(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the first files, whose kernel pairs had a row for a learned bias below those of their taps."""
    return {
        name: value[:-1] if name in wanted and len(value) == len(wanted[name]) + 1 else value
        for name, value in state.items()
    }


def _read(path: Path) -> tuple[str | None, dict[str, Any], dict[str, Tensor]]:
    """Family, fields of the configuration, and the state dict."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except Exception as exc:  # safetensors raises its own type for damage, OSError for the rest
        raise BackendError(f"cannot read weights {path}: {exc}") from exc
    return metadata.get("family"), json.loads(metadata.get("config", "{}")), state
