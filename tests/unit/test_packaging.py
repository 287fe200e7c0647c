"""What a checkout, a source archive and a wheel are made of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import malle_rt
from malle_rt.models import engines_folder, model_names

ROOT = Path(malle_rt.__file__).parents[1]
CHECKOUT = pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="installed without its sources")


@CHECKOUT
def test_no_file_of_the_repository_is_a_link():
    """Archives and some systems turn links into text files."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if not name.startswith(".") and name != "build"]
        for name in (*names, *files):
            assert not (Path(folder) / name).is_symlink(), f"{folder}/{name}"
        if Path(folder) == ROOT:
            names[:] = [name for name in names if name in ("malle_rt", "engines", "docs", "tests", "tools")]


def test_the_networks_are_found():
    assert (engines_folder() / "SHA256SUMS").is_file()
    assert {"rt-s", "rt-m", "rt-l"} <= set(model_names())


@CHECKOUT
def test_a_build_takes_the_engines_into_the_package(tmp_path):
    pytest.importorskip("setuptools", "77")
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "egg_info",
        "-e",
        tmp_path,
        "build_py",
        "-d",
        tmp_path / "lib",
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    inside = tmp_path / "lib" / "malle_rt" / "engines"
    kept = {path.relative_to(inside) for path in inside.rglob("*")}
    assert kept == {path.relative_to(ROOT / "engines") for path in (ROOT / "engines").rglob("*")}
