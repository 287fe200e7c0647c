"""See whether pip can do what the documentation tells people to install.

    python tools/install_lines.py

Every "pip install", "pipx install", "pipx inject", "uv pip install" and "uv tool install" of README.md, SECURITY.md
and docs/*.md is resolved by the newest pip ("--dry-run": nothing is installed), with the packages that are already
here left out of account. malle-rt itself is in no package index: what its extras require is taken from setup.cfg.
Lines that name a Jetson are resolved for its processor and Python, from wheels alone. Packages that come from NVIDIA's
own index are named and left out. Takes minutes, and the network. Exit code 1 if a line cannot be installed.
"""

from __future__ import annotations

import argparse
import configparser
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600  # seconds of one line
COMMAND = re.compile(
    r"(?:\bpip|\bpipx|\buv pip|\buv tool)[0-9.]* (?:install|inject)((?: +(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s`&|;#)]+))+)"
)
PYTHON = re.compile(r"\| *(3\.\d+) *\|")  # a table's column
# TensorRT's packages on the public index are empty ones that fetch the library from NVIDIA's.
FROM_NVIDIA = re.compile(r"tensorrt(-cu\d+)?(?![\w-])")
JETSON = (*(f"manylinux_2_{minor}_aarch64" for minor in range(35, 16, -1)), "manylinux2014_aarch64")


@dataclass(frozen=True)
class Line:
    """An install line of the documentation.

    Attributes:
        place: file and line number.
        words: what is to be installed, without options.
        jetson: Python of the Jetson that it is for; None: for machines like this one.
    """

    place: str
    words: tuple[str, ...]
    jetson: str | None = None


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    failed = tried = 0
    with tempfile.TemporaryDirectory(prefix="malle-install-lines-") as folder:
        pip = newest_pip(Path(folder))
        for line in documented():
            found = [each for word in line.words for each in required(word)]
            theirs = [each for each in found if FROM_NVIDIA.match(each)]
            told = problem(pip, [each for each in found if each not in theirs], line.jetson)
            failed, tried = failed + (told is not None), tried + 1
            where = f" (Jetson, Python {line.jetson})" if line.jetson else ""
            left = f"; {', '.join(theirs)} not tried: from NVIDIA's own index" if theirs else ""
            print(
                f"{line.place}: {' '.join(line.words)}{where}: {told or 'can be installed'}{left}", flush=True
            )
    print(f"{tried} lines tried, {failed} cannot be installed")
    return int(failed > 0)


def newest_pip(folder: Path) -> Path:
    """The pip of a fresh environment: that of an old Python downloads whole wheels to read their requirements."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=LONGEST)
    pip = folder / "venv/bin/pip"
    subprocess.run([str(pip), "install", "-q", "-U", "pip"], check=True, timeout=LONGEST)
    return pip


def documented() -> list[Line]:
    """Every install line of the documentation."""
    files = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [line for path in files for line in lines(path.read_text(), path.relative_to(ROOT).as_posix())]


def lines(text: str, name: str) -> Iterator[Line]:
    """The install lines of one text; a heading that names a Jetson holds up to the next one."""
    jetson = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            jetson = "Jetson" in line or "JetPack" in line
        python = PYTHON.search(line)
        for found in COMMAND.finditer(line):
            words = tuple(word for word in shlex.split(found[1]) if not word.startswith("-"))
            yield Line(f"{name}:{number}", words, (python[1] if python else "3.10") if jetson else None)


def required(word: str) -> list[str]:
    """What pip has to find for one word: "malle-rt[web]" and ".[web]" are what setup.cfg says, others themselves.

    Raises:
        ValueError: an extra that is not there.
    """
    found = re.fullmatch(r"(?:malle-rt|\.)(?:\[([\w,-]+)\])?", word)
    if found is None:
        return [word]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    needed = _entries(config["options"]["install_requires"])
    for extra in (found[1] or "").split(","):
        if extra and extra not in extras:
            raise ValueError(f"there is no extra {extra!r}")
        for entry in _entries(extras.get(extra, "")):
            name, _, marker = entry.partition(";")
            inner = required(name.strip())
            needed += [f"{each};{marker}" if marker and ";" not in each else each for each in inner]
    return list(dict.fromkeys(needed))


def _entries(text: str) -> list[str]:
    rows = (line.strip() for line in text.splitlines())
    return [row for row in rows if row and not row.startswith("#")]


def for_jetson(python: str) -> list[str]:
    """Options of pip: wheels for a Jetson with that Python."""
    return ["--only-binary=:all:", "--python-version", python, *(f"--platform={each}" for each in JETSON)]


def problem(pip: Path, wanted: list[str], jetson: str | None) -> str | None:
    """Why pip cannot install it, one line; None where it can."""
    command = [str(pip), "install", "-q", "--dry-run", "--ignore-installed", "--use-feature=fast-deps"]
    if jetson is not None:
        command += ["--target", "unused", *for_jetson(jetson)]
    try:
        done = subprocess.run(
            [*command, *wanted], capture_output=True, text=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {LONGEST} s"
    if done.returncode == 0:
        return None
    told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return told[-1] if told else f"exit code {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
