"""Install and run the main job under every Python that this machine has, as the README says.

    python tools/check_pythons.py

A C++ compiler has to be there, too. For each of Python 3.10 to 3.13 that is found (``python3.N`` on the path, or
among pyenv's versions): a fresh clone of HEAD, a fresh environment, the README's main command; then the frames that
it wrote are compared with those of the newest Python. Once more under the oldest one with the lowest versions that
setup.cfg allows. Which ones are absent is said. Nothing is left behind. Exit code 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
LONGEST = 900  # seconds of one run
# x264 does not always give the same bytes for the same frames: two runs of one machine differ by a little.
ALIKE = 45.0  # dB
# What an interpreter is, and where: the name on the path may be a script that chooses one.
ASK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"
# Runs in each environment: mean squared difference of two videos' luma, and the number of frames.
COMPARE = """
import sys, av, numpy as np
def frames(path):
    with av.open(path) as container:
        return [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
mine, other = map(frames, sys.argv[1:3])
assert len(mine) == len(other), (len(mine), len(other))
print(len(mine), float(np.mean([np.mean((a - b) ** 2) for a, b in zip(mine, other)])))
"""


@dataclass(frozen=True)
class Trial:
    """One installation to try.

    Attributes:
        name: for people.
        python: the interpreter.
        lowest: requirements that pin the lowest versions; none: pip's choice, which is the newest.
    """

    name: str
    python: Path
    lowest: tuple[str, ...] = ()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the interpreters, oldest first, and end")
    options = parser.parse_args()
    found = {version: interpreter(version) for version in VERSIONS}
    if options.list:
        print(*(python for python in found.values() if python is not None), sep="\n")
        return 0
    for version, python in found.items():
        if python is None:
            print(f"Python {version}: not on this machine, not tried")
    there = {version: python for version, python in found.items() if python is not None}
    if not there:
        print("check_pythons.py: no Python from 3.10 to 3.13 was found", file=sys.stderr)
        return 1
    trials = [Trial(f"Python {version}", python) for version, python in reversed(there.items())]
    oldest = next(iter(there))
    trials.append(Trial(f"Python {oldest}, lowest versions", there[oldest], lowest_versions()))
    with tempfile.TemporaryDirectory(prefix="malle-pythons-") as folder:
        return 1 if failures(trials, Path(folder)) else 0


def interpreter(version: str) -> Path | None:
    """``python3.N`` that runs and is that version: on the path, or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [Path(each) for each in (shutil.which(f"python{version}"),) if each]
    candidates += sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    for candidate in candidates:
        command = [str(candidate), "-c", ASK]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        found, _, executable = done.stdout.strip().partition(" ")
        if found == version:
            return Path(executable)
    return None


def lowest_versions() -> tuple[str, ...]:
    """What setup.cfg requires, each at its lower bound: "numpy>=1.26,<3" gives "numpy==1.26.*"."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    bounds = (re.match(r"([\w.-]+)>=([\w.]+)", line) for line in lines)
    return tuple(f"{bound[1]}=={bound[2]}.*" for bound in bounds if bound)


def failures(trials: list[Trial], folder: Path) -> int:
    """Try each; the first one's video is what the others are compared with."""
    first: Path | None = None
    failed = 0
    for number, trial in enumerate(trials):
        begun = time.monotonic()
        checkout = folder / str(number)
        try:
            run_main_command(trial, checkout)
            clean = checkout / "clean.mp4"
            told = "" if first is None else compared(checkout, clean, first)
            first = first or clean
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, ValueError) as exc:
            failed += 1
            told = f"FAILED: {reason(exc)}"
        print(f"{trial.name}: {told or 'runs'} ({time.monotonic() - begun:.0f} s)", flush=True)
    return failed


def run_main_command(trial: Trial, checkout: Path) -> None:
    """The README's main command in a fresh clone, ``python3`` being the trial's."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True, timeout=LONGEST)
    readme = (checkout / "README.md").read_text()
    block = re.search(r"<!-- main -->\n```sh\n(.*?)```", readme, re.DOTALL)
    if block is None:
        raise ValueError("README.md has no main command")
    command = block[1].strip()
    if trial.lowest:
        quoted = " ".join(f"'{each}'" for each in trial.lowest)
        command = command.replace("pip install .", f"pip install . {quoted}")
    names = checkout / ".names"
    names.mkdir()
    (names / "python3").symlink_to(trial.python)
    environment = {**os.environ, "PATH": f"{names}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    _quietly(["bash", "-euo", "pipefail", "-c", command], cwd=checkout, env=environment)


def compared(checkout: Path, clean: Path, first: Path) -> str:
    """How alike the frames of two videos are.

    Raises:
        ValueError: not enough.
    """
    python = str(checkout / ".venv/bin/python")
    count, error = _quietly([python, "-c", COMPARE, str(clean), str(first)]).split()
    if float(error) > 255**2 / 10 ** (ALIKE / 10):
        raise ValueError(
            f"its frames are not the newest Python's: mean squared difference {float(error):.2f}"
        )
    return f"runs, {count} frames as the newest Python's"


def reason(exc: Exception) -> str:
    """One line."""
    if isinstance(exc, subprocess.CalledProcessError):
        lines = [line for line in (exc.stderr or "").splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {exc.returncode}"
    return str(exc).splitlines()[0]


def _quietly(command: list[str], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST, **options)  # type: ignore[call-overload]  # not known to be options of its own
    return str(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
