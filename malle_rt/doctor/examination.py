"""The whole examination, and whether the main job can run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.doctor.finding import Finding, State
from malle_rt.doctor.machine import examine_cpu, examine_machine
from malle_rt.doctor.media import examine_media
from malle_rt.doctor.nvidia import examine_nvidia
from malle_rt.errors import MalleError
from malle_rt.measuring import psnr
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.models import (
    checksum,
    graph_file,
    graph_precisions,
    model_names,
    photo_graph,
    photo_model_names,
)

__all__ = ["Examination", "examine"]

SCHEMA = 1  # of the JSON; grows when a field changes its meaning
_SIZE, _FRAMES, _SIGMA = (320, 192), 6, 15.0
_LEAST_GAIN = 3.0  # dB on the trial; the networks reach 6 and more


@dataclass(frozen=True)
class Examination:
    """Everything that was found.

    Attributes:
        findings: in the order of the sections.
        runs: whether the main job can run: the chosen backend really cleans frames, and H.264 can be written.
    """

    findings: tuple[Finding, ...]
    runs: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values: ``schema``, ``runs``, ``findings`` with the fields of ``Finding``."""
        found = [dataclasses.asdict(finding) for finding in self.findings]
        return {"schema": SCHEMA, "runs": self.runs, "findings": found}


def examine() -> Examination:
    """Look at everything; takes a few seconds, changes nothing, sends nothing anywhere."""
    findings = [*examine_machine(), *examine_cpu(), *examine_nvidia(), *examine_media(), *_use()]
    trial = next(finding for finding in findings if finding.name == "transcode")
    encoder = next(finding for finding in findings if finding.name == "libx264")
    return Examination(tuple(findings), runs=trial.state == "ok" and encoder.state == "ok")


def _use() -> Iterator[Finding]:
    for name in model_names():
        precisions = ", ".join(
            f"{each} {checksum(graph_file(name, each))}" for each in graph_precisions(name)
        )
        yield Finding(section="use", name=f"model {name}", state="ok", detail=precisions)
    for name in photo_model_names():
        detail = f"fp16 {checksum(photo_graph(name))}, for photographs"
        yield Finding(section="use", name=f"model {name}", state="ok", detail=detail)
    yield _trial()


def _trial() -> Finding:
    """Clean a few frames as ``malle-rt transcode`` would, and see that it helps."""
    try:
        denoiser, what = open_denoiser(DenoiseConfig(strength=_SIGMA))
    except MalleError as exc:
        return Finding(section="use", name="transcode", state="broken", detail=str(exc))
    try:
        source = SyntheticSource(_FRAMES, _SIZE, noise_sigma=_SIGMA)
        for noisy in source:
            begin = time.perf_counter()
            denoised = denoiser.start(noisy)()
            taken = (time.perf_counter() - begin) * 1e3
    except MalleError as exc:
        return Finding(section="use", name="transcode", state="broken", detail=f"{what}: {exc}")
    finally:
        denoiser.close()
    clean = source.clean(_FRAMES - 1).planes[0]
    gain = psnr(denoised.planes[0], clean) - psnr(noisy.planes[0], clean)
    detail = f"{what}: {gain:+.1f} dB on noise of sigma {_SIGMA:g}, {taken:.1f} ms for {_SIZE[0]}x{_SIZE[1]}"
    state: State = "ok" if gain >= _LEAST_GAIN else "broken"
    return Finding(section="use", name="transcode", state=state, detail=detail)
