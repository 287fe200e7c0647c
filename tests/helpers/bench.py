"""Results of a benchmark, written by hand."""

from malle_rt.bench.plan import SIZES
from malle_rt.bench.result import Result, Roofline, Row
from malle_rt.bench.spans import STAGES
from malle_rt.measuring import Spread

__all__ = ["result", "row"]


def row(size="720p", fps=50.0, ok=True, problem=None, gain=9.0, precision="fp32"):
    """A row of the openvino backend; its spread is 2 fps."""
    spread = Spread(fps, fps - 1, fps + 1)
    return Row(
        kind="malle-rt",
        backend="openvino",
        model="rt-s",
        precision=precision,
        size=size,
        width=SIZES[size].width,
        height=SIZES[size].height,
        repeats=3,
        ok=ok,
        problem=problem,
        device="CPU (2 threads)",
        weights="0123456789ab",
        notes=("a note",),
        gain_db=gain,
        engine_fps=spread,
        pipeline_fps=spread,
        file_fps=spread,
        start_ms=Spread(100.0, 90.0, 110.0),
        latency_ms={"p50": Spread(20.0, 19.0, 21.0), "p95": Spread(22.0, 21.0, 23.0)},
        latency_quantiles_ms=tuple(float(15 + step) for step in range(21)),
        stages_ms={"pack": 1.0, "network": 18.0, "unpack": 1.0},
        file_stages_ms=dict.fromkeys(STAGES, 5.0),
        file_wall_ms=20.0,
        file_overlap_ms=6.0,
        file_idle_ms=1.0,
        peak_host_mib=Spread(220.0, 219.0, 221.0),
        cores=1.9,
        roofline=Roofline(macs=10**9, bytes=10**8, limit_ms=8.0, bound="compute", share=0.4),
    )


def result(*rows, processor="a processor", reference=None):
    """A run with these rows; ``reference`` in rounds per second."""
    return Result(
        created="2026-01-02T03:04:05+00:00",
        malle_rt="0.1.0",
        machine={"processor": processor, "other load": "0.00 cores"},
        settings={"sigma": 15.0, "seconds": 1.0, "repeats": 3, "own_file": False},
        rates={"copy_gb_per_s": 40.0},
        rows=rows,
        reference=reference and Spread(reference, reference, reference),
    )
