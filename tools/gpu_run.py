"""Half an hour on a bare machine with an NVIDIA GPU: what goes there, what runs in which order, what comes back.

    python tools/gpu_run.py pack gpu_run --clips DIR --stills DIR [--python 3.12]    here: parts of 64 MiB at most
    python tools/gpu_run.py dry                                   here: whether it would run without PyAV and OpenVINO
    python tools/gpu_run.py measure --out OUT                     there: the suite, most valuable part first
    python tools/gpu_run.py train --out OUT --minutes 9 -- --preset rt-s ...     there: tools/train.py, ended in time
    python tools/gpu_run.py join OUT                              here: what came back, whole again

docs/gpu_run.md has the order of the half hour. Every command ends by itself within its minutes, and writes no file
larger than what may come back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
MOST_THERE = 64 * MIB  # carried at a time, the checkout included
MOST_BACK, FILES_BACK = 16 * MIB, 8
ENDING = 25.0  # seconds before the end at which a training is asked to save
WHEELS = ("av", "safetensors", "cuda-bindings", "cuda-pathfinder", "numpy", "platformdirs", "filelock")
PART, SUMS = ".part", "SHA256.json"
# What a machine there may lack; nothing of the measurements but files needs them.
ABSENT = ("av", "openvino", "cv2", "onnx", "PIL")
_BLOCKED = """
import importlib, sys
for name in {absent}:
    sys.modules[name] = None
for name in {modules}:
    importlib.import_module(name)
"""
_MODULES = ("gpu_suite", "gpubench.measurements", "gpubench.every_kernel", "malle_rt.backends.cuda")


class RunError(Exception):
    """What cannot be done, and what to do; one line."""


def pack(folder: Path, sources: Iterable[Path], checkout: int) -> list[Path]:
    """Copy files into as few parts as hold them, each small enough beside the checkout.

    Args:
        folder: new; of parts "1", "2" ...
        sources: files, and folders whose files are meant.
        checkout: bytes that go along with each part.

    Raises:
        RunError: the folder exists, a source does not, or one file alone is too large.
    """
    if folder.exists():
        raise RunError(f"{folder} exists: delete it, or name another folder")
    room = MOST_THERE - checkout
    parts: list[list[tuple[Path, Path]]] = [[]]
    used = 0
    # The largest first: fewer parts.
    for path, name in sorted(_files(sources), key=lambda each: -each[0].stat().st_size):
        size = path.stat().st_size
        if size > room:
            raise RunError(
                f"{path} has {size / MIB:.1f} MiB, and {room / MIB:.1f} MiB is all that fits beside the checkout"
            )
        if used + size > room:
            parts.append([])
            used = 0
        parts[-1].append((path, name))
        used += size
    for number, files in enumerate(parts, 1):
        for path, name in files:
            target = folder / str(number) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return [folder / str(number) for number in range(1, len(parts) + 1)]


def _files(sources: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Each file and its name in a part."""
    for source in sources:
        if source.is_file():
            yield source, Path(source.name)
        elif source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.is_file():
                    yield path, Path(source.name) / path.relative_to(source)
        else:
            raise RunError(f"{source} is not there")


