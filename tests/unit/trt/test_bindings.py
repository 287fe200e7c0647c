"""TensorRT's Python API without its libraries: as far as its bindings go when empty ones stand in for these.

They are ``pip install --no-deps tensorrt-cu13-bindings``; a process of its own, since what is loaded there stays. Other
versions are tried, too, where MALLE_TENSORRT_BINDINGS names folders that their wheels are unpacked in.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LIBRARIES = [
    f"lib{name}.so.{major}" for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser") for major in (10, 11)
]
OTHERS = [path for path in os.environ.get("MALLE_TENSORRT_BINDINGS", "").split(os.pathsep) if path]
# What the bindings refer to; none of it is called here.
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


@pytest.fixture(scope="module", params=["", *OTHERS], ids=lambda path: Path(path).name or "installed")
def libraries(tmp_path_factory, request):
    """A folder with the empty libraries, the module that the full package is, and bindings that are not installed."""
    if not request.param and importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("TensorRT's bindings are not installed: pip install --no-deps tensorrt-cu13-bindings")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("tensorrt")
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS))
    for library in LIBRARIES:
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / library), str(source)], check=True)
    (folder / "tensorrt.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    )
    if request.param:
        (folder / "tensorrt_bindings").symlink_to(Path(request.param, "tensorrt_bindings").resolve())
    return folder


def run(libraries, code):
    paths = [str(libraries), *sys.path, str(Path(__file__).parents[2])]
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(libraries),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    prologue = """
        from helpers.trt import NotedSlices, bounded, tensor
        from malle_rt.trt.flavour import load_flavour
        from malle_rt.trt.plugin import PluginLibrary
        flavour = load_flavour("tensorrt")
        trt = flavour.module
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prologue) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_is_found_and_told_from_rtx(libraries):
    run(
        libraries,
        """
        assert flavour.title.split(".")[0] in ("TensorRT 10", "TensorRT 11"), flavour.title
        assert not flavour.is_rtx
        assert flavour.capabilities() == []
        """,
    )


def test_the_plugin_works_on_its_base_classes(libraries):
    run(
        libraries,
        """
        library = PluginLibrary(flavour)
        library.slicer = NotedSlices()
        plugin = library.plugin(3, "node")
        kept = plugin.get_fields_to_serialize()
        for _ in range(200):  # before 10.4, one that is destroyed damages the memory of others
            library.creator.create_plugin("short-lived", kept, trt.TensorRTPhase.RUNTIME)
        again = library.creator.create_plugin("again", kept, trt.TensorRTPhase.RUNTIME).attach_to_context(None)
        assert again.kernel_size == 3
        assert again.get_output_data_types([trt.float16] * 2) == [trt.float16]
        x, grid = (1, 6, 16, 24), (1, 30, 4, 6)
        rows = [bounded(trt, dims, dims, dims, trt.float16) for dims in (x, grid, x)]
        assert all(again.supports_format_combination(position, rows, 2) for position in range(3))
        again.configure_plugin(rows[:2], rows[2:])
        settled = [tensor(trt, dims, trt.float16) for dims in (x, grid, x)]
        again.on_shape_change(settled[:2], settled[2:])
        again.enqueue([], [], [1, 2], [3], 0, 4)
        assert library.slicer.calls[0][4:] == ("f16", 4)
        """,
    )


def test_what_the_builder_uses_is_there(libraries):
    run(
        libraries,
        """
        from malle_rt.trt.progress import progress_monitor
        progress_monitor(trt, print)
        assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) >= 0
        assert trt.LayerType.PLUGIN_V3 and trt.ProfilingVerbosity.DETAILED and trt.MemoryPoolType.WORKSPACE
        config = {"builder_optimization_level", "max_aux_streams", "profile_stream", "profiling_verbosity",
                  "progress_monitor", "set_memory_pool_limit", "add_optimization_profile", "create_timing_cache",
                  "set_timing_cache", "get_timing_cache"}
        assert config <= set(dir(trt.IBuilderConfig))
        assert {"parse", "num_errors", "get_error"} <= set(dir(trt.OnnxParser))
        assert {"node_name", "node_operator", "desc"} <= set(dir(trt.ParserError))
        context = {"set_input_shape", "set_tensor_address", "execute_async_v3"}
        assert context <= set(dir(trt.IExecutionContext))
        assert {"deserialize_cuda_engine"} <= set(dir(trt.Runtime))
        assert {"get_tensor_dtype", "get_tensor_shape", "create_execution_context"} <= set(dir(trt.ICudaEngine))
        """,
    )
