"""The page's door: who may hold a connection, and for how long, before and after it has said who it is.

A connection is a stranger's until a request on it has passed the guard. Strangers get a few seconds for that, and a
bounded number of places in all and for each address, so that they can neither use up the descriptors that the camera
and the recording need, nor keep viewers out from other addresses.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from malle_rt.live.web.address import client_of
from malle_rt.live.web.guard import Handler

__all__ = ["Door"]

log = logging.getLogger(__name__)

# Seconds that a stranger gets to send one whole request, and after which it makes room where places are short.
_REQUEST_WITHIN = 10.0
_MAKES_ROOM_AFTER = 1.0
_STRANGERS = 256
_STRANGERS_OF_ONE_ADDRESS = 64
_CONNECTIONS = 512
# Seconds to wait where the system gives no more descriptors, and between two lines about the same trouble.
_BACK_OFF = 0.5
_WARN_EVERY = 60.0
# Seconds that a refused connection gets to read why, and how many may be at it.
_LEAVE_WITHIN = 0.5
_LEAVING = 64
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 45\r\n\r\nToo many connections. Try again in a moment.\n"
)


@dataclass(eq=False)
class _Visitor:
    client: str
    known: bool = False
    since: float = field(default_factory=time.monotonic)  # s


class Door:
    """Accepts connections; used by one event loop."""

    def __init__(self, bound: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept nothing yet.

        Args:
            bound: listening; stays the caller's.
            protocol: makes what serves one connection.
        """
        self._bound = bound
        self._protocol = protocol
        self._visitors: dict[asyncio.BaseTransport, _Visitor] = {}
        self._limit = min(_CONNECTIONS, _descriptors() // 2)
        self._refused = 0
        self._leaving: list[socket.socket] = []
        self._warned: dict[str, float] = {}

    async def serve(self) -> None:
        """Accept until cancelled."""
        self._bound.setblocking(False)
        sweeping = asyncio.ensure_future(self._sweep_for_ever())
        try:
            while True:
                await self._accept()
        finally:
            sweeping.cancel()
            for each in self._leaving:
                each.close()

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware behind the guard: whoever comes here is no stranger."""
        visitor = self._visitors.get(request.transport) if request.transport else None
        if visitor is not None:
            visitor.known = True
        return await handler(request)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, peer = await loop.sock_accept(self._bound)
        except OSError as exc:
            self._warn("accept", f"no connection can be taken ({exc.strerror}); trying on")
            await asyncio.sleep(_BACK_OFF)
            return
        client = client_of(str(peer[0]))
        if not self._has_room(client):
            self._refused += 1
            self._warn("full", f"{self._refused} connections refused so far: too many at once")
            self._refuse(connection)
            return
        try:
            transport, _ = await loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone again
            connection.close()
            return
        self._visitors[transport] = _Visitor(client)

    def _has_room(self, client: str) -> bool:
        """Whether one more fits, perhaps in the place of a stranger who has said nothing for long."""
        self._sweep()
        strangers = Counter(each.client for each in self._visitors.values() if not each.known)
        if strangers[client] >= _STRANGERS_OF_ONE_ADDRESS:
            return self._dismiss_oldest(client)
        if strangers.total() >= _STRANGERS or len(self._visitors) >= self._limit:
            return bool(strangers) and self._dismiss_oldest(strangers.most_common(1)[0][0])
        return True

    def _dismiss_oldest(self, client: str) -> bool:
        # A dictionary keeps the order of coming.
        for transport, visitor in self._visitors.items():
            if visitor.client == client and not visitor.known:
                if time.monotonic() - visitor.since < _MAKES_ROOM_AFTER:
                    return False
                self._dismiss(transport)
                return True
        return False

    def _dismiss(self, transport: asyncio.BaseTransport) -> None:
        del self._visitors[transport]
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def _sweep(self) -> None:
        """Forget who has gone, and send away who has had time enough."""
        now = time.monotonic()
        for transport, visitor in list(self._visitors.items()):
            if transport.is_closing():
                del self._visitors[transport]
            elif not visitor.known and now - visitor.since > _REQUEST_WITHIN:
                self._dismiss(transport)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._sweep()

    def _refuse(self, connection: socket.socket) -> None:
        """Say so, and close a moment later: a request that comes after the close would cost its sender the answer."""
        with suppress(OSError):
            connection.setblocking(False)
            connection.send(_FULL)
            connection.shutdown(socket.SHUT_WR)
        self._leaving.append(connection)
        asyncio.get_running_loop().call_later(_LEAVE_WITHIN, self._close, connection)
        while len(self._leaving) > _LEAVING:
            self._leaving[0].close()
            del self._leaving[0]

    def _close(self, connection: socket.socket) -> None:
        connection.close()
        if connection in self._leaving:
            self._leaving.remove(connection)

    def _warn(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if now - self._warned.get(kind, -_WARN_EVERY) >= _WARN_EVERY:
            self._warned[kind] = now
            log.warning("web page: %s", text)


def _descriptors() -> int:
    """How many files and connections this process may have open."""
    if sys.platform == "win32":
        return 2 * _CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * _CONNECTIONS if soft == resource.RLIM_INFINITY else soft
