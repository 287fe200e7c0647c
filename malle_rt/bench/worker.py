"""One measurement in a process of its own: memory and threads are its own, and a crash is a row, not the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malle_rt.bench.clip import SIGMA, Clip
from malle_rt.child import ChildEndedError, call, serve
from malle_rt.config import DenoiseConfig
from malle_rt.errors import BackendUnavailable, MalleError
from malle_rt.models import photo_model_names

__all__ = ["launch"]

_LIMIT = 300.0  # seconds; the slowest combination takes a fraction


def launch(order: dict[str, Any]) -> dict[str, Any]:
    """Run one order in a process of its own; ``{"failed": reason}``, ``{"unavailable": reason}`` where that fails."""
    try:
        report: dict[str, Any] = call(__name__, order, limit=_LIMIT)
    except BackendUnavailable as exc:
        return {"unavailable": str(exc)}
    except MalleError as exc:
        return {"failed": f"{type(exc).__name__}: {exc}"}
    except ChildEndedError as exc:
        return {"failed": f"the process {exc}"}
    return report


def _answer(order: dict[str, Any], _: Callable[[Any], None]) -> dict[str, Any]:
    return _KINDS[order["kind"]](order)


def _ours(order: dict[str, Any]) -> dict[str, Any]:
    from malle_rt.backends.select import select_backend
    from malle_rt.bench.measure import measure
    from malle_rt.bench.sensors import gpu_memory
    from malle_rt.photo.frames import FrameByFrameBackend

    config = DenoiseConfig(
        backend=order["backend"], model=order["model"], precision=order["precision"], strength=SIGMA
    )
    gpu_before = gpu_memory()
    photo = config.model in photo_model_names()
    measured = measure(
        FrameByFrameBackend(config) if photo else select_backend(config).backend,
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
    serve(_answer)
