"""What the page's script does, in Python: one websocket that draws pictures and asks for things."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from yarl import URL

from malle_rt.opencv import opencv

_HEADER = struct.Struct("<dfHHII")
_PATIENCE = 10.0
_CONTENT = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


@dataclass(frozen=True)
class Received:
    """A picture's message, taken apart; ``clean`` and ``raw`` are BGR, None where not sent."""

    number: int
    age: float
    size: tuple[int, int]
    clean: npt.NDArray[np.uint8] | None
    raw: npt.NDArray[np.uint8] | None


class Page:
    """A context manager: ``async with Page(url) as page``."""

    def __init__(self, url: str, *, origin: str | None = None, headers: dict[str, str] | None = None) -> None:
        self._url = URL(url)
        self._headers = {"Origin": origin or f"http://{self._url.authority}", **(headers or {})}
        # Cookies of addresses without a name are dropped otherwise.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Page:
        try:
            self.socket = await self._session.ws_connect(
                self._url.with_path("/socket", keep_query=True), headers=self._headers
            )
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._session.close()

    async def send(self, name: str, value: object) -> None:
        await self.socket.send_str(json.dumps({"do": name, "value": value}))

    async def picture(self, *, draw: bool = True) -> Received:
        """The next picture; ``draw``: say at once that it has been drawn."""
        received = read_picture(await asyncio.wait_for(self._next_of(aiohttp.WSMsgType.BINARY), _PATIENCE))
        if draw:
            await self.send("drawn", received.number)
        return received

    async def letter(self, kind: str) -> dict[str, Any]:
        """The next letter of a kind; pictures on the way there are not drawn."""
        return await asyncio.wait_for(self._letter(kind), _PATIENCE)

    async def farewell(self) -> tuple[int | None, str]:
        """Wait until the server closes: its code and reason."""
        return await asyncio.wait_for(self._farewell(), _PATIENCE)

    async def _next_of(self, kind: aiohttp.WSMsgType) -> Any:
        while (message := await self.socket.receive()).type is not kind:
            assert message.type in _CONTENT, message
        return message.data

    async def _letter(self, kind: str) -> dict[str, Any]:
        while (letter := json.loads(await self._next_of(aiohttp.WSMsgType.TEXT)))["kind"] != kind:
            pass
        return letter

    async def _farewell(self) -> tuple[int | None, str]:
        while (message := await self.socket.receive()).type in _CONTENT:
            pass
        return self.socket.close_code, str(message.extra or "")


@asynccontextmanager
async def pages(url: str, count: int) -> AsyncIterator[list[Page]]:
    """So many pages at once."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Page(url)) for _ in range(count)]


def read_picture(data: bytes) -> Received:
    """Take a message apart and decode its JPEGs."""
    number, age, width, height, clean, raw = _HEADER.unpack_from(data)
    assert len(data) == _HEADER.size + clean + raw
    parts = data[_HEADER.size : _HEADER.size + clean], data[_HEADER.size + clean :]
    decoded = [opencv().imdecode(np.frombuffer(part, np.uint8), 1) if part else None for part in parts]
    return Received(int(number), age, (width, height), *decoded)
