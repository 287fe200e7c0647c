"""Packages of versions that were not tested are said in one line, before anything is imported from them."""

import ast
import configparser
import re
from pathlib import Path

import pytest

import malle_rt
from malle_rt import versions
from malle_rt.cli import main
from malle_rt.errors import ConfigError

ROOT = Path(malle_rt.__file__).parent
SETUP = ROOT.parent / "setup.cfg"


def test_the_installed_ones_are_in_range():
    versions.check_versions()


@pytest.mark.parametrize("found", ["16.1.0", "17.0.1", "20.0.0", "20.0rc1", "99"])
def test_another_one_ends_in_one_line(found, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(versions, "version", lambda name: found if name == "av" else "3.9")
    monkeypatch.setattr(versions, "TESTED", {"av": versions.TESTED["av"]})
    assert main(["transcode", str(tmp_path / "a.mp4")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"av {found} is installed" in error and "pip install 'av>=17.1,<20'" in error


@pytest.mark.parametrize("found", ["17.1", "17.1.0", "18.1.0", "19.0.2", "19.9+cuda.1"])
def test_all_in_between_are_taken(found, monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: found)
    monkeypatch.setattr(versions, "TESTED", {"av": versions.TESTED["av"]})
    versions.check_versions()


def test_the_library_says_so_too(monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: "16.0")
    with pytest.raises(ConfigError, match=r"numpy 16\.0 is installed"):
        _ = malle_rt.denoise_video


@pytest.mark.skipif(not SETUP.is_file(), reason="installed without its sources")
def test_setup_declares_the_same_ranges():
    parser = configparser.ConfigParser()
    parser.read(SETUP)
    lines = (
        parser["options"]["install_requires"] + "\n" + parser["options.extras_require"]["web"]
    ).splitlines()
    declared = dict(
        (match[1], (match[2], match[3]))
        for match in (re.fullmatch(r"([\w-]+)>=([\d.]+),<([\d.]+)", line) for line in lines)
        if match
    )
    assert declared == versions.TESTED


def test_files_are_opened_for_reading_in_one_place():
    """PyAV's versions take different arguments for it."""
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if "metadata_errors" in (getattr(node, "value", None), getattr(node, "arg", None))
    }
    assert found == {"media/compat.py"}
