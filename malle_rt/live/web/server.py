"""The page's server: an event loop in a thread of its own, beside the pipeline and never in its way."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from malle_rt.errors import ConfigError, SinkError
from malle_rt.live.control import SessionControl
from malle_rt.live.web.address import WebAddress
from malle_rt.opencv import opencv

if TYPE_CHECKING:
    from malle_rt.live.web.viewers import Audience

__all__ = ["WebServer", "request_log"]

log = logging.getLogger(__name__)


# Seconds until the server must be up, and until it must be gone.
_START_WITHIN = 10.0
_CLOSE_WITHIN = 5.0
# Seconds that requests under way get at the end.
_LAST_REQUESTS = 0.1
# Seconds until the next request of a connection must have come whole.
_NEXT_REQUEST = 10.0


class WebServer:
    """Serves the page of a session."""

    def __init__(
        self,
        session: SessionControl,
        address: WebAddress | None = None,
        *,
        token: str | None = None,
        counts_display: bool = True,
    ) -> None:
        """Serve nothing yet.

        Args:
            session: whose pictures are served.
            address: where; None for the default, 127.0.0.1:8077.
            token: the access token; None: a new one.
            counts_display: whether a picture drawn by a page counts as displayed. False beside a window.

        Raises:
            ConfigError: aiohttp is missing, or the token cannot be one.
            MediaError: OpenCV does not load, which makes the pictures.
        """
        _require_aiohttp()
        opencv()
        from malle_rt.live.web.guard import choose_token

        self._session = session
        self._address = address or WebAddress()
        self._token = choose_token(token)
        self._counts_display = counts_display
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    @property
    def url(self) -> str:
        """What to open in a browser, with the token; after ``start``."""
        return f"{self._address.url(self._port)}?token={self._token}"

    def start(self) -> None:
        """Serve from now on. Called once.

        Raises:
            SinkError: the port is taken, or the address is not one of this machine.
        """
        bound = self._address.bind()
        self._port = bound.getsockname()[1]
        up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(bound, up), name="malle-web")
        self._thread.start()
        try:
            up.result(_START_WITHIN)
        except BaseException:
            self.close()
            raise
        log.info("web page: %s", self._address.url(self._port))

    def close(self) -> None:
        """Send all viewers home and end within a second. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and thread.is_alive():
            with suppress(RuntimeError):  # it has ended by itself just now
                self._loop.call_soon_threadsafe(self._ending.set)
        thread.join(_CLOSE_WITHIN)
        if thread.is_alive():
            log.warning("the web page's server has not ended within %g s", _CLOSE_WITHIN)

    def _run(self, bound: socket.socket, up: Future[None]) -> None:
        try:
            asyncio.run(self._serve(bound, up))
        except Exception as exc:
            if up.done():
                log.exception("the web page's server failed; the session goes on without it")
            else:
                up.set_exception(SinkError(f"web: the page cannot be served ({exc})"))
        finally:
            bound.close()

    async def _serve(self, bound: socket.socket, up: Future[None]) -> None:
        from aiohttp import web

        from malle_rt.live.web.door import Door
        from malle_rt.live.web.guard import Guard
        from malle_rt.live.web.site import make_site
        from malle_rt.live.web.viewers import Audience

        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "malle-web-png") as executor:
            audience = Audience(self._session, counts_display=self._counts_display)
            try:

                def protocol() -> asyncio.Protocol:
                    if runner.server is None:
                        raise RuntimeError("the server has ended")
                    return runner.server()

                door = Door(bound, protocol)
                site = make_site(audience, Guard(self._port, self._token), door, executor)
                # Requests are not logged: their addresses hold the token.
                runner = web.AppRunner(
                    site,
                    access_log=None,
                    logger=request_log(),
                    shutdown_timeout=_LAST_REQUESTS,
                    keepalive_timeout=_NEXT_REQUEST,
                )
                await runner.setup()
                accepting = asyncio.ensure_future(door.serve())
                up.set_result(None)
                try:
                    await self._inform(audience)
                    await audience.dismiss()
                finally:
                    accepting.cancel()
                await runner.cleanup()
            finally:
                audience.close()

    async def _inform(self, audience: Audience) -> None:
        """Keep the viewers informed until the session ends, and wait for ``close``."""
        informing = asyncio.ensure_future(audience.inform())
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({informing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if informing.done():
            informing.result()
            await ending
        informing.cancel()


def _require_aiohttp() -> None:
    try:
        import aiohttp  # noqa: F401
    except ImportError as exc:
        raise ConfigError(f"web: the page needs aiohttp ({exc}): pip install 'malle-rt[web]'") from exc


def request_log() -> logging.Logger:
    """A logger for aiohttp that names errors by their kind alone.

    Their texts and tracebacks quote the request, so both are left out; at every level that a user may ask for.
    """
    logger = logging.getLogger(f"{__name__}.requests")  # of its own, for what is filtered
    logger.setLevel(logging.WARNING)
    logger.addFilter(_without_request)  # added once, however often this is called
    logger.addFilter(_bounded)
    return logger


class _Bounded:
    """Lets a few lines a minute through: whoever floods the page must not fill the disk with its log."""

    def __init__(self, lines: int, seconds: float) -> None:
        self._lines, self._seconds = lines, seconds
        self._begin, self._count = -seconds, 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._begin >= self._seconds:
            self._begin, self._count = now, 0
        self._count += 1
        if self._count == self._lines:
            record.msg, record.args = f"{record.getMessage()}; further ones are not told for a while", ()
        return self._count <= self._lines


_bounded = _Bounded(10, 60.0)


def _without_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
    record.exc_info = record.exc_text = None
    return True
