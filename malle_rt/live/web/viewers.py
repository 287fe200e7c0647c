"""All pages that watch: who gets which picture, and what each is told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from malle_rt.config import MAX_SIGMA
from malle_rt.live.control import SessionControl
from malle_rt.live.frame import View
from malle_rt.live.web.actions import Actions, Bucket, Message, Request, read_request
from malle_rt.live.web.picture import PARTS_OF, Encoder, Part, Picture

__all__ = ["Audience"]

# Requests of one page beside its answers to pictures: a slider sends ten a second while it is moved.
_REQUESTS_PER_SECOND = 40
_REQUESTS_AT_ONCE = 80
# Latencies kept for the next statistics, which come four times a second.
_LATENCIES = 128
_MOST_VIEWERS = 16
# Recordings that the statistics name, the newest.
_MOST_RECORDINGS = 8
# Seconds between statistics.
_TELL = 0.25
# Seconds that pages get to say goodbye.
_FAREWELL = 0.3
# Close codes of RFC 6455 and its registry.
_GOING_AWAY, _TRY_LATER = 1001, 1013
_ENDED = "The session has ended."


class Viewer:
    """Sends pictures as fast as the page draws them, and not faster. Lives on the server's event loop.

    Attributes:
        view: what the page shows, which decides what it is sent.
        frozen: whether the page keeps its picture; it is sent no other then.
        shown: the last picture that it has drawn; None before the first.
    """

    def __init__(self, socket: web.WebSocketResponse, audience: Audience) -> None:
        self.view: View = "split"
        self.frozen = False
        self.shown: Picture | None = None
        self._socket = socket
        self._audience = audience
        self._requests = Bucket(_REQUESTS_PER_SECOND, _REQUESTS_AT_ONCE)
        self._sent_number = 0
        self._sent_parts: frozenset[Part] = frozenset()
        self._flying: Picture | None = None
        self._landed = asyncio.Event()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._messages: dict[str, Message] = {}
        self._has_message = asyncio.Event()

    @property
    def needs(self) -> frozenset[Part]:
        """What a picture must hold to be of use here."""
        return frozenset() if self.frozen else PARTS_OF[self.view]

    def lacks(self, picture: Picture) -> bool:
        """Whether this picture is to be sent: it is newer, or has a part that the page has not got yet."""
        if self.frozen or not self.needs <= picture.jpegs.keys() or picture.number < self._sent_number:
            return False
        return picture.number > self._sent_number or not self.needs <= self._sent_parts

    def post(self, message: Message) -> None:
        """Send a message soon. Of each kind only the newest is kept, so that a slow page gathers no backlog."""
        self._messages[message["kind"]] = message
        self._has_message.set()

    async def run(self) -> None:
        """Serve the page until it leaves or is dismissed."""
        tasks = [
            asyncio.ensure_future(task)
            for task in (self._receive(), self._send_pictures(), self._send_messages())
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
            picture = await self._audience.picture_for(self)
            self._sent_number = picture.number
            self._sent_parts = self.needs
            self._flying = picture
            self._landed.clear()
            await self._socket.send_bytes(picture.message(self.view))
            await self._landed.wait()

    async def _send_messages(self) -> None:
        while True:
            await self._has_message.wait()
            self._has_message.clear()
            messages, self._messages = self._messages, {}
            for message in messages.values():
                # Added last, so that none is lost with statistics that were never sent.
                drawn = {"drawn": self._take_latencies()} if message["kind"] == "statistics" else {}
                await self._socket.send_json({**message, **drawn})

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
        self._latencies.append(round((time.monotonic() - picture.frame.captured) * 1000, 1))
        self._landed.set()
        self._audience.displayed(picture)
        return True

    def _answer(self, request: Request) -> None:
        if request.name == "view":
            self.view = request.value
            self._audience.ask()
        elif request.name == "frozen":
            self.frozen = request.value
            if self.frozen:  # what is on its way will not be drawn
                self._flying = None
                self._landed.set()
            self._audience.ask()
        elif request.name != "drawn":
            number, frame = (self.shown.number, self.shown.frame) if self.shown else (0, None)
            message = self._audience.actions.perform(request, number, frame)
            if message is not None:
                self.post(message)


class Audience:
    """The viewers of a session. Lives on the server's event loop, but for the encoder's thread.

    Attributes:
        actions: what viewers ask for goes there.
    """

    def __init__(self, session: SessionControl, *, counts_display: bool) -> None:
        """Start the encoder.

        Args:
            session: whose pictures they are.
            counts_display: whether a picture drawn by a page counts as displayed; not so beside a window.
        """
        self.actions = Actions(session)
        self._session = session
        self._counts_display = counts_display
        self._displayed = 0
        self._viewers: set[Viewer] = set()
        self._waiting: dict[Viewer, asyncio.Future[Picture]] = {}
        self._picture: Picture | None = None
        self._loop = asyncio.get_running_loop()
        self._encoder = Encoder(session.latest, self._hand_over)

    async def welcome(self, socket: web.WebSocketResponse) -> None:
        """Serve one page until it leaves; without a session, or with enough pages, it is told so instead."""
        viewer = Viewer(socket, self)
        if not self._session.running:
            return await viewer.leave(_GOING_AWAY, _ENDED)
        if len(self._viewers) >= _MOST_VIEWERS:
            return await viewer.leave(_TRY_LATER, f"{_MOST_VIEWERS} pages are watching already.")
        self._viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
        return None

    def recording(self, name: str) -> Path | None:
        """The finished recording of that name, which may have been moved meanwhile."""
        return next((path for path in reversed(self._session.recordings) if path.name == name), None)

    async def picture_for(self, viewer: Viewer) -> Picture:
        """Wait for a picture that the viewer lacks, as new as there is."""
        newest = self._picture
        if newest is not None and viewer.lacks(newest) and self._is_newest(newest):
            return newest
        future: asyncio.Future[Picture] = self._loop.create_future()
        self._waiting[viewer] = future
        self.ask()
        try:
            return await future
        finally:
            del self._waiting[viewer]
            self.ask()

    def ask(self) -> None:
        """Tell the encoder what those need who wait."""
        parts: frozenset[Part] = frozenset().union(*(viewer.needs for viewer in self._waiting))
        self._encoder.want(parts)

    def displayed(self, picture: Picture) -> None:
        """A viewer has drawn this; the first to do so counts."""
        if self._counts_display and picture.number > self._displayed:
            self._displayed = picture.number
            self._session.note_displayed(picture.frame)

    async def inform(self) -> None:
        """Tell everybody the statistics, again and again; at the end of the session send everybody home."""
        while self._session.running:
            if self._viewers:
                message = {"kind": "statistics", **_figures(self._session, len(self._viewers))}
                for viewer in self._viewers:
                    viewer.post(message)
            await asyncio.sleep(_TELL)
        await self.dismiss()

    async def dismiss(self) -> None:
        """Close all connections, whatever state they are in."""
        farewells = [viewer.leave(_GOING_AWAY, _ENDED) for viewer in self._viewers]
        if farewells:
            tasks = [asyncio.ensure_future(farewell) for farewell in farewells]
            _, late = await asyncio.wait(tasks, timeout=_FAREWELL)
            for task in late:
                task.cancel()

    def close(self) -> None:
        """End the encoder; waits for its thread."""
        self._encoder.close()

    def _is_newest(self, picture: Picture) -> bool:
        return self._session.latest.wait(picture.number, 0)[1] is None

    def _hand_over(self, picture: Picture) -> None:
        """From the encoder's thread to the loop's."""
        self._loop.call_soon_threadsafe(self._deliver, picture)

    def _deliver(self, picture: Picture) -> None:
        self._picture = picture
        for viewer, future in self._waiting.items():
            if not future.done() and viewer.lacks(picture):
                future.set_result(picture)


def _figures(session: SessionControl, viewers: int) -> dict[str, Any]:
    """Statistics and tuning, ready for JSON.

    Returns:
        The fields of ``Statistics``, of which "automatic" and "mix" are those of the next frame; "strength", what the
        slider shows (the one chosen, or the one in use while it is automatic); "strongest", the end of the slider;
        "recordings", names of finished files that can be downloaded, the newest last; "viewers", how many pages watch.
    """
    statistics = asdict(session.statistics())
    tuning = session.controls.tuning
    automatic = isinstance(tuning.strength, str)
    return {
        **statistics,
        "automatic": automatic,
        "mix": tuning.mix,
        "strength": statistics["used"] if automatic else tuning.strength,
        "strongest": MAX_SIGMA,
        "recordings": [path.name for path in session.recordings[-_MOST_RECORDINGS:]],
        "viewers": viewers,
    }
