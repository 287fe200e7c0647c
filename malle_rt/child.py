"""Modules of ours in processes of their own: the same installation, wherever the user stands, and one way to talk.

The other process reads requests on its standard input and writes to its standard output, one JSON object a line:
``{"event": ...}`` while it works, then ``{"reply": ...}`` or ``{"error": kind, "what": ..., "hint": ...}``. What C
libraries print there goes to standard error. It ends when its standard input does, so it does not outlive us.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from malle_rt import errors
from malle_rt.errors import MalleError, PipelineError

__all__ = ["Child", "ChildEndedError", "call", "module_command", "restored", "serve"]

log = logging.getLogger(__name__)

# ``python -m`` would look into the current folder first, and take a source tree there for the installed package.
_CODE = (
    "import json, runpy, sys; "
    "sys.path[:] = json.loads(sys.argv[1]); "
    "module = sys.argv[2]; "
    "del sys.argv[1:3]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
_POLL = 0.2  # seconds between two looks at ``stopped`` and the clock
_MOST_SAID, _LONGEST_LINE = 200, 4096  # lines and bytes of each that are kept of standard error
_ENDING = 5.0  # seconds that a process may take to end once its standard input has


class ChildEndedError(Exception):
    """There will be no reply. The text goes on after "the process", such as "ended with code 1: no memory"."""


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as ``__main__`` with this process's own import path."""
    paths = [str(Path(entry or ".").resolve()) for entry in sys.path]
    return [sys.executable, "-c", _CODE, json.dumps(paths), module, *arguments]


class Child:
    """A module that calls ``serve``, in a process of its own; a context manager, at whose end it ends, too."""

    def __init__(
        self, module: str, *, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it.

        Args:
            module: full name.
            folder: its current folder; None: ours.
            environment: variables besides ours.
        """
        self._module = module
        self._process = subprocess.Popen(
            module_command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C in a terminal is for us, who end it in order
        )
        # Read by a thread: on Windows, pipes cannot be waited for. None: it has ended.
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: deque[bytes] = deque(maxlen=_MOST_SAID)
        self._threads = [
            threading.Thread(target=work, name="malle-child", daemon=False)
            for work in (self._listen, self._hear)
        ]
        for thread in self._threads:
            thread.start()

    def ask(
        self,
        request: Any,
        on_event: Callable[[Any], None] = lambda _: None,
        *,
        stopped: Callable[[], bool] = lambda: False,
        limit: float = float("inf"),
    ) -> Any:
        """Give it a request, and wait for the reply, in plain JSON values.

        Args:
            request: a dataclass, or anything that JSON knows; paths and fractions, too.
            on_event: called on this thread with each event.
            stopped: asked some times a second; True gives up, and ends the process.
            limit: seconds after which to give up.

        Raises:
            MalleError: what the other process raised.
            ChildEndedError: it has ended without a reply, was stopped or took too long.
        """
        end = time.monotonic() + limit
        with suppress(OSError, ValueError):  # what has become of it is told by its end
            self._input.write(_line(request))
            self._input.flush()
        while True:
            if stopped() or time.monotonic() >= end:
                self._process.kill()
                raise ChildEndedError("was stopped" if stopped() else f"took longer than {limit:g} s")
            with suppress(queue.Empty):
                line = self._lines.get(timeout=max(0.0, min(_POLL, end - time.monotonic())))
                if line is None:
                    self._lines.put(None)
                    raise self._ended()
                message = json.loads(line)
                if "reply" in message:
                    return message["reply"]
                if "error" in message:
                    raise getattr(errors, message["error"])(message["what"], hint=message["hint"])
                on_event(message["event"])

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def stop(self) -> None:
        """Let it end at once; from any thread."""
        with suppress(OSError, ValueError):
            self._input.close()

    def close(self) -> None:
        """End it and wait for that. May be called twice."""
        self.stop()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._threads:
            log.debug("%s wrote:\n%s", self._module, "\n".join(reversed(self._words())))
        self._threads.clear()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self.close()

    @property
    def _input(self) -> Any:
        return self._process.stdin

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.put(line)
        self._lines.put(None)

    def _hear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors_said:
            while line := errors_said.readline(_LONGEST_LINE):
                self._said.append(line)

    def _ended(self) -> ChildEndedError:
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        return ChildEndedError(f"ended with {how}: {[*self._words(), 'it said nothing'][0]}")

    def _words(self) -> list[str]:
        """The last lines on its standard error, once it has ended; the very last one first."""
        for thread in self._threads:
            thread.join(_ENDING)
        lines = (line.decode(errors="replace").strip() for line in reversed(self._said))
        return [line for line in lines if line]


def call(
    module: str,
    request: Any = None,
    on_event: Callable[[Any], None] = lambda _: None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    limit: float = float("inf"),
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """One request to a process of its own, which has ended when this returns: see ``Child`` and its ``ask``."""
    with Child(module, folder=folder, environment=environment) as child:
        return child.ask(request, on_event, stopped=stopped, limit=limit)


def serve(answer: Callable[[Any, Callable[[Any], None]], Any]) -> None:
    """Answer requests one after the other, until the process that started this one ends or wants no more.

    Args:
        answer: takes a request and what sends an event; gives the reply. A ``MalleError`` that it raises is raised
            over there; any other ends this process.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # what this process starts must not read our requests,
    os.dup2(2, 1)  # and libraries may print
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    lock = threading.Lock()

    def listen() -> None:
        for line in requests:
            waiting.put(line)
        os._exit(0)

    def say(**message: Any) -> None:
        with lock, suppress(BrokenPipeError):  # then ``listen`` ends this process
            replies.write(_line(message))
            replies.flush()

    # A daemon, since it waits for good.
    threading.Thread(target=listen, daemon=True).start()
    while True:
        request = json.loads(waiting.get())
        try:
            reply = answer(request, lambda event: say(event=event))
        except MalleError as exc:
            error = exc.__cause__ if isinstance(exc, PipelineError) else exc
            error = error if isinstance(error, MalleError) else MalleError(str(exc))
            kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in errors.__all__)
            say(error=kind, what=error.what, hint=error.hint)
        except Exception:
            traceback.print_exc()
            os._exit(1)  # not through the interpreter's end, where ``listen`` may hold a lock
        else:
            say(reply=reply)


def restored(kind: Any, value: Any) -> Any:
    """A value of a type again, of what JSON has made of it.

    Args:
        kind: a dataclass, ``Path``, ``Fraction``, a tuple or list of such, or one of them and None; of anything else
            the value stays as it is.
        value: plain JSON.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        known = [each for each in inner if each is not type(None)]
        return restored(known[0], value) if len(known) == 1 else value
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(restored(each, item) for each, item in zip(kinds, value, strict=True))
    if origin is list:
        return [restored(inner[0], item) for item in value]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        given = {field.name: value[field.name] for field in fields(kind) if field.name in value}
        return kind(**{name: restored(hints[name], each) for name, each in given.items()})  # type: ignore[operator]  # a class
    return kind(value) if kind in (Path, Fraction) else value


def _line(value: Any) -> bytes:
    return json.dumps(value, default=_plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path | Fraction):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON could hold")
