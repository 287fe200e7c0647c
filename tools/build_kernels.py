"""Compile the CUDA kernels to what ships: malle_rt/cuda/compiled/, one cubin per architecture, PTX, and a manifest.

    python tools/build_kernels.py
    python tools/build_kernels.py --check
    python tools/build_kernels.py --ptxas PROGRAM...
    python tools/build_kernels.py --counts

--check compiles them again and compares byte by byte; it prints a line for each difference. nvcc is taken from --nvcc,
from PATH, or from the nvidia-cuda-nvcc package. Same sources and same nvcc, same bytes.

--ptxas assembles the PTX that ships with each of these assemblers, as a driver of its version would, for every
architecture that it knows. --counts says what the fast slices do for a pixel, as the PTX has it.
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Assembled:
    """The PTX on one architecture, by one assembler.

    Attributes:
        ptxas: its version.
        architecture: "sm_90".
        failure: why not; "" where it did.
        spills: kernels with too few registers.
        registers: of the kernel that takes most.
    """

    ptxas: str
    architecture: str
    failure: str
    spills: int
    registers: int


def assembled(ptxas: Path, ptx: Path, architectures: Sequence[str] = ()) -> Iterator[Assembled]:
    """Assemble PTX for every architecture that the assembler knows, from 7.5 on.

    Raises:
        BuildError: it does not start.
    """
    command = [str(ptxas.resolve())]
    version = nvcc_version(ptxas)
    known = sorted(set(re.findall(r"\bsm_(\d+)\b", _run([*command, "--help"], Path.cwd()))), key=int)
    oldest = int(PTX.removeprefix("compute_").removesuffix(".ptx"))
    with tempfile.TemporaryDirectory() as folder:
        for each in architectures or [f"sm_{number}" for number in known if int(number) >= oldest]:
            try:
                arguments = [f"-arch={each}", "-v", "-o", "x.cubin", str(ptx.resolve())]
                said = _run([*command, *arguments], Path(folder))
            except BuildError as exc:
                yield Assembled(version, each, str(exc), 0, 0)
                continue
            spills = len(re.findall(r"[1-9]\d* bytes spill", said))
            yield Assembled(
                version, each, "", spills, max(map(int, re.findall(r"Used (\d+) registers", said)))
            )


@dataclass(frozen=True)
class SliceCount:
    """What a fast slice does for one pixel of one plane.

    Attributes:
        kernel: its name.
        instructions: of the virtual machine; the assembler makes about as many of them.
        loaded, stored: bytes that its thread asks for; most of what is loaded comes from the caches.
        least: bytes that memory must move.
    """

    kernel: str
    instructions: float
    loaded: float
    stored: float
    least: float


def slice_counts(ptx: str) -> Iterator[SliceCount]:
    """Count along the way of a thread in the middle of a picture: the loop over the rows of taps runs once for each."""
    for kernel, storage, size, stride in re.findall(r"\.entry (malle_slice_(f16|f32)_k(\d)_s(\d))\(", ptx):
        begin = ptx.index(f".entry {kernel}(")
        lines = _instructions(ptx[begin : ptx.index("\n}\n", begin)])
        places = {line.removesuffix(":"): at for at, line in enumerate(lines) if line.endswith(":")}
        loops = [
            (places[found[1]], at)
            for at, line in enumerate(lines)
            if (found := re.search(r"\bbra(?:\.uni)?\s+([$\w]+)", line)) and places.get(found[1], at) < at
        ]
        first, last = min(loops, key=lambda loop: loop[1] - loop[0])
        item, taps = 2 if storage == "f16" else 4, int(size)
        pixels = slice_patch(taps, int(stride), item)
        way = lines + lines[first : last + 1] * (taps - 1)
        loaded, stored = (sum(_bytes(line, kind) for line in way) for kind in ("ld", "st"))
        yield SliceCount(
            kernel,
            round(sum(not line.endswith(":") for line in way) / pixels, 1),
            round(loaded / pixels, 1),
            round(stored / pixels, 1),
            round(item * (2 + (taps**2 + 1) / int(stride) ** 2 / together(taps, int(stride))), 2),
        )


def slice_patch(size: int, stride: int, item: int) -> int:
    """Pixels that a thread of a fast slice does, as ``malle_rt/cuda/launches.py`` has it."""
    return together(size, stride) * (1 if stride == 1 else 2) * 16 // item


def together(size: int, stride: int) -> int:
    """Planes that a thread does at once, as they share their kernels; as in malle_slice.cu."""
    return 2 if (size, stride) == (3, 1) else 1


def _instructions(body: str) -> list[str]:
    """Labels and instructions of an entry."""
    lines = [line.strip() for line in body[body.index("{") + 1 :].splitlines()]
    return [line for line in lines if line and not line.startswith(("//", ".", "{", "}"))]


def _bytes(line: str, kind: str) -> int:
    found = re.search(rf"\b{kind}\.global(?:\.nc)?(?:\.v(\d))?\.[a-z](\d+)", line)
    return int(found[1] or 1) * int(found[2]) // 8 if found else 0


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


def _look_at_ptx(programs: Sequence[Path], *, counts: bool) -> int:
    failed = False
    for program in programs:
        for each in assembled(program, COMPILED / PTX):
            said = each.failure or f"{each.registers} registers at most, {each.spills} kernels spill"
            failed = failed or bool(each.failure or each.spills)
            print(f"ptxas {each.ptxas} {each.architecture}: {said}", flush=True)
    for one in slice_counts((COMPILED / PTX).read_text()) if counts else ():
        print(
            f"{one.kernel}: {one.instructions} instructions a pixel, {one.loaded} bytes asked for, {one.stored} "
            f"stored; memory moves {one.least} at least"
        )
    return 1 if failed else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the shipped files, change nothing")
    parser.add_argument("--nvcc", type=Path, help="the compiler")
    parser.add_argument("--ptxas", type=Path, nargs="+", default=[], help="assemblers to try the PTX with")
    parser.add_argument("--counts", action="store_true", help="count what the slices do for a pixel")
    options = parser.parse_args()
    try:
        if options.ptxas or options.counts:
            return _look_at_ptx(options.ptxas, counts=options.counts)
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
