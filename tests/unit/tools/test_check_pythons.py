import sys
from pathlib import Path

import check_pythons
import pytest

MINE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_a_python_is_found_on_the_path(monkeypatch, tmp_path):
    (tmp_path / f"python{MINE}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert check_pythons.interpreter(MINE) is not None
    assert check_pythons.interpreter("3.99") is None


def test_a_name_that_does_not_run_is_passed_over(monkeypatch, tmp_path):
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    if check_pythons.interpreter("3.12") not in (None, Path("/usr/bin/python3.12"), Path("/bin/python3.12")):
        pytest.fail("took a name that does not run")


def test_the_lowest_versions_are_those_of_setup_cfg():
    lowest = check_pythons.lowest_versions()
    names = [each.split("==")[0] for each in lowest]
    assert names == ["numpy", "av", "opencv-python", "pillow", "platformdirs"]
    assert all(each.endswith(".*") for each in lowest)
