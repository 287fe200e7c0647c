"""What the tests of TensorRT share: descriptions of tensors, a kernel that takes notes, and engines' identities."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from malle_rt.trt.identity import EngineIdentity

IDENTITY = EngineIdentity(
    model="rt-s",
    precision="fp16",
    profile="720p",
    flavour="tensorrt",
    version="10.3.0",
    gpu="NVIDIA GeForce RTX 4070",
    capability="sm_89",
    driver="12.6",
    machine="linux x86_64",
    graph="a" * 64,
    sizes="8x8 1280x720 1280x720",
    options="level 3, workspace any",
    plugin="1",
)


def identity(**changes) -> EngineIdentity:
    return replace(IDENTITY, **changes)


@dataclass
class NotedSlices:
    """A ``Slicer`` that starts nothing and keeps what it was asked for."""

    calls: list = field(default_factory=list)
    error: Exception | None = None

    def slice(self, x, grid, y, dims, dtype, stream):
        if self.error:
            raise self.error
        self.calls.append((x, grid, y, dims, dtype, stream))


def tensor(trt, dims, dtype, layout=None):
    """A real ``PluginTensorDesc``."""
    made = trt.PluginTensorDesc()
    made.dims = trt.Dims(dims)
    made.type = dtype
    made.format = layout or trt.TensorFormat.LINEAR
    return made


def bounded(trt, low, middle, high, dtype, layout=None):
    """A real ``DynamicPluginTensorDesc`` with its three bounds."""
    made = trt.DynamicPluginTensorDesc()
    made.desc = tensor(trt, [-1] * len(low), dtype, layout)
    made.min, made.opt, made.max = (trt.Dims(dims) for dims in (low, middle, high))
    return made


def plugins_in(plan: bytes) -> int:
    """Custom layers in a plan of TensorRT-RTX, which keeps its layers as text."""
    return plan.count(b"custom_layer={ name=")


def int8_writers(plan: bytes) -> int:
    """Kernels of a plan that round and cast what they write, so that the next convolution reads int8.

    Where the hardware's int8 is not used, the same kernels cast and scale back before they write.
    """
    return len(re.findall(rb"function=\{ name=\w*RounCast ", plan))
