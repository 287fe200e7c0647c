"""The routes of the page: its files, its socket, its pictures and recordings to keep; openapi.json describes them."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from importlib import resources
from pathlib import PurePath
from urllib.parse import quote

from aiohttp import web

from malle_rt.live.web.door import Door
from malle_rt.live.web.guard import Guard
from malle_rt.live.web.picture import Part, part_of
from malle_rt.live.web.viewers import Audience
from malle_rt.media.png import encode_png

__all__ = ["make_site"]

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_LONGEST_MESSAGE = 4096
# Seconds between pings; half of it later a page that has not answered makes room. On a slow link the answer waits
# behind a whole picture.
_HEARTBEAT = 40.0
_GOODBYE = 0.2


def make_site(audience: Audience, guard: Guard, door: Door, executor: Executor) -> web.Application:
    """The application; ``executor`` makes the PNGs."""
    site = _Site(audience, guard, executor)
    application = web.Application(middlewares=[guard.admit, door.note])
    application.on_response_prepare.append(guard.seal)
    application.router.add_get("/socket", site.socket)
    application.router.add_get(r"/snapshot/{number:\d{1,15}}/{part:raw|clean}.png", site.snapshot)
    application.router.add_get("/recordings/{name}", site.recording)
    application.router.add_get("/{name:[a-z]*[.]?[a-z]*}", site.file)
    return application


class _Site:
    def __init__(self, audience: Audience, guard: Guard, executor: Executor) -> None:
        self._audience = audience
        self._guard = guard
        self._executor = executor
        # A table of the few files there are: no path of a request ever reaches the file system.
        self._files = {
            entry.name: entry.read_bytes()
            for entry in resources.files("malle_rt.live.web").joinpath("static").iterdir()
            if PurePath(entry.name).suffix in _TYPES
        }

    async def file(self, request: web.Request) -> web.Response:
        """A part of the page."""
        name = request.match_info["name"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound
        kind = _TYPES[PurePath(name).suffix]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Pictures and statistics out, requests in."""
        # Browsers let any page open a socket to any host; only the Origin header tells which page it was.
        if not self._guard.is_own_page(request):
            raise web.HTTPForbidden(text="Only the page of this server may open its socket.\n")
        socket = web.WebSocketResponse(
            timeout=_GOODBYE, heartbeat=_HEARTBEAT, max_msg_size=_LONGEST_MESSAGE, compress=False
        )
        await socket.prepare(request)
        await self._audience.welcome(socket)
        return socket

    async def snapshot(self, request: web.Request) -> web.Response:
        """One half of a recent snapshot."""
        number = int(request.match_info["number"])
        frame = self._audience.actions.kept(number)
        if frame is None:
            raise web.HTTPNotFound(text="This snapshot is no longer kept for download.\n")
        part: Part = "raw" if request.match_info["part"] == "raw" else "clean"
        loop = asyncio.get_running_loop()
        png = await loop.run_in_executor(self._executor, encode_png, part_of(frame, part))
        name = f"malle-rt-{number}-{part}.png"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=png, content_type="image/png", headers=headers)

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """A finished recording, or a part of it by Range."""
        path = self._audience.recording(request.match_info["name"])
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="There is no such recording, or it has been moved.\n")
        # RFC 6266: the name as it is, whatever letters it has.
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='')}"}
        return web.FileResponse(path, headers=headers)
