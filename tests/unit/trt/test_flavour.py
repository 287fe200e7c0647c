import logging
import sys
from types import SimpleNamespace

import pytest

from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.trt import flavour as flavours
from malle_rt.trt.flavour import choose_flavour, load_flavour
from malle_rt.trt.messages import Messages

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")


load_anew = load_flavour.__wrapped__  # what is loaded under a false pretext must not stay


def test_the_installed_one():
    rtx = load_flavour("tensorrt-rtx")
    assert rtx is load_flavour("tensorrt-rtx")
    assert rtx.is_rtx
    assert rtx.title == f"TensorRT-RTX {trt.__version__}"
    assert {"sm_75", "sm_86", "sm_89", "sm_120"} <= set(rtx.capabilities())


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ConfigError, match="no TensorRT flavour 'trt'; there are: tensorrt, tensorrt-rtx"):
        load_flavour("trt")


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("tensorrt", "tensorrt", "needs TensorRT. Install TensorRT 10 or newer from NVIDIA"),
        ("tensorrt-rtx", "tensorrt_rtx", r"needs TensorRT-RTX. pip install 'malle-rt\[rtx\]'"),
    ],
)
def test_one_that_is_missing_says_how_to_get_it(name, module, words, monkeypatch):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(flavours.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(flavours.importlib, "import_module", fail)
    with pytest.raises(BackendUnavailable, match=words):
        load_anew(name)


def fail(name):
    raise ImportError(f"libnvinfer.so.10: cannot open {name}")


def test_one_that_does_not_load_says_why(monkeypatch):
    monkeypatch.setattr(flavours.importlib, "import_module", fail)
    with pytest.raises(BackendUnavailable, match=r"needs TensorRT-RTX \(libnvinfer.so.10: cannot open"):
        load_anew("tensorrt-rtx")


def test_one_that_is_too_old(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.6.1"))
    with pytest.raises(BackendUnavailable, match=r"needs TensorRT 10.0 or newer, this is 8.6.1. Install"):
        load_anew("tensorrt")


def test_chooses_what_is_installed_and_says_why(monkeypatch):
    assert choose_flavour("tensorrt-rtx")[1] == "asked for"
    found = {"tensorrt_rtx"}
    monkeypatch.setattr(flavours.importlib.util, "find_spec", lambda name: name if name in found else None)
    chosen, reason = choose_flavour()
    assert (chosen.name, reason) == ("tensorrt-rtx", "the only one installed")
    found.clear()
    with pytest.raises(
        BackendUnavailable, match=r"no TensorRT is installed.*malle-rt.rtx.*; or TensorRT: Install"
    ):
        choose_flavour()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled (by user\n In next)",
            "BuildCanceled (by user In next)",
        ),
        (
            "[optimizer.cpp::reportError::12] Error Code 4: Internal Error (no profile)",
            "Internal Error (no profile)",
        ),
        ("plain words", "plain words"),
    ],
)
def test_errors_are_kept_in_one_line_without_their_prefix(said, kept):
    messages = Messages(trt)
    messages.logger.log(trt.ILogger.Severity.ERROR, "an earlier one")
    messages.logger.log(trt.ILogger.Severity.ERROR, said)
    messages.logger.log(trt.ILogger.Severity.WARNING, "a warning is no error")
    assert messages.last_error() == kept
    messages.forget()
    assert messages.last_error() == "no reason given"


def test_what_it_says_goes_to_python_logging(caplog):
    messages = Messages(trt)
    with caplog.at_level(logging.DEBUG):
        for severity in ("VERBOSE", "INFO", "WARNING", "ERROR"):
            messages.logger.log(getattr(trt.ILogger.Severity, severity), f"of {severity}")
    assert [record.getMessage() for record in caplog.records] == ["of WARNING", "of ERROR"]
