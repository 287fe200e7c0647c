"""System, processor, and the runtimes that need no GPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from malle_rt.doctor.finding import Finding
from malle_rt.measuring import package_version, processor_name
from malle_rt.ops.native import TO_BUILD, load_extension, openvino_pin

__all__ = ["examine_cpu", "examine_machine"]

_CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that our kernels and OpenVINO are faster with, as Linux names them.
_FLAGS = ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def examine_machine() -> Iterator[Finding]:
    """System, Python, processor, memory."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding(section="machine", name="system", state="ok", detail=system)
    yield Finding(section="machine", name="python", state="ok", detail=platform.python_version())
    yield Finding(section="machine", name="processor", state="ok", detail=_processor())
    yield Finding(section="machine", name="memory", state="ok", detail=_memory())


def examine_cpu() -> Iterator[Finding]:
    """OpenVINO, our operator in it, torch."""
    yield from _openvino()
    torch = package_version("torch")
    yield Finding(
        section="cpu",
        name="torch",
        state="ok" if torch else "missing",
        detail=torch or "only training, export and the backends torch and cuda need it",
        advice="" if torch else "pip install 'malle-rt[torch]'",
    )


def _openvino() -> Iterator[Finding]:
    try:
        from malle_rt.vino import ov

        core = ov.Core()
        devices = ", ".join(core.available_devices) or "no devices"
    except (ImportError, RuntimeError) as exc:
        advice = f"pip install '{openvino_pin()}'"
        yield Finding(section="cpu", name="openvino", state="broken", detail=_line(exc), advice=advice)
        return
    yield Finding(
        section="cpu", name="openvino", state="ok", detail=f"{package_version('openvino')}: {devices}"
    )
    from malle_rt.backends.openvino import int8_pays

    fused = load_extension(core)
    yield Finding(
        section="cpu",
        name="fused slice",
        state="ok" if fused else "missing",
        detail="compiled" if fused else "standard operations run instead, 10 to 30 times slower",
        advice="" if fused else TO_BUILD,
    )
    pays = "yes" if int8_pays() else "no byte products (VNNI, AMX) here: fp32 is chosen"
    yield Finding(section="cpu", name="int8 is faster", state="ok", detail=pays)


def _processor() -> str:
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = " ".join(flag for flag in _FLAGS if flag in flags)
    return f"{processor_name()}, {usable} of {os.cpu_count()} cores{f' ({known})' if known else ''}"


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "unknown"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{total / 2**30:.1f} GiB"


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
