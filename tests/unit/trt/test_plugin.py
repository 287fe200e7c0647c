"""The plugin's methods on real objects of TensorRT-RTX, called as its C++ side calls them."""

import logging

import numpy as np
import pytest
from helpers.trt import NotedSlices, bounded, tensor

from malle_rt.cuda.launches import SliceDims
from malle_rt.errors import BackendError, KernelError
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.plugin import NAME, NAMESPACE, VERSION, PluginLibrary, plugin_library

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")

X, GRID = (1, 6, 16, 24), (1, 30, 4, 6)
DIMS = SliceDims(batch=1, channels=6, groups=3, height=16, width=24, rows=4, columns=6, kernel_size=3)


@pytest.fixture
def library():
    """Not registered: a process has one of each name."""
    made = PluginLibrary(load_flavour("tensorrt-rtx"))
    made.slicer = NotedSlices()
    return made


def fields(*values):
    return trt.PluginFieldCollection(
        [trt.PluginField(name, np.array(data, np.int32), trt.PluginFieldType.INT32) for name, data in values]
    )


def make(library, size=3, node="node_slice_1", phase=None):
    phase = phase or trt.TensorRTPhase.BUILD
    return library.creator.create_plugin(node, fields(("kernel_size", [size])), phase)


def settle(plugin, x=X, grid=GRID, y=None, dtype=None):
    described = [tensor(trt, dims, dtype or trt.float16) for dims in (x, grid, y or x)]
    plugin.on_shape_change(described[:2], described[2:])
    return described


def test_its_names_are_those_of_the_graph(library):
    plugin = make(library)
    wanted = (NAME, NAMESPACE, VERSION)
    assert (plugin.plugin_name, plugin.plugin_namespace, plugin.plugin_version) == wanted
    creator = library.creator
    assert (creator.name, creator.plugin_namespace, creator.plugin_version) == wanted
    assert [field.name for field in creator.field_names] == ["kernel_size"]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_what_it_serialises_makes_it_again(library, size):
    kept = make(library, size).get_fields_to_serialize()
    again = library.creator.create_plugin("again", kept, trt.TensorRTPhase.RUNTIME)
    assert again.kernel_size == size


@pytest.mark.parametrize("values", [[], [("kernel_size", [4])], [("kernel_size", [])], [("size", [3])]])
def test_a_node_without_a_size_of_ours_is_refused(library, values):
    with pytest.raises(ValueError, match=r"node_slice_9: want one kernel_size of \(1, 3, 5\)"):
        library.creator.create_plugin("node_slice_9", fields(*values), trt.TensorRTPhase.BUILD)
    assert "node_slice_9" in str(library.failure)


def test_copies_are_whole(library):
    plugin = make(library, 5)
    for copy in (plugin.clone(), plugin.attach_to_context(None)):
        assert (copy.kernel_size, copy.node, copy.num_outputs) == (5, "node_slice_1", 1)
        assert copy.plugin_name == NAME
        assert copy.timing_cache_id == plugin.timing_cache_id != make(library, 3).timing_cache_id


def test_y_has_the_type_of_x(library):
    plugin = make(library)
    for dtype in (trt.float16, trt.float32):
        assert plugin.get_output_data_types([dtype, dtype]) == [dtype]
    for types in ([trt.float16, trt.float32], [trt.int8, trt.int8], [trt.float16]):
        with pytest.raises(ValueError, match="node_slice_1: want x and grid in one of float16 and float32"):
            plugin.get_output_data_types(types)


def test_takes_rows_of_float16_or_float32_and_no_mixture(library):
    plugin = make(library)

    def takes(position, *described):
        found = [bounded(trt, X, X, X, dtype, layout) for dtype, layout in described]
        return plugin.supports_format_combination(position, found, 2)

    half, single = (trt.float16, None), (trt.float32, None)
    assert all(takes(position, half, half, half) for position in range(3))
    assert all(takes(position, single, single, single) for position in range(3))
    assert not takes(1, half, single, half)
    assert not takes(2, half, half, single)
    assert not takes(0, (trt.int8, None), half, half)
    assert not takes(0, (trt.float16, trt.TensorFormat.HWC8), half, half)


