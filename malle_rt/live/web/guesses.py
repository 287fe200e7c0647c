"""Wrong tokens, counted by where they came from: whoever guesses must wait, each time twice as long."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Guesses"]

_FREE = 5  # a token is mistyped now and then
_LONGEST = 60.0  # s
_CLIENTS = 1024


class Guesses:
    """Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has guessed yet; ``clock`` counts seconds."""
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def pause(self, client: str) -> float:
        """Seconds until this client's next token is looked at; 0 for now."""
        count, last = self._wrong.get(client, (0, 0.0))
        if count < _FREE:
            return 0.0
        wait = min(_LONGEST, 2.0 ** (count - _FREE))
        return max(0.0, last + wait - self._clock())

    def wrong(self, client: str) -> None:
        """A token of this client's was none."""
        count, _ = self._wrong.pop(client, (0, 0.0))
        self._wrong[client] = min(count + 1, 64), self._clock()
        if len(self._wrong) > _CLIENTS:  # whoever guessed longest ago is forgotten
            del self._wrong[next(iter(self._wrong))]

    def right(self, client: str) -> None:
        """This client knows it."""
        self._wrong.pop(client, None)
