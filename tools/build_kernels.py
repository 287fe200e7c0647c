"""Compile the CUDA kernels to what ships: malle_rt/cuda/compiled/, one cubin per architecture, PTX, and a manifest.

    python tools/build_kernels.py
    python tools/build_kernels.py --check

--check compiles them again and compares byte by byte; it prints a line for each difference. nvcc is taken from --nvcc,
from PATH, or from the nvidia-cuda-nvcc package. Same sources and same nvcc, same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "malle_rt/ops/csrc"
COMPILED = ROOT / "malle_rt/cuda/compiled"
MANIFEST = "manifest.json"

UNITS = ("looks.cu", "malle_slice.cu", "motion.cu", "planes.cu")
SOURCES = (*UNITS, "packs.cuh")
ARCHITECTURES = (75, 80, 86, 87, 89, 90, 100, 110, 120)
PTX = "compute_75.ptx"
# A CUDA 12 driver refuses the version that nvcc 13 writes; nothing in the code needs a newer one than this.
PTX_VERSION = "7.0"
FLAGS = ("-std=c++17", "-O3", "-Werror", "all-warnings")


class BuildError(Exception):
    """The kernels cannot be compiled; the text is one line."""


def find_nvcc(given: Path | None = None) -> Path:
    """The compiler to use.

    Raises:
        BuildError: there is none.
    """
    if given is not None:
        if not given.is_file():
            raise BuildError(f"{given} is not there")
        return given
    on_path = shutil.which("nvcc")
    if on_path is not None:
        return Path(on_path)
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for nvcc in sorted(Path(folder).glob("cu*/bin/nvcc")):
            return nvcc
    raise BuildError("nvcc was not found: pip install 'malle-rt[dev]', install CUDA, or name one with --nvcc")


def nvcc_version(nvcc: Path) -> str:
    """Full version of the compiler, "13.0.88"."""
    found = re.search(r"\bV(\d+\.\d+\.\d+)", _run([str(nvcc), "--version"], Path.cwd()))
    if found is None:
        raise BuildError(f"{nvcc} --version does not tell a version")
    return found[1]


def build(nvcc: Path, target: Path, sources: Path = CSRC) -> None:
    """Compile everything into the folder ``target``, which appears or changes as a whole.

    Raises:
        BuildError: with the compiler's first complaint; ``target`` is as before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".compiling-") as work:
        fresh = Path(work) / "fresh"
        fresh.mkdir()
        _compile(nvcc, sources, fresh)
        fresh.chmod(0o755)
        if target.exists():
            target.rename(Path(work) / "former")
        fresh.rename(target)


def differences(nvcc: Path, shipped: Path, sources: Path = CSRC) -> Iterator[str]:
    """A line for each way in which the shipped files are not what the sources compile to.

    Raises:
        BuildError: this compiler is not the one that the shipped files were made with.
    """
    try:
        manifest = json.loads((shipped / MANIFEST).read_bytes())
    except (OSError, ValueError) as exc:
        raise BuildError(f"{shipped} holds no kernels to check ({exc})") from exc
    version = nvcc_version(nvcc)
    if version != manifest["nvcc"]:
        raise BuildError(
            f"the kernels were compiled by nvcc {manifest['nvcc']}, {nvcc} is {version}: "
            "only the same one can check them"
        )
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        _compile(nvcc, sources, fresh)
        names = {path.name for place in (fresh, shipped) for path in place.iterdir()}
        for name in sorted(names):
            if not (shipped / name).is_file():
                yield f"{name} is not shipped"
            elif not (fresh / name).is_file():
                yield f"{name} is shipped, but nothing compiles to it"
            elif (fresh / name).read_bytes() != (shipped / name).read_bytes():
                yield f"{name} is not what the sources compile to"


def _compile(nvcc: Path, sources: Path, out: Path) -> None:
    """Cubins, PTX and manifest of the sources, into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # One image with all kernels, so that there is one file to choose, check and load.
        (work / "kernels.cu").write_text("".join(f'#include "{name}"\n' for name in UNITS))
        for name in SOURCES:
            shutil.copyfile(sources / name, work / name)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(_cubin, nvcc, work, out, each) for each in ARCHITECTURES]
            kernels = _ptx(nvcc, work, out)
            for job in jobs:
                job.result()
    files = {path.name: _sha256(path) for path in sorted(out.iterdir())}
    manifest: dict[str, Any] = {
        "nvcc": nvcc_version(nvcc),
        "sources": {name: _sha256(sources / name) for name in SOURCES},
        "files": files,
        "kernels": kernels,
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _cubin(nvcc: Path, work: Path, out: Path, architecture: int) -> None:
    name = f"sm_{architecture}"
    target = out / f"{name}.cubin"
    said = _run(
        [str(nvcc), *FLAGS, f"-arch={name}", "-cubin", "-Xptxas=-v", "-o", str(target), "kernels.cu"], work
    )
    spilling = re.search(r"properties for (\w+)\s+\d+ bytes stack frame, [^\n]*?[1-9]\d* bytes spill", said)
    if spilling:
        raise BuildError(f"{spilling[1]} has too few registers on {name} and spills: lower its needs")


def _ptx(nvcc: Path, work: Path, out: Path) -> list[str]:
    """Write the PTX; returns the names of the kernels in it."""
    target = out / PTX
    _run([str(nvcc), *FLAGS, f"-arch={target.stem}", "-ptx", "-o", "kernels.ptx", "kernels.cu"], work)
    text, changed = re.subn(
        r"^\.version .*$", f".version {PTX_VERSION}", (work / "kernels.ptx").read_text(), flags=re.MULTILINE
    )
    if changed != 1:
        raise BuildError(f"the PTX has {changed} .version lines, not one")
    (work / "lowered.ptx").write_text(text)
    # The assembler refuses what the version named in the file does not know.
    _run([str(nvcc), "-arch=sm_75", "-cubin", "-o", "lowered.cubin", "lowered.ptx"], work)
    target.write_text(text)
    return sorted(re.findall(r"^\.visible \.entry (\w+)\(", text, flags=re.MULTILINE))


def _run(command: list[str], folder: Path) -> str:
    """What the program says, on both of its outputs."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as exc:
        raise BuildError(f"{command[0]} does not start: {exc}") from exc
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "error" in line.lower()] or [
            done.stdout.strip()
        ]
        raise BuildError(f"{Path(command[0]).name} failed: {lines[0]}")
    return done.stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the shipped files, change nothing")
    parser.add_argument("--nvcc", type=Path, help="the compiler")
    options = parser.parse_args()
    try:
        nvcc = find_nvcc(options.nvcc)
        if not options.check:
            build(nvcc, COMPILED)
            print(f"{COMPILED.relative_to(ROOT)}: compiled by nvcc {nvcc_version(nvcc)}")
            return 0
        found = list(differences(nvcc, COMPILED))
    except BuildError as exc:
        print(f"build_kernels.py: {exc}", file=sys.stderr)
        return 1
    for line in found:
        print(f"{line}; run tools/build_kernels.py")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
