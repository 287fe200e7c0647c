"""One measurement in a process of its own: memory and threads are its own, and a crash is a row, not the end.

``python -m malle_rt.bench.worker ORDER RESULT``: both are JSON files. The result is written last of all, so where there
is none the process has failed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from malle_rt.bench.clip import Clip
from malle_rt.config import DenoiseConfig
from malle_rt.errors import BackendUnavailable, MalleError

__all__ = ["main"]


def main() -> None:
    """Do what the order says."""
    order_file, result_file = map(Path, sys.argv[1:])
    order = json.loads(order_file.read_text())
    try:
        result = _KINDS[order["kind"]](order)
    except BackendUnavailable as exc:
        result = {"unavailable": str(exc)}
    except MalleError as exc:
        result = {"failed": f"{type(exc).__name__}: {exc}"}
    result_file.write_text(json.dumps(result))


def _ours(order: dict[str, Any]) -> dict[str, Any]:
    from malle_rt.backends.select import select_backend
    from malle_rt.bench.measure import measure
    from malle_rt.bench.sensors import gpu_memory

    config = DenoiseConfig(backend=order["backend"], model=order["model"], precision=order["precision"])
    gpu_before = gpu_memory()
    measured = measure(
        select_backend(config).backend,
        Clip(Path(order["clip"])),
        seconds=order["seconds"],
        folder=Path(order["folder"]),
        input_file=Path(order["input"]) if order["input"] else None,
        gpu_before=gpu_before,
    )
    return dataclasses.asdict(measured)


def _peer(order: dict[str, Any]) -> dict[str, Any]:
    from malle_rt.bench.peers import measure_peer

    measured = measure_peer(
        order["backend"], Clip(Path(order["clip"])), seconds=order["seconds"], folder=Path(order["folder"])
    )
    return dataclasses.asdict(measured)


def _limits(order: dict[str, Any]) -> dict[str, Any]:
    """The processor's limits, and every model's work at every size."""
    from malle_rt.bench.limits import measure_limits
    from malle_rt.bench.work import count_work

    work = [
        {"model": model, "width": width, "height": height}
        | dataclasses.asdict(count_work(model, width, height))
        for model in order["models"]
        for width, height in order["sizes"]
    ]
    return {"rates": measure_limits(), "work": work}


_KINDS = {"ours": _ours, "peer": _peer, "limits": _limits}

if __name__ == "__main__":
    main()
