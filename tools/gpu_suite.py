"""Everything that needs an NVIDIA GPU, in one run: tests, sanitizer, bandwidth, frames per second; one JSON file.

    python tools/gpu_suite.py --output benchmarks

Each part runs in a process of its own with a time limit; what fails is written down with its words and does not stop
the rest. The file is named after the GPU and written after each part. Exit code 1 when a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
FRAMES = {"720p": 600, "1080p": 400, "4k": 200}
LEAST = 5.0  # seconds that a part needs at all
MARK = "gpu_suite result: "


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks", help="folder of the JSON file")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="parts to run (default: all)")
    parser.add_argument("--limit", type=float, help="seconds for one part (default: of each its own)")
    parser.add_argument("--minutes", type=float, help="for all of them; what is left then is not run")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)  # what a child process does
    options = parser.parse_args()
    if options.part:
        tell(PARTS[options.part]())
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    end = time.monotonic() + 60 * (options.minutes or 1e6)
    for name in PARTS:
        if name in (options.only or PARTS):
            left = end - time.monotonic()
            if left < LEAST:
                print(f"{name}: not run, no time is left")
                continue
            limit = min(left, options.limit or LIMITS.get(name, 60.0))
            results[name] = run_part(name, limit)
            write(results, options.output)
    print(f"wrote {write(results, options.output)}")
    return 1 if any(not part["ok"] for part in results.values()) else 0


def write(results: dict[str, Any], folder: Path) -> Path:
    """Write what is known so far; returns the file."""
    gpu = results.get("machine", {}).get("result", {}).get("gpu", "gpu")
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', gpu.lower())}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def tell(result: dict[str, Any]) -> None:
    """Report from a part to the process above, which takes the last report: what was found before an end stays."""
    print(MARK + json.dumps(result), flush=True)


def run_part(name: str, limit: float) -> dict[str, Any]:
    """Run one part in a process of its own."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--part", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": _python_path()},
        start_new_session=True,
    )
    try:
        said, errors = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # with what it has started, which would keep the GPU busy
        said, errors = child.communicate()
        errors = f"{errors}\nstopped after {limit:g} s"
    lines, code = said.splitlines(), child.returncode
    part: dict[str, Any] = {"seconds": round(time.monotonic() - begun, 1)}
    found = [line[len(MARK) :] for line in lines if line.startswith(MARK)]
    if found:
        part |= {"result": json.loads(found[-1])}
    part["ok"] = bool(found) and code == 0 and part["result"] is not None and "failed" not in part["result"]
    if not part["ok"]:
        part["words"] = (errors or "\n".join(lines))[-2000:]
    print(f"{name}: {'ok' if part['ok'] else 'FAILED'} in {part['seconds']} s", flush=True)
    return part


def machine() -> dict[str, Any]:
    """GPU, driver, versions."""
    from gpubench.measurements import describe

    from malle_rt.cuda.opening import open_driver

    driver = open_driver()
    found = describe(driver)
    driver.close()
    return found


