"""Start a worker and bring back what it reports; however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from malle_rt.child import module_command

__all__ = ["launch"]

_LIMIT = 300.0  # seconds; the slowest combination takes a fraction


def launch(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one order in a process of its own.

    Args:
        order: for ``worker``.
        folder: for its files.

    Returns:
        The report; ``{"failed": reason}`` for a process that ended without one.
    """
    order_file, result_file = folder / "order.json", folder / "result.json"
    order_file.write_text(json.dumps(order))
    result_file.unlink(missing_ok=True)
    command = module_command("malle_rt.bench.worker", str(order_file), str(result_file))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {_LIMIT:g} s and was ended"}
    if result_file.exists():
        report: dict[str, Any] = json.loads(result_file.read_text())
        return report
    return {"failed": _ending(done.returncode, done.stderr)}


def _ending(code: int, stderr: str) -> str:
    """How a process ended, one line."""
    lines = stderr.strip().splitlines()
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with code {code}: {lines[-1] if lines else 'it said nothing'}"
