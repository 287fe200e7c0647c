"""What went wrong, told in one line, and its exit code."""

from __future__ import annotations

import logging
import sys

from malle_rt.errors import ConfigError, MalleError, PipelineError

__all__ = ["tell"]


def tell(error: MalleError | KeyboardInterrupt, *, verbose: bool) -> int:
    """Print the error, with its traceback where ``verbose``.

    Returns:
        The exit code: 2 for options that cannot work, 130 after Ctrl-C, 1 for any other failure.
    """
    if isinstance(error, KeyboardInterrupt):
        print("malle-rt: interrupted, nothing was kept", file=sys.stderr)
        return 130
    if verbose:
        logging.getLogger(__name__).debug("traceback", exc_info=error)
    print(f"malle-rt: error: {error}", file=sys.stderr)
    cause = error.__cause__ if isinstance(error, PipelineError) else error
    return 2 if isinstance(cause, ConfigError) else 1
