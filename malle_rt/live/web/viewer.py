"""One page that watches: a websocket with at most one picture on its way."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from aiohttp import WSMsgType, web

from malle_rt.live.views import View
from malle_rt.live.web.actions import Actions, Letter, Request, read_request
from malle_rt.live.web.picture import PARTS_OF, Part, Picture
from malle_rt.live.web.rate import Bucket

__all__ = ["Viewer"]

# Requests of one page beside its answers to pictures: a slider sends ten a second while it is moved.
_REQUESTS_PER_SECOND = 40
_REQUESTS_AT_ONCE = 80
# Latencies kept for the next statistics, which come four times a second.
_LATENCIES = 128


class Host(Protocol):
    """Whom a viewer turns to."""

    @property
    def actions(self) -> Actions:
        """Does what the page asks for."""

    async def picture_for(self, viewer: Viewer) -> Picture:
        """Wait for a picture that the viewer lacks."""

    def displayed(self, picture: Picture) -> None:
        """The page has drawn this picture."""

    def ask(self) -> None:
        """What the viewer needs has changed."""


class Viewer:
    """Sends pictures as fast as the page draws them, and not faster. Lives on the server's event loop.

    Attributes:
        view: what the page shows, which decides what it is sent.
        shown: the last picture that it has drawn; None before the first.
    """

    def __init__(self, socket: web.WebSocketResponse, host: Host) -> None:
        self.view: View = "split"
        self.shown: Picture | None = None
        self._socket = socket
        self._host = host
        self._requests = Bucket(_REQUESTS_PER_SECOND, _REQUESTS_AT_ONCE)
        self._sent_number = 0
        self._sent_parts: frozenset[Part] = frozenset()
        self._flying: Picture | None = None
        self._landed = asyncio.Event()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._letters: dict[str, Letter] = {}
        self._mail = asyncio.Event()

    @property
    def needs(self) -> frozenset[Part]:
        """What a picture must hold to be of use here."""
        return PARTS_OF[self.view]

    def lacks(self, picture: Picture) -> bool:
        """Whether this picture is to be sent: it is newer, or has a part that the page has not got yet."""
        if not self.needs <= picture.jpegs.keys() or picture.number < self._sent_number:
            return False
        return picture.number > self._sent_number or not self.needs <= self._sent_parts

    def post(self, letter: Letter) -> None:
        """Send a letter soon. Of each kind only the newest is kept, so that a slow page gathers no backlog."""
        self._letters[letter["kind"]] = letter
        self._mail.set()

    async def run(self) -> None:
        """Serve the page until it leaves or is dismissed."""
        tasks = [
            asyncio.ensure_future(task)
            for task in (self._receive(), self._send_pictures(), self._send_letters())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionError:
            pass  # the page has gone, in the middle of something
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self, code: int, reason: str) -> None:
        """Close the connection and tell the page why; the reason has at most 123 bytes."""
        await self._socket.close(code=code, message=reason.encode())

    async def _send_pictures(self) -> None:
        while True:
            picture = await self._host.picture_for(self)
            self._sent_number = picture.number
            self._sent_parts = self.needs
            self._flying = picture
            self._landed.clear()
            await self._socket.send_bytes(picture.message(self.view))
            await self._landed.wait()

    async def _send_letters(self) -> None:
        while True:
            await self._mail.wait()
            self._mail.clear()
            letters, self._letters = self._letters, {}
            for letter in letters.values():
                # Added last, so that none is lost with statistics that were never sent.
                drawn = {"drawn": self._take_latencies()} if letter["kind"] == "statistics" else {}
                await self._socket.send_json({**letter, **drawn})

    def _take_latencies(self) -> list[float]:
        taken = list(self._latencies)
        self._latencies.clear()
        return taken

    async def _receive(self) -> None:
        async for message in self._socket:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise ValueError("not text")
                request = read_request(message.data)
            except ValueError:
                return await self.leave(1008, "A message that no page of malle-rt sends.")
            if request.name == "drawn" and self._has_drawn(request.value):
                continue
            if not self._requests.take():
                return await self.leave(1008, "Too many messages in a short time.")
            self._answer(request)
        return None

    def _has_drawn(self, number: int) -> bool:
        """Take the page's word that it has drawn the picture on its way to it; False if it was not that one."""
        picture = self._flying
        if picture is None or picture.number != number:
            return False
        self._flying, self.shown = None, picture
        self._latencies.append(round((time.monotonic() - picture.shot.captured) * 1000, 1))
        self._landed.set()
        self._host.displayed(picture)
        return True

    def _answer(self, request: Request) -> None:
        if request.name == "view":
            self.view = request.value
            self._host.ask()
        elif request.name != "drawn":
            number, shot = (self.shown.number, self.shown.shot) if self.shown else (0, None)
            letter = self._host.actions.perform(request, number, shot)
            if letter is not None:
                self.post(letter)
