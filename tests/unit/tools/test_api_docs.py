import re
import subprocess
import sys

import api_docs
import pytest

import malle_rt


@pytest.mark.slow
def test_the_reference_has_every_public_name_and_no_warning(tmp_path):
    pytest.importorskip("pdoc")
    command = [sys.executable, api_docs.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    page = (tmp_path / "malle_rt.html").read_text()
    for name in malle_rt.__all__:
        assert f'id="{name}"' in page, name
    text = re.sub(r"<[^>]+>", "", page)
    for said in ("One thread at a time may use a Denoiser", "(H * 3 / 2, W), H and W even", "on_progress"):
        assert said in text
    assert "OutOfDeviceMemory" in (tmp_path / "malle_rt/errors.html").read_text()
    assert "position" in (tmp_path / "malle_rt/pipeline/stats.html").read_text()


def test_every_public_name_has_a_docstring():
    for name in malle_rt.__all__:
        assert name == "__version__" or (getattr(malle_rt, name).__doc__ or "").strip(), name


def test_without_pdoc_the_command_that_brings_it_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pdoc", None)
    assert api_docs.main([str(tmp_path)]) == 1
    assert "pip install -e '.[docs]'" in capsys.readouterr().err
