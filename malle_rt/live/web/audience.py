"""All pages that watch: who gets which picture, and what is told to everybody."""

from __future__ import annotations

import asyncio

from aiohttp import web

from malle_rt.live.desk import Desk
from malle_rt.live.web.actions import Actions
from malle_rt.live.web.encoder import Encoder
from malle_rt.live.web.figures import figures
from malle_rt.live.web.picture import Part, Picture
from malle_rt.live.web.viewer import Viewer

__all__ = ["MOST_VIEWERS", "Audience"]

MOST_VIEWERS = 16
# Seconds between statistics.
_TELL = 0.25
# Seconds that pages get to say goodbye.
_FAREWELL = 0.3
# Close codes of RFC 6455 and its registry.
_GOING_AWAY, _TRY_LATER = 1001, 1013
_ENDED = "The session has ended."


class Audience:
    """The viewers of a session. Lives on the server's event loop, but for the encoder's thread.

    Attributes:
        actions: what viewers ask for goes there.
    """

    def __init__(self, desk: Desk, *, counts_display: bool) -> None:
        """Start the encoder.

        Args:
            desk: the session.
            counts_display: whether a picture drawn by a page counts as displayed; not so beside a window.
        """
        self.actions = Actions(desk)
        self._desk = desk
        self._counts_display = counts_display
        self._displayed = 0
        self._viewers: set[Viewer] = set()
        self._waiting: dict[Viewer, asyncio.Future[Picture]] = {}
        self._picture: Picture | None = None
        self._loop = asyncio.get_running_loop()
        self._encoder = Encoder(desk.latest, self._hand_over)

    async def welcome(self, socket: web.WebSocketResponse) -> None:
        """Serve one page until it leaves; without a session, or with enough pages, it is told so instead."""
        viewer = Viewer(socket, self)
        if not self._desk.running:
            return await viewer.leave(_GOING_AWAY, _ENDED)
        if len(self._viewers) >= MOST_VIEWERS:
            return await viewer.leave(_TRY_LATER, f"{MOST_VIEWERS} pages are watching already.")
        self._viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
        return None

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
            self._desk.note_displayed(picture.shot)

    async def inform(self) -> None:
        """Tell everybody the statistics, again and again; at the end of the session send everybody home."""
        while self._desk.running:
            if self._viewers:
                letter = {"kind": "statistics", **figures(self._desk, len(self._viewers))}
                for viewer in self._viewers:
                    viewer.post(letter)
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
        return self._desk.latest.wait(picture.number, 0)[1] is None

    def _hand_over(self, picture: Picture) -> None:
        """From the encoder's thread to the loop's."""
        self._loop.call_soon_threadsafe(self._deliver, picture)

    def _deliver(self, picture: Picture) -> None:
        self._picture = picture
        for viewer, future in self._waiting.items():
            if not future.done() and viewer.lacks(picture):
                future.set_result(picture)
