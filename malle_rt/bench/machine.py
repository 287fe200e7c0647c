"""What the measurements were made on: a number without its machine is not worth quoting."""

from __future__ import annotations

import os
import time
from pathlib import Path

from malle_rt.cuda.opening import cuda_problem
from malle_rt.doctor.finding import package_version
from malle_rt.doctor.machine import examine_machine
from malle_rt.doctor.nvidia import examine_nvidia

__all__ = ["OtherLoad", "describe_machine"]

_PACKAGES = (
    "numpy",
    "openvino",
    "av",
    "opencv-python",
    "torch",
    "cuda-bindings",
    "tensorrt",
    "tensorrt-rtx-cu13",
)
_STAT = Path("/proc/stat")


def describe_machine() -> dict[str, str]:
    """Processor, memory, system, GPU, versions; nothing that tells whose machine it is."""
    found = {finding.name: finding.detail for finding in examine_machine()}
    if cuda_problem() is None:
        found |= {finding.name: finding.detail for finding in examine_nvidia() if finding.name == "GPU"}
    versions = {name: package_version(name) for name in _PACKAGES}
    return found | {name: version for name, version in versions.items() if version}


class OtherLoad:
    """How many cores other programs kept busy, from construction on: timings beside a busy neighbour should say so."""

    def __init__(self) -> None:
        self._begin, self._others = time.perf_counter(), _others_seconds()

    def describe(self) -> dict[str, str]:
        """``other load`` in cores, on average; nothing where Linux does not tell."""
        now = _others_seconds()
        if now is None or self._others is None:
            return {}
        cores = max(0.0, now - self._others) / (time.perf_counter() - self._begin)
        return {"other load": f"{cores:.2f} cores"}


def _others_seconds() -> float | None:
    """CPU time of everything that is not this process or an ended child of it, since the machine started."""
    if not _STAT.exists():
        return None
    # "cpu user nice system idle iowait irq softirq steal ...", in ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, _STAT.read_text().split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])