def tests() -> dict[str, Any]:
    """tests/gpu, without leave to skip for want of a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/gpu", "-p", "no:cacheprovider"]
    done = _run(command, {"MALLE_REQUIRE_GPU": "1"})
    lines = done.stdout.strip().splitlines()
    return _outcome(done, last=lines[-12:] if done.returncode == 0 else lines[-120:])


def sanitizer() -> dict[str, Any]:
    """Our kernels under compute-sanitizer: memory errors, and reads of what nobody wrote."""
    tool = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")
    if tool is None:
        return {"failed": "compute-sanitizer is not installed"}
    result: dict[str, Any] = {}
    # Not racecheck: it looks at shared memory, and our kernels use none.
    for check in ("memcheck", "initcheck"):
        python = [sys.executable, "-m", "gpubench.every_kernel"]
        done = _run([tool, "--tool", check, "--error-exitcode", "9", *python], {})
        summary = [line for line in done.stdout.splitlines() if "SUMMARY" in line]
        lines = (done.stdout + done.stderr).splitlines()
        result[check] = {"code": done.returncode, "summary": summary, "last": lines[-30:]}
        if done.returncode:
            result["failed"] = check
        tell(result)
    return result


def slices() -> dict[str, Any]:
    """Bandwidth of the fused slice against a copy."""
    from gpubench.measurements import measure_slices

    from malle_rt.cuda.opening import open_driver

    driver = open_driver("cuda-bindings")
    rows = measure_slices(driver, SIZES)
    driver.close()
    return {"rows": rows}


def backend_rows() -> dict[str, Any]:
    """The ``cuda`` backend: each network; then without graphs, in float32, and with the other adapter."""
    from gpubench.measurements import measure_sessions

    from malle_rt.backends.cuda import CudaBackend
    from malle_rt.errors import BackendUnavailable, MalleError

    result: dict[str, Any] = {"rows": [], "missing": []}
    for model, adapter, graphs, precision in (
        ("rt-s", "cuda-bindings", True, "fp16"),
        ("rt-m", "cuda-bindings", True, "fp16"),
        ("rt-l", "cuda-bindings", True, "fp16"),
        ("rt-s", "cuda-bindings", False, "fp16"),
        ("rt-s", "cuda-bindings", True, "fp32"),
        ("rt-s", "pycuda", True, "fp16"),
        ("rt-s", "pycuda", False, "fp16"),
    ):
        try:
            for size, frames in FRAMES.items():
                result["rows"] += measure_sessions(
                    lambda: CudaBackend(model, adapter=adapter, graphs=graphs, precision=precision),  # noqa: B023
                    {size: SIZES[size]},
                    frames=frames,
                )
                tell(result)
        except BackendUnavailable as exc:
            result["missing"].append(f"{adapter}: {exc}")
        except MalleError as exc:
            result.setdefault("failed", []).append(
                f"{model}, {adapter}, {precision}, {'with' if graphs else 'without'} graphs: {exc}"
            )
        tell(result)
    return result


def kernels() -> dict[str, Any]:
    """Microseconds of each kernel beside the network."""
    from gpubench.measurements import measure_kernels

    from malle_rt.cuda.opening import open_driver

    driver = open_driver("cuda-bindings")
    rows = measure_kernels(driver, SIZES)
    driver.close()
    return {"rows": rows}


def together() -> dict[str, Any]:
    """Several videos at once."""
    from gpubench.measurements import measure_together

    from malle_rt.backends.cuda import CudaBackend

    return {"rows": measure_together(lambda: CudaBackend("rt-s"), SIZES["1080p"], (1, 2, 4, 8), frames=200)}


def transcode() -> dict[str, Any]:
    """File to file."""
    from gpubench.measurements import measure_files

    result: dict[str, Any] = {"rows": []}
    for size in SIZES:
        for row in measure_files("cuda", {size: SIZES[size]}, frames=FRAMES[size]):
            result["rows"].append(row)
            tell(result)
    return result


def rtx() -> dict[str, Any]:
    """TensorRT-RTX on this GPU: its outcome, in its own words."""
    from gpubench.measurements import measure_sessions

    from malle_rt.backends.tensorrt import TensorRTBackend
    from malle_rt.errors import MalleError

    try:
        return {"rows": measure_sessions(lambda: TensorRTBackend("tensorrt-rtx", "rt-s"), SIZES, frames=100)}
    except MalleError as exc:
        return {"outcome": f"{type(exc).__name__}: {exc}"}


# In the order in which they are worth most, should time run out.
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "machine": machine,
    "backend": backend_rows,
    "kernels": kernels,
    "slices": slices,
    "transcode": transcode,
    "together": together,
    "tests": tests,
    "sanitizer": sanitizer,
    "rtx": rtx,
}
# Seconds; all others take up to 60.
LIMITS = {"backend": 180.0, "transcode": 150.0, "tests": 240.0, "sanitizer": 240.0}


def _python_path() -> str:
    """The checkout itself, installed or not; it and the tools come first."""
    more = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(ROOT), str(ROOT / "tools"), *([more] if more else [])])


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
    )


def _outcome(done: subprocess.CompletedProcess[str], **more: Any) -> dict[str, Any]:
    return {**more, **({"failed": f"exit code {done.returncode}"} if done.returncode else {})}


if __name__ == "__main__":
    sys.exit(main())
