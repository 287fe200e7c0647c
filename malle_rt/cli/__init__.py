"""The command line: one file per command, and the only place that prints.

Only argparse is imported until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Sequence
from itertools import takewhile

from malle_rt import __version__
from malle_rt.cli import analyze, bench, build, completion, demo, doctor, photo, transcode, watch, webcam
from malle_rt.cli.parsing import CommandParser
from malle_rt.cli.settings import PRESETS, Settings, config_file, parse_with_settings
from malle_rt.cli.streams import flushed, safe_streams
from malle_rt.cli.telling import in_flags, report_error
from malle_rt.errors import ConfigError
from malle_rt.memory import require_libraries
from malle_rt.shown import without_secrets
from malle_rt.versions import check_versions

__all__ = ["main"]

_COMMANDS = (transcode, watch, photo, webcam, analyze, demo, build, bench, doctor, completion)
_VERBOSE = ("-v", "--verbose")  # before the command or behind it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 3 where it is done, but the input lacked something; 2 for options that cannot work; 1 for any other failure;
        128 and the signal's number after one: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 141 where the reader of
        a video on standard output has gone.
    """
    with safe_streams():
        return flushed(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    words = _with_command(parser, sys.argv[1:] if argv is None else list(argv))
    try:
        options, settings = parse_with_settings(parser, words)
    except ConfigError as error:
        return report_error(error, verbose=False)
    level = logging.DEBUG if options.verbose else logging.WARNING
    logging.basicConfig(level=level)
    logging.raiseExceptions = options.verbose  # a message that cannot be written is no reason for a traceback
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Formatter("malle-rt: %(levelname)s: %(message)s"))
    try:
        _say_preset(options, settings)
        check_versions()
        require_libraries()
        return int(options.run(options))
    except BrokenPipeError:  # who read our output has gone, as head does
        return 1
    except ConfigError as error:
        return report_error(_with_origins(error, settings), verbose=options.verbose)
    except (Exception, KeyboardInterrupt) as error:
        return report_error(error, verbose=options.verbose)


def _say_preset(options: argparse.Namespace, settings: Settings) -> None:
    """What a preset stands for, as one would type it."""
    name = getattr(options, "preset_for", None)
    if name is not None and not getattr(options, "quiet", False):
        used = [f"--{key} {value}" for key, value in PRESETS[name].items() if key in settings.values]
        print(f"preset for {name}: {' '.join(used) or 'all of it said otherwise'}", file=sys.stderr)


def _with_origins(error: ConfigError, settings: Settings) -> ConfigError:
    """The error, with the options that it names and that stand elsewhere than on the command line."""
    named = [
        f"{key} is from {origin}" for key, origin in settings.origins.items() if key in str(error).split()
    ]
    return type(error)(f"{error.what} ({'; '.join(named)})", hint=error.hint) if named else error


class _Formatter(logging.Formatter):
    """Options as the command line has them; tracebacks quote FFmpeg, and FFmpeg quotes addresses whole."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(in_flags(super().format(record)))


def _with_command(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """The words with the command that ``malle-rt FILE`` leaves out.

    A word that is neither a command nor like a file, or like a command but no file, ends in a usage error.
    """
    names = [command.__name__.rpartition(".")[2] for command in _COMMANDS]
    before = list(takewhile(_VERBOSE.__contains__, words))
    rest = words[len(before) :]
    if not rest or rest[0] in names or (rest[0].startswith("-") and rest[0] != "-"):
        return words
    word = rest[0]
    close = difflib.get_close_matches(word, names, 1, 0.7)
    if not os.path.lexists(word) and close:
        parser.error(f"no command {word!r}. Did you mean {close[0]}?")
    if os.path.lexists(word) or word == "-" or any(mark in word for mark in "./*?[@:"):
        return [*before, "transcode", *rest]
    parser.error(f"no command {word!r}, and no such file. Commands: {', '.join(names)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="malle-rt",
        description="Real-time video denoising.",
        epilog="malle-rt FILE is short for malle-rt transcode FILE. Every option can also stand in "
        f"{config_file()}, or in a variable such as MALLE_RT_STRENGTH: docs/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"malle-rt {__version__}")
    about_verbose = "log what happens, with tracebacks"
    parser.add_argument(*_VERBOSE, action="store_true", help=about_verbose)
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    for command in _COMMANDS:
        command.add_parser(commands)
    for each in commands.choices.values():
        # Without a default, which would take back what was said before the command.
        each.add_argument(*_VERBOSE, action="store_true", default=argparse.SUPPRESS, help=about_verbose)
    return parser
