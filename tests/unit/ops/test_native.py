from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from helpers.slice_graph import compile_f32, save, slice_graph
from helpers.slicing import draw, slice_by_hand

from malle_rt.ops import native
from malle_rt.vino import ov


@pytest.fixture(autouse=True)
def unsaid():
    """Each test hears every warning as if it were the first."""
    native._warn.cache_clear()


def runs_without_the_extension(core, folder):
    x, grid = draw((2, 1, 3, 5, 2), 3)
    model = core.read_model(save(slice_graph(3, x.shape, grid.shape), folder))
    assert "MalleSlice" not in {node.get_type_name() for node in model.get_ops()}
    y = compile_f32(core, model)([x, grid])[0]
    return np.allclose(y, slice_by_hand(x, grid, 3), rtol=0, atol=1e-5)


def test_says_once_that_it_was_not_built(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(native, "extension_path", lambda: None)
    core = ov.Core()
    with caplog.at_level(logging.WARNING):
        assert not native.load_extension(core)
        assert not native.load_extension(ov.Core())
    assert len(caplog.records) == 1
    assert "libmalle_openvino.so was not built (no C++ compiler" in caplog.text
    assert (
        "Install g++, then run: python -m pip install --force-reinstall --no-deps --no-cache-dir"
        in caplog.text
    )
    assert runs_without_the_extension(core, tmp_path)


def test_says_why_it_does_not_load(monkeypatch, tmp_path, caplog):
    broken = tmp_path / "libmalle_openvino.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(native, "extension_path", lambda: broken)
    core = ov.Core()
    with caplog.at_level(logging.WARNING):
        assert not native.load_extension(core)
    assert (
        "libmalle_openvino.so does not load, most likely it was built for another OpenVINO version ("
        in caplog.text
    )
    assert re.search(r"python -m pip install 'openvino==[\d.]+'", caplog.text)
    assert "file too short" in caplog.text or "invalid ELF header" in caplog.text
    assert runs_without_the_extension(core, tmp_path)


def test_finds_nothing_in_an_installation_without_it(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "files", lambda package: tmp_path)
    assert native.extension_path() is None


@pytest.mark.skipif(native.extension_path() is None, reason="libmalle_openvino.so was not built")
def test_is_silent_when_all_is_well(caplog):
    with caplog.at_level(logging.WARNING):
        assert native.load_extension(ov.Core())
    assert not caplog.records
