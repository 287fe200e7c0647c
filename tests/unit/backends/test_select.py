import sys

import pytest

from malle_rt.backends.select import select_backend
from malle_rt.errors import BackendUnavailable, ConfigError


def test_auto_says_why():
    selection = select_backend("auto", "rt-s")
    assert selection.backend.info.name == "openvino"
    assert "default" in selection.reason


def test_the_backend_asked_for_runs():
    assert select_backend("torch", "rt-s").backend.info.name == "torch"


def test_a_missing_backend_fails_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "malle_rt.backends.torch", raising=False)
    with pytest.raises(BackendUnavailable, match=r"pip install 'malle-rt\[torch\]'"):
        select_backend("torch", "rt-s")


def test_an_unknown_one_is_a_config_error():
    with pytest.raises(ConfigError, match="there are: auto, openvino, torch"):
        select_backend("cuda9", "rt-s")
