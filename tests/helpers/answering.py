"""A process that does what it is asked, for the tests of how processes talk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from malle_rt.child import restored, serve
from malle_rt.errors import ConfigError, PipelineError, SinkError


@dataclass(frozen=True)
class Part:
    rate: Fraction
    sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    what: str
    path: Path | None = None
    part: Part | None = None
    strength: float | str = "auto"


def answer(plain: dict[str, Any], tell: Callable[[Any], None]) -> Any:
    request = restored(Request, plain)
    match request.what:
        case "repeat":
            return request
        case "count":
            for number in range(3):
                tell(number)
            return os.getpid()
        case "noise":
            sys.stdout.write("a library prints\n")
            sys.stdout.flush()
            os.system("echo a program prints")
            return subprocess.run(["cat"], capture_output=True, text=True, timeout=20, check=True).stdout
        case "refuse":
            raise ConfigError("depth must be at least 1, got 0", hint="depth=1 is the least")
        case "fail":
            cause = SinkError("out.mkv: the disk is full", hint="Free some space")
            raise PipelineError("malle-sink", cause) from cause
        case "break":
            raise KeyError("nonsense")
        case "abort":
            sys.stderr.write("terminate called\n\n")
            sys.stderr.flush()
            os.abort()
    time.sleep(60)


if __name__ == "__main__":
    serve(answer)
