"""The child process of ``build``: takes a ``BuildRequest``, tells its progress, gives the number of our plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from malle_rt.child import restored, serve
from malle_rt.cuda.driver import Stream
from malle_rt.errors import BackendError, BackendUnavailable, ConfigError
from malle_rt.trt.build import ENGINE, BuildRequest
from malle_rt.trt.flavour import Flavour, load_flavour
from malle_rt.trt.onnx_file import widened, without_function
from malle_rt.trt.plugin import NAME, PluginLibrary, plugin_library
from malle_rt.trt.private import write_whole
from malle_rt.trt.profiles import Profile
from malle_rt.trt.progress import progress_monitor

_FULL_SIZE = ("y", "y_before", "noisy")  # other inputs of variable size have half the luma's


def _build(request: BuildRequest, tell: Callable[[Any], None]) -> int:
    """Write the engine; returns the number of our plugins in it."""
    flavour = load_flavour(request.flavour)
    library = plugin_library(flavour)
    trt = flavour.module
    builder = _builder(flavour, request.gpu)
    stream = None if flavour.is_rtx else _load_kernels(library)  # this builder runs what it chooses from
    # Since TensorRT 11, and in TensorRT-RTX, every network is so, and the flag is ignored.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, flavour.messages.logger)
    _parse(flavour, library, parser, request.graph, widen=request.widen)
    plugins = _count_plugins(trt, network)
    if not plugins:
        raise BackendError(
            f"{flavour.title} parsed the graph without our plugin {NAME}; export the graph again"
        )
    config = builder.create_builder_config()
    _configure(flavour, config, request)
    if stream is not None:
        # Else it may take the default one, on which our kernel refuses to run.
        config.profile_stream = stream.handle
    config.add_optimization_profile(_profile(builder, network, request.profile))
    config.progress_monitor = progress_monitor(
        trt, lambda share, phase: tell({"share": share, "phase": phase})
    )
    timings = _timing_cache(flavour, config, request.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"{flavour.title} cannot build the engine: {_reason(flavour, library)}")
    Path(ENGINE).write_bytes(plan)
    if timings is not None:
        timings()
    return plugins


def _builder(flavour: Flavour, gpu: bool) -> Any:
    if not gpu and not flavour.is_rtx:
        raise BackendUnavailable(
            f"{flavour.title} builds on the GPU that will run the engine, and there is none here",
            hint='TensorRT-RTX builds without: backend="tensorrt-rtx"',
        )
    try:
        builder = flavour.module.Builder(flavour.messages.logger)
    except (TypeError, RuntimeError) as exc:  # the bindings' answer to a library that gives no builder
        raise BackendUnavailable(
            f"{flavour.title} does not start: {flavour.messages.last_error()} ({exc})"
        ) from exc
    return builder


def _load_kernels(library: PluginLibrary) -> Stream:
    """Let the plugin run; returns a stream to run in. Both live as long as the process."""
    from malle_rt.cuda.kernels import Kernels
    from malle_rt.cuda.opening import open_driver

    driver = open_driver("auto")
    library.slicer = Kernels(driver)
    return driver.stream()


def _parse(flavour: Flavour, library: PluginLibrary, parser: Any, graph: Path, *, widen: bool) -> None:
    try:
        content = without_function(graph.read_bytes(), NAME)
        if widen:
            content = widened(content)
    except OSError as exc:
        raise ConfigError(f"cannot read the graph {graph}: {exc.strerror}") from exc
    if not parser.parse(content):
        raise BackendError(f"{flavour.title} cannot parse {graph.name}: {_parser_error(parser, library)}")


def _parser_error(parser: Any, library: PluginLibrary) -> str:
    if library.failure is not None:
        return str(library.failure)
    if not parser.num_errors:
        return "no reason given"
    error = parser.get_error(0)
    return f"node {error.node_name()!r} ({error.node_operator()}): {' '.join(error.desc().split())}"


def _count_plugins(trt: Any, network: Any) -> int:
    kinds = (network.get_layer(index).type for index in range(network.num_layers))
    return sum(kind == trt.LayerType.PLUGIN_V3 for kind in kinds)


def _configure(flavour: Flavour, config: Any, request: BuildRequest) -> None:
    trt = flavour.module
    config.builder_optimization_level = request.optimization_level
    # Names and shapes of the layers stay in the engine: that is how it shows what runs in it.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # Their streams wait for the legacy stream, which FFmpeg copies on: that breaks a capture (CUDA's error 906).
    config.max_aux_streams = 0
    if request.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace << 20)
    if flavour.is_rtx:
        _set_capabilities(flavour, config, request.capabilities)


def _set_capabilities(flavour: Flavour, config: Any, wanted: Sequence[str]) -> None:
    """Name the architectures: the default, ``CURRENT``, crashes where there is no GPU."""
    known = flavour.capabilities()
    if unknown := [name for name in wanted if name not in known]:
        raise BackendUnavailable(
            f"{flavour.title} builds for {', '.join(known)}, not for {', '.join(unknown)}"
        )
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        capability = getattr(flavour.module.ComputeCapability, f"SM{name[3:]}")
        if not config.set_compute_capability(capability, index):
            raise BackendError(f"{flavour.title} does not build for {name}: {flavour.messages.last_error()}")


def _profile(builder: Any, network: Any, sizes: Profile) -> Any:
    """The shapes of every input whose size varies, from the luma's sizes."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        share = 1 if tensor.name in _FULL_SIZE else 2
        bounds = ((height // share, width // share) for width, height in (sizes.min, sizes.opt, sizes.max))
        profile.set_shape(tensor.name, *((*shape[:2], *plane) for plane in bounds))
    return profile


def _timing_cache(flavour: Flavour, config: Any, file: Path | None) -> Callable[[], None] | None:
    """Give the builder what it measured before; returns what keeps the new measurements."""
    if file is None or flavour.is_rtx:
        return None
    known = config.create_timing_cache(file.read_bytes() if file.exists() else b"")
    # What was measured on another GPU is not taken; then it starts anew.
    if not config.set_timing_cache(known, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return lambda: write_whole(file, bytes(config.get_timing_cache().serialize()))


def _reason(flavour: Flavour, library: PluginLibrary) -> str:
    return str(library.failure or flavour.messages.last_error())


if __name__ == "__main__":
    serve(lambda request, tell: _build(restored(BuildRequest, request), tell))
