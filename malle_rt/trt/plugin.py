"""``malle::MalleSlice`` as a TensorRT plugin, written once for every flavour.

TensorRT creates, copies and calls plugins itself, also while it reads an engine, so they cannot be handed the kernel
they start. A plugin takes it, when it is made, from the ``PluginLibrary`` of its flavour, which is registered once in a
process; copies keep it. So each engine runs the kernels of whoever read it, however many are open.

An exception in a plugin's method is the way to report a failure: the bindings turn it into TensorRT's error status,
whatever the method returns. They print it and forget it, so the library keeps it for the error that the user reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from malle_rt.cuda.launches import SliceDims, Storage
from malle_rt.errors import BackendError, KernelError
from malle_rt.trt.flavour import Flavour
from malle_rt.trt.slicing import KERNEL_SIZES, Slicer, check_channels, slice_dims

__all__ = ["NAME", "NAMESPACE", "VERSION", "PluginLibrary", "plugin_library"]

log = logging.getLogger(__name__)

NAME = "MalleSlice"
NAMESPACE = "malle"
VERSION = "1"  # in every graph's nodes and in every engine
_FIELD = "kernel_size"
Result = TypeVar("Result")


class PluginLibrary:
    """Our plugin within one flavour, in this process.

    Attributes:
        slicer: starts the kernel for the plugins made from now on; on TensorRT set it before an engine is built,
            since its builder measures. None: running fails. Engines are read within ``serving``.
        failure: the latest exception of a plugin, None for none; ``forget`` before work that may fail.
        plugin: the plugin's class.
        creator: what TensorRT calls to make one.
    """

    def __init__(self, flavour: Flavour) -> None:
        self.slicer: Slicer | None = None
        self.failure: Exception | None = None
        self.plugin = _plugin_class(flavour.module, self)
        self.creator = _creator_class(flavour.module, self)()
        self._title = flavour.title
        # As long as the process lives, where they cannot be destroyed: a few for each engine that is read or built.
        self._kept: list[Any] | None = None if flavour.frees_plugins else []
        self._reading = Lock()

    @contextmanager
    def serving(self, slicer: Slicer) -> Iterator[None]:
        """Plugins made within, as those of an engine that is read, start this kernel for as long as they live."""
        with self._reading:
            before, self.slicer = self.slicer, slicer
            try:
                yield
            finally:
                self.slicer = before

    def register(self, registry: Any) -> None:
        """Make graphs and engines find the plugin. Raises ``BackendError``."""
        if not registry.register_creator(self.creator, NAMESPACE):
            raise BackendError(f"{self._title} does not take the plugin {NAMESPACE}::{NAME}")

    def keep(self, plugin: Any) -> None:
        """A new plugin; see ``Flavour.frees_plugins``."""
        if self._kept is not None:
            self._kept.append(plugin)

    def forget(self) -> None:
        """Start a new piece of work."""
        self.failure = None


@cache
def plugin_library(flavour: Flavour) -> PluginLibrary:
    """The library of a flavour, registered; the same one every time."""
    library = PluginLibrary(flavour)
    library.register(flavour.module.get_plugin_registry())
    return library


def _reported(method: Callable[..., Result]) -> Callable[..., Result]:
    """Keep a method's exception in the library before the bindings swallow it."""

    @wraps(method)
    def call(self: Any, *args: Any) -> Result:
        try:
            return method(self, *args)
        except Exception as exc:
            self.library.failure = exc
            log.debug("plugin %s: %s", method.__name__, exc)
            raise

    return call


