"""What the builder is told, on an object that takes any attribute."""

from types import SimpleNamespace

from malle_rt.trt.worker import _configure


def test_an_engine_has_one_stream():
    """Streams of TensorRT's own would wait for the legacy stream, and end a capture while FFmpeg copies on it."""
    module = SimpleNamespace(ProfilingVerbosity=SimpleNamespace(DETAILED=2))
    flavour, config = SimpleNamespace(module=module, is_rtx=False), SimpleNamespace()
    _configure(flavour, config, SimpleNamespace(optimization_level=3, workspace=None))
    assert config.max_aux_streams == 0
