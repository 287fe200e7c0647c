"""Starting a module of ours in a process of its own: the same installation, wherever the user stands.

``python -m`` would look into the current folder first, and take a source tree there for the installed package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

__all__ = ["module_command"]

_CODE = (
    "import json, runpy, sys; "
    "sys.path[:] = json.loads(sys.argv[1]); "
    "module = sys.argv[2]; "
    "del sys.argv[1:3]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as ``__main__`` with this process's own import path."""
    paths = [str(Path(entry or ".").resolve()) for entry in sys.path]
    return [sys.executable, "-c", _CODE, json.dumps(paths), module, *arguments]
