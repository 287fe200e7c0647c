"""``malle-rt completion SHELL``: what a shell needs to complete commands, options, names and files."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from malle_rt.config import BACKENDS, CUDA_ADAPTERS, HWACCELS, PRECISIONS, SHARES
from malle_rt.errors import ConfigError

__all__ = ["add_parser", "run"]

_SHELLS = ("bash", "zsh", "fish")
_EPILOG = """\
put it where the shell looks:
  bash   malle-rt completion bash > ~/.local/share/bash-completion/completions/malle-rt
  zsh    malle-rt completion zsh > ~/.zfunc/_malle-rt      with fpath+=~/.zfunc before compinit in ~/.zshrc
  fish   malle-rt completion fish > ~/.config/fish/completions/malle-rt.fish
"""
_FILES = ("FILE", "IN", "PICTURE", "IN [OUT]", "OLD", "DEVICE")
_WORDS = {
    "strength": (*SHARES,),
    "backend": BACKENDS,
    "precision": PRECISIONS,
    "hwaccel": HWACCELS,
    "cuda_adapter": CUDA_ADAPTERS,
    "deinterlace": ("field", "frame"),
    "view": ("split", "side", "raw", "clean"),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "completion",
        help="print the completion for a shell",
        description="Print what makes a shell complete malle-rt's commands, options and names. Needs the extra "
        "'completion'.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"{', '.join(_SHELLS)}")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        shtab: Any = importlib.import_module("shtab")
    except ImportError as exc:
        raise ConfigError("completion needs shtab: pip install 'malle-rt[completion]'") from exc
    from malle_rt.cli import _parser

    parser = _parser()
    _mark(parser, shtab)
    print(shtab.complete(parser, options.shell))
    return 0


def _mark(parser: argparse.ArgumentParser, shtab: Any) -> None:
    """Say which values are files, folders or certain words; the parser is used for nothing else."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in dict.fromkeys(action.choices.values()):
                _mark(each, shtab)
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.choices is None and action.dest in _WORDS:
            action.choices = _WORDS[action.dest]
        elif action.choices is None and action.dest == "model":
            from malle_rt.models import model_names, photo_model_names

            action.choices = (*model_names(), *photo_model_names())