def _plugin_class(trt: Any, library: PluginLibrary) -> Any:
    """The plugin, on the base classes of one flavour."""
    storages: dict[Any, Storage] = {trt.float16: "f16", trt.float32: "f32"}
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)

    class MalleSlice(*bases):  # type: ignore[misc]  # the bases are only known at run time
        """See ``malle_rt.ops.reference.malle_slice``; x and grid in, y out, float16 or float32 in rows."""

        def __init__(self, kernel_size: int, node: str) -> None:
            for base in bases:
                base.__init__(self)
            self.library = library
            self.slicer = library.slicer
            self.kernel_size = kernel_size
            self.node = node
            self.dims: SliceDims | None = None
            self.storage: Storage | None = None
            self.num_outputs = 1
            self.plugin_name, self.plugin_namespace, self.plugin_version = NAME, NAMESPACE, VERSION
            self.timing_cache_id = f"{NAMESPACE}-{NAME}-{VERSION}-{kernel_size}"
            # TensorRT reads the field's memory after the call that hands it out.
            self._size_field = np.array([kernel_size], np.int32)
            library.keep(self)

        def get_capability_interface(self, _: Any) -> Any:
            return self

        @_reported
        def get_output_data_types(self, types: Any) -> Any:
            if len(types) != 2 or types[0] != types[1] or types[0] not in storages:
                raise ValueError(f"{self.node}: want x and grid in one of float16 and float32, got {types}")
            return [types[0]]

        @_reported
        def get_output_shapes(self, inputs: Any, _shapes: Any, _builder: Any) -> Any:
            x, grid = inputs
            if len(x) != 4 or len(grid) != 4:
                raise ValueError(
                    f"{self.node}: want x and grid of 4 dimensions, got {len(x)} and {len(grid)}"
                )
            if x[1].is_constant() and grid[1].is_constant():
                channels, values = x[1].get_constant_value(), grid[1].get_constant_value()
                check_channels(self.node, channels, values, self.kernel_size)
            return [trt.DimsExprs(x)]

        def supports_format_combination(self, position: int, tensors: Any, _inputs: int) -> bool:
            tensor = tensors[position].desc
            return (
                tensor.format == trt.TensorFormat.LINEAR
                and tensor.type in storages
                and tensor.type == tensors[0].desc.type
            )

        @_reported
        def configure_plugin(self, inputs: Any, outputs: Any) -> None:
            for bound in ("min", "opt", "max"):
                x, grid = (getattr(tensor, bound) for tensor in inputs)
                slice_dims(self.node, x, grid, getattr(outputs[0], bound), self.kernel_size)

        @_reported
        def on_shape_change(self, inputs: Any, outputs: Any) -> None:
            x, grid = (tensor.dims for tensor in inputs)
            self.dims = slice_dims(self.node, x, grid, outputs[0].dims, self.kernel_size)
            self.storage = storages[inputs[0].type]

        def get_valid_tactics(self) -> list[int]:
            return []

        def set_tactic(self, _: int) -> None:
            pass

        def get_workspace_size(self, _inputs: Any, _outputs: Any) -> int:
            return 0

        def attach_to_context(self, _: Any) -> Any:
            return self.clone()

        def get_fields_to_serialize(self) -> Any:
            field = trt.PluginField(_FIELD, self._size_field, trt.PluginFieldType.INT32)
            return trt.PluginFieldCollection([field])

        @_reported
        def enqueue(self, _in: Any, _out: Any, inputs: Any, outputs: Any, _work: int, stream: int) -> None:
            if self.slicer is None or self.dims is None or self.storage is None:
                raise KernelError(f"{self.node}: no kernels are loaded for the plugin {NAMESPACE}::{NAME}")
            self.slicer.slice(inputs[0], inputs[1], outputs[0], self.dims, self.storage, stream)

        def clone(self) -> Any:
            copy = MalleSlice(self.kernel_size, self.node)
            copy.__dict__.update(self.__dict__)
            return copy

    return MalleSlice


def _creator_class(trt: Any, library: PluginLibrary) -> Any:
    """What makes plugins, from a graph's node or from an engine, on the base class of one flavour."""

    class MalleSliceCreator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.library = library
            self.name, self.plugin_namespace, self.plugin_version = NAME, NAMESPACE, VERSION
            field = trt.PluginField(_FIELD, np.array([], np.int32), trt.PluginFieldType.INT32)
            self.field_names = trt.PluginFieldCollection([field])

        @_reported
        def create_plugin(self, name: str, fields: Any, _: Any) -> Any:
            found = [int(field.data[0]) for field in fields if field.name == _FIELD and len(field.data)]
            if len(found) != 1 or found[0] not in KERNEL_SIZES:
                raise ValueError(f"{name}: want one {_FIELD} of {KERNEL_SIZES}, got {found}")
            return library.plugin(found[0], name)

    return MalleSliceCreator
