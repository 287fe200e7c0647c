"""What went wrong, told in one line, and its exit code."""

from __future__ import annotations

import logging
import re
import sys

from malle_rt.errors import ConfigError, MalleError, PipelineError
from malle_rt.memory import lacks_memory

__all__ = ["exit_code", "in_flags", "one_line", "report_error"]

_LONGEST = 1000  # characters of a message
# Options as texts of the library name them, in Python: ``overwrite=True``, ``backend="openvino"``.
_OPTION = re.compile(
    r"\b(backend|compare|container_format|frame_rate|gpu|hwaccel|jobs|keep_partial|output_dir|overwrite|recursive|resume"
    r"|strength|strict|trust_engine)=(True|\"[\w-]+\"|[\w.]+)"
)
_FLAGS = {"container_format": "format", "frame_rate": "fps"}  # that are called otherwise


def report_error(error: Exception | KeyboardInterrupt, *, verbose: bool) -> int:
    """Print the error in one line, with its traceback where ``verbose``.

    Returns:
        The exit code: 2 for options that cannot work, 130 after Ctrl-C, 1 for any other failure.
    """
    if isinstance(error, KeyboardInterrupt):
        print("malle-rt: interrupted, nothing was kept", file=sys.stderr)
        return 130
    if verbose:
        logging.getLogger(__name__).debug("traceback", exc_info=error)
    text = one_line(in_flags(str(error)))
    if lacks_memory(error):
        text = (
            "no memory left. Close other programs, raise the limits (ulimit -v, -u), or take a smaller video"
        )
    elif isinstance(error, OSError):
        text = one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or text)
    elif not isinstance(error, MalleError):
        text = f"unexpected: {type(error).__name__}: {text}. Please report it with what -v prints"
    print(f"malle-rt: error: {text}", file=sys.stderr)
    return exit_code(error)


def in_flags(text: str) -> str:
    """A text of the library with its options as the command line has them."""

    def flag(found: re.Match[str]) -> str:
        name, value = f"--{_FLAGS.get(found[1], found[1]).replace('_', '-')}", found[2].strip('"')
        return name if value == "True" else f"{name} {value}"

    return _OPTION.sub(flag, text)


def exit_code(error: Exception) -> int:
    """2 for options that cannot work, 1 for any other failure."""
    cause = error.__cause__ if isinstance(error, PipelineError) else error
    return 2 if isinstance(cause, ConfigError) else 1


def one_line(text: str) -> str:
    """A message of many lines in one: where OpenVINO's errors come from in its sources helps nobody."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception from ")]
    joined = " ".join(telling or lines)
    return joined if len(joined) <= _LONGEST else joined[:_LONGEST] + "..."