def checkout_size() -> int:
    """Bytes of what git knows of this checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return sum(path.stat().st_size for path in paths if path.is_file())


def fetch_wheels(folder: Path, python: str) -> Path:
    """Wheels for that Python on Linux; torch is there already.

    Raises:
        RunError: pip finds one of them not.
    """
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "--no-deps"]
    command += ["--python-version", python, "--platform", "manylinux_2_28_x86_64", "-d", str(wheels), *WHEELS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RunError(f"pip cannot fetch the wheels: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return wheels


def dry() -> None:
    """Import all that is to run in an environment without what may be missing there.

    Raises:
        RunError: something imports it all the same.
    """
    code = _BLOCKED.format(absent=ABSENT, modules=_MODULES)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RunError(f"without {', '.join(ABSENT)}: {done.stderr.strip().splitlines()[-1]}")


def run_within(command: list[str], seconds: float, *, asked_before: float = 0.0) -> int:
    """Run a command that must be over in time.

    Args:
        command: with its arguments.
        seconds: after which it and all it has started are killed.
        asked_before: seconds before that at which SIGTERM asks it to end; 0: it is not asked.

    Returns:
        Its exit code; -9 where it was killed.
    """
    child = subprocess.Popen(command, cwd=ROOT, env=_environment(), start_new_session=True)
    end = time.monotonic() + seconds
    try:
        if asked_before:
            try:
                return child.wait(max(0.0, seconds - asked_before))
            except subprocess.TimeoutExpired:
                child.terminate()
        return child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return -9
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def bring_back(files: Iterable[Path], out: Path) -> list[Path]:
    """Put files where they come back from: whole, or in parts where one is too large.

    Raises:
        RunError: they are too many; none is written then.
    """
    found = [path for path in files if path.is_file()]
    counts = [-(-max(1, path.stat().st_size) // MOST_BACK) for path in found]
    if sum(counts) + 1 > FILES_BACK:
        raise RunError(
            f"{sum(counts)} files of {MOST_BACK // MIB} MiB and their sums, and {FILES_BACK} come back"
        )
    out.mkdir(parents=True, exist_ok=True)
    written, sums = [], {}
    for path, count in zip(found, counts, strict=True):
        sums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        with path.open("rb") as source:
            for number in range(count):
                name = path.name if count == 1 else f"{path.name}{PART}{number:02}"
                written.append(out / name)
                written[-1].write_bytes(source.read(MOST_BACK))
    (out / SUMS).write_text(json.dumps(sums, indent=1) + "\n")
    return [*written, out / SUMS]


def join(folder: Path) -> list[Path]:
    """Make split files whole again, beside their parts, and compare all with their sums.

    Raises:
        RunError: a file is missing or is another.
    """
    try:
        sums: dict[str, str] = json.loads((folder / SUMS).read_text())
    except (OSError, ValueError) as exc:
        raise RunError(f"{folder} is no folder that came back: it has no {SUMS} ({exc})") from exc
    whole = []
    for name, digest in sums.items():
        path = folder / name
        parts = sorted(folder.glob(f"{name}{PART}*"))
        content = b"".join(part.read_bytes() for part in parts) if parts else None
        if content is None and not path.is_file():
            raise RunError(f"{name} did not come back")
        found = hashlib.sha256(path.read_bytes() if content is None else content).hexdigest()
        if found != digest:
            raise RunError(f"{name} is not what was sent: its SHA-256 is another, or a part is missing")
        if content is not None:
            path.write_bytes(content)
        whole.append(path)
    return whole


def measure(out: Path, minutes: float, only: list[str]) -> int:
    """Run tools/gpu_suite.py; its file is written after each part, so that what is known always comes back."""
    command = [
        sys.executable,
        str(ROOT / "tools/gpu_suite.py"),
        "--output",
        str(out),
        "--minutes",
        str(minutes),
    ]
    return run_within([*command, *(["--only", *only] if only else [])], minutes * 60 + 20)


def train(out: Path, minutes: float, options: list[str]) -> int:
    """Run tools/train.py for so many minutes in all, and bring back its weights, its log and its checkpoint."""
    folder = ROOT / "runs" / "gpu_run"
    command = [sys.executable, str(ROOT / "tools/train.py"), "--out", str(folder), *options]
    if not {"--budget", "--steps"} & set(options):
        command += ["--budget", str(minutes)]
    if (folder / "last.pt").exists() and "--resume" not in options:
        command += ["--resume"]
    code = run_within(command, minutes * 60, asked_before=ENDING)
    names = ("best.safetensors", "average.safetensors", "log.jsonl", "last.pt")
    bring_back([folder / name for name in names], out)
    return 0 if code == 128 + signal.SIGTERM else code  # that is how it ends when asked


def _environment() -> dict[str, str]:
    more = os.environ.get("PYTHONPATH")
    path = [str(ROOT), str(ROOT / "tools"), *([more] if more else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="collect what goes there, in parts")
    packing.add_argument("folder", type=Path, help="new folder of the parts")
    packing.add_argument("--clips", type=Path, nargs="*", default=[], help="files and folders to train on")
    packing.add_argument("--stills", type=Path, nargs="*", default=[], help="files and folders to train on")
    packing.add_argument(
        "--python", default="", help="version there, to fetch wheels for; none are fetched else"
    )
    commands.add_parser("dry", help="import everything without what may be missing there")
    measuring = commands.add_parser("measure", help="run the suite")
    training = commands.add_parser("train", help="run tools/train.py; its options behind --")
    for each, minutes in ((measuring, 9.0), (training, 9.0)):
        each.add_argument("--out", type=Path, required=True, help="folder whose files come back")
        each.add_argument("--minutes", type=float, default=minutes, help=f"in all ({minutes:g})")
    measuring.add_argument("--only", nargs="*", default=[], help="parts of the suite")
    training.add_argument("options", nargs="*", help="of tools/train.py")
    joining = commands.add_parser("join", help="make what came back whole again")
    joining.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        return _run(options)
    except RunError as exc:
        print(f"gpu_run.py: {exc}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "measure":
        return measure(options.out, options.minutes, options.only)
    if options.command == "train":
        return train(options.out, options.minutes, options.options)
    if options.command == "dry":
        dry()
        print(f"everything is imported without {', '.join(ABSENT)}")
    elif options.command == "join":
        for path in join(options.folder):
            print(f"{path}: {path.stat().st_size / MIB:.1f} MiB")
    else:
        sources = [*options.clips, *options.stills]
        if options.python:
            sources.append(
                fetch_wheels(options.folder.with_name(f"{options.folder.name}-wheels"), options.python)
            )
        for part in pack(options.folder, sources, checkout_size()):
            size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
            print(f"{part}: {size / MIB:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
