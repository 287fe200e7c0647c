import sys

import pytest

from malle_rt.api import open_denoiser
from malle_rt.backends import select
from malle_rt.backends.base import BackendInfo
from malle_rt.backends.select import running_line, select_backend
from malle_rt.bench.plan import SIZES, combinations
from malle_rt.config import RUNTIMES, DenoiseConfig, Runtime
from malle_rt.errors import BackendUnavailable, ConfigError


def selected(name, **options):
    return select_backend(DenoiseConfig(backend=name, **options))


def test_auto_says_why(monkeypatch, caplog):
    caplog.set_level("INFO")
    problem = BackendUnavailable("no NVIDIA driver (libcuda.so.1 not found)", hint="Install it")
    monkeypatch.setattr("malle_rt.backends.select.cuda_problem", lambda _: problem)
    selection = selected("auto")
    assert selection.backend.info.name == "openvino"
    assert str(selection).startswith("openvino rt-s ")
    assert str(selection).endswith(" threads); no NVIDIA driver")
    assert str(problem) in caplog.text


def test_the_line_on_what_runs_is_short_and_the_log_has_all_of_it(caplog):
    caplog.set_level("INFO")
    line = running_line("tensorrt-rtx rt-s fp16 on NVIDIA " + "X" * 60, "fastest here")
    assert len(f"backend: {line}") == 100
    assert line.endswith("...")
    assert "X; fastest here" in caplog.text


@pytest.mark.parametrize(("fast", "precision"), [(True, "int8"), (False, "fp32")])
def test_auto_takes_int8_where_it_pays(monkeypatch, fast, precision):
    monkeypatch.setattr("malle_rt.backends.openvino.int8_pays", lambda: fast)
    assert selected("openvino").backend.info.precision == precision
    assert selected("openvino", precision="fp32").backend.info.precision == "fp32"
    assert selected("openvino", precision="int8").backend.info.precision == "int8"


def test_the_cpu_has_no_half_precision():
    with pytest.raises(ConfigError, match="runs in int8 or fp32, got fp16"):
        selected("openvino", precision="fp16")


def test_auto_names_every_backend_it_passed_over(monkeypatch, caplog):
    caplog.set_level("INFO")

    def missing(config):
        raise BackendUnavailable("it is not installed")

    monkeypatch.setattr("malle_rt.backends.select.cuda_problem", lambda _: None)
    for name in ("tensorrt", "tensorrt-rtx", "cuda"):
        monkeypatch.setitem(select_backend.__globals__["_OPENERS"], name, missing)
    selection = selected("auto")
    assert selection.backend.info.name == "openvino"
    assert selection.reason == "not tensorrt, tensorrt-rtx, cuda (-v says why)"
    for name in ("tensorrt", "tensorrt-rtx", "cuda"):
        assert f"not {name}: it is not installed" in caplog.text


def test_auto_goes_on_where_a_backend_lacks_the_precision(monkeypatch, caplog):
    """A GPU with torch and without TensorRT: the embedded backend has int8."""
    caplog.set_level("INFO")

    def missing(config):
        raise BackendUnavailable("it is not installed")

    def half_only(config):
        raise ConfigError(f"backend 'cuda' runs in fp16 or fp32, got {config.precision}")

    monkeypatch.setattr("malle_rt.backends.select.cuda_problem", lambda _: None)
    for name, opener in (("tensorrt", missing), ("tensorrt-rtx", missing), ("cuda", half_only)):
        monkeypatch.setitem(select_backend.__globals__["_OPENERS"], name, opener)
    selection = selected("auto", precision="int8")
    assert (selection.backend.info.name, selection.backend.info.precision) == ("openvino", "int8")
    assert "not cuda: backend 'cuda' runs in fp16 or fp32, got int8" in caplog.text


def test_the_backend_asked_for_runs():
    assert selected("torch").backend.info.name == "torch"


def test_a_missing_backend_fails_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "malle_rt.backends.torch", raising=False)
    with pytest.raises(BackendUnavailable, match=r"pip install 'malle-rt\[torch\]'"):
        selected("torch")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_yardstick_has_one_precision(precision):
    with pytest.raises(ConfigError, match=f"runs in fp32, got {precision}"):
        selected("torch", precision=precision)


def test_every_runtime_can_be_opened():
    assert list(select._OPENERS) == list(RUNTIMES)


def test_a_backend_is_a_class_and_two_rows(monkeypatch):
    """As CONTRIBUTING says."""

    class Mine:
        info = BackendInfo("mine", "rt-s", "fp32", "paper", "")

        def prepare(self, shape):
            raise NotImplementedError

        def close(self):
            pass

    monkeypatch.setitem(RUNTIMES, "mine", Runtime(("fp32",), reads_graphs=False))
    monkeypatch.setattr("malle_rt.config.BACKENDS", ("auto", *RUNTIMES, "none"))
    monkeypatch.setattr("malle_rt.bench.plan.BACKENDS", ("auto", *RUNTIMES, "none"))
    monkeypatch.setitem(select._OPENERS, "mine", lambda config: Mine())
    opened = select_backend(DenoiseConfig(backend="mine"))
    assert str(opened) == "mine rt-s fp32 on paper; asked for"
    planned = combinations(["all"], ["rt-s"], ["all"], [SIZES["360p"]])
    assert "mine rt-s fp32 360p" in map(str, planned)


def test_a_gpu_that_was_named_runs_or_fails(monkeypatch):
    def missing(config):
        raise BackendUnavailable("it is not installed")

    monkeypatch.setattr(
        "malle_rt.backends.select.cuda_problem", lambda gpu: BackendUnavailable(f"no GPU {gpu}")
    )
    with pytest.raises(BackendUnavailable, match=r"^no GPU 1$"):
        selected("auto", gpu=1)
    monkeypatch.setattr("malle_rt.backends.select.cuda_problem", lambda _: None)
    for name in ("tensorrt", "tensorrt-rtx", "cuda"):
        monkeypatch.setitem(select_backend.__globals__["_OPENERS"], name, missing)
    with pytest.raises(
        BackendUnavailable, match="nothing here runs on GPU 0: tensorrt: it is not installed; "
    ):
        selected("auto", gpu=0)


def test_a_network_for_photographs_takes_no_gpu():
    with pytest.raises(ConfigError, match="mallenet-m runs on the processor, got gpu=0"):
        open_denoiser(DenoiseConfig(model="mallenet-m", gpu=0))


def test_one_network_is_not_on_all_gpus():
    with pytest.raises(ConfigError, match="one network runs on one GPU"):
        selected("auto", gpu="all")


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx", "cuda"])
def test_the_number_of_the_gpu_reaches_the_driver(monkeypatch, name):
    """Of a machine with two GPUs, the second."""
    pytest.importorskip("cuda.bindings")
    module = pytest.importorskip("malle_rt.backends.cuda" if name == "cuda" else "malle_rt.backends.tensorrt")
    if name == "cuda":
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    else:
        monkeypatch.setattr(module, "load_flavour", lambda _: None)
    opened = []

    def open_driver(adapter, device):
        opened.append(device)
        raise BackendUnavailable("enough")

    monkeypatch.setattr(module, "open_driver", open_driver)
    with pytest.raises(BackendUnavailable, match="enough"):
        selected(name, gpu=1)
    assert opened == [1]