def test_bounds_are_checked_before_the_build(library):
    plugin = make(library)
    good = [
        bounded(trt, (1, 6, 4, 4), X, (1, 6, 32, 32), trt.float16),
        bounded(trt, (1, 30, 1, 1), GRID, (1, 30, 8, 8), trt.float16),
    ]
    y = [bounded(trt, (1, 6, 4, 4), X, (1, 6, 32, 32), trt.float16)]
    plugin.configure_plugin(good, y)
    bad = [good[0], bounded(trt, (1, 30, 1, 1), GRID, (1, 30, 8, 16), trt.float16)]
    with pytest.raises(ValueError, match="node_slice_1: x must be one integer stride larger than grid"):
        plugin.configure_plugin(bad, y)


@pytest.mark.parametrize(("dtype", "name"), [(trt.float16, "f16"), (trt.float32, "f32")])
def test_enqueue_starts_the_kernel_on_what_it_is_given(library, dtype, name):
    plugin = make(library).attach_to_context(None)
    described = settle(plugin, dtype=dtype)
    assert plugin.enqueue(described[:2], described[2:], [0x1000, 0x2000], [0x3000], 0, 0x77) is None
    assert library.slicer.calls == [(0x1000, 0x2000, 0x3000, DIMS, name, 0x77)]


def test_each_engine_keeps_the_kernels_it_was_read_with(library):
    """Two engines open at once, and the one opened last closed first."""
    first, second = NotedSlices(), NotedSlices()
    engines = []
    for slicer in (first, second):
        with library.serving(slicer):
            made = make(library, phase=trt.TensorRTPhase.RUNTIME)
        engines.append(made.attach_to_context(None).clone())
    for plugin in engines:
        settle(plugin)
    engines[0].enqueue([], [], [1, 2], [3], 0, 4)
    assert (len(first.calls), len(second.calls)) == (1, 0)
    engines[1].enqueue([], [], [1, 2], [3], 0, 4)
    assert (len(first.calls), len(second.calls)) == (1, 1)


def test_an_engine_that_is_not_read_leaves_nothing_behind(library):
    before = library.slicer
    with pytest.raises(BackendError), library.serving(NotedSlices()):
        raise BackendError("not of this version")
    assert library.slicer is before


def test_enqueue_follows_a_change_of_size(library):
    plugin = make(library)
    for height in (16, 32):
        settle(plugin, (1, 6, height, 24), (1, 30, height // 4, 6))
        plugin.enqueue([], [], [1, 2], [3], 0, 4)
    assert [call[3].height for call in library.slicer.calls] == [16, 32]


def test_a_bad_size_at_run_time_is_refused_by_name(library):
    with pytest.raises(ValueError, match="node_slice_1: x must be one integer stride larger"):
        settle(make(library), grid=(1, 30, 5, 6))
    assert "integer stride" in str(library.failure)


def test_a_kernel_that_fails_is_reported_and_kept(library, caplog):
    """The bindings turn an exception, and nothing else, into TensorRT's error status."""
    library.slicer = NotedSlices(error=KernelError("cuLaunchKernel: CUDA_ERROR_INVALID_VALUE"))
    plugin = make(library)
    settle(plugin)
    with caplog.at_level(logging.DEBUG), pytest.raises(KernelError, match="CUDA_ERROR_INVALID_VALUE"):
        plugin.enqueue([], [], [1, 2], [3], 0, 4)
    assert "CUDA_ERROR_INVALID_VALUE" in str(library.failure)
    assert "plugin enqueue" in caplog.text
    library.forget()
    assert library.failure is None


def test_without_kernels_it_says_so(library):
    library.slicer = None
    plugin = make(library)
    settle(plugin)
    with pytest.raises(
        KernelError, match="node_slice_1: no kernels are loaded for the plugin malle::MalleSlice"
    ):
        plugin.enqueue([], [], [1, 2], [3], 0, 4)


def test_registered_once_in_a_process(library):
    flavour = load_flavour("tensorrt-rtx")
    registered = plugin_library(flavour)
    assert registered is plugin_library(flavour)
    found = trt.get_plugin_registry().get_creator(NAME, VERSION, NAMESPACE)
    assert found is registered.creator
    with pytest.raises(BackendError, match="does not take the plugin malle::MalleSlice"):
        library.register(trt.get_plugin_registry())
