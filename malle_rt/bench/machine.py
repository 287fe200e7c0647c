"""What the measurements were made on: a number without its machine is not worth quoting."""

from __future__ import annotations

from malle_rt.cuda.opening import cuda_problem
from malle_rt.doctor.machine import examine_machine
from malle_rt.doctor.nvidia import examine_nvidia
from malle_rt.measuring import package_version

__all__ = ["describe_machine"]

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


def describe_machine() -> dict[str, str]:
    """Processor, memory, system, GPU, versions; nothing that tells whose machine it is."""
    found = {finding.name: finding.detail for finding in examine_machine()}
    if cuda_problem() is None:
        found |= {finding.name: finding.detail for finding in examine_nvidia() if finding.name == "GPU"}
    versions = {name: package_version(name) for name in _PACKAGES}
    return found | {name: version for name, version in versions.items() if version}
