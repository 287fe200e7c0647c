"""The server as a whole: starting, ending in every state, and its bounds."""

import asyncio
import re
import socket
import sys
import time
from urllib.parse import urlsplit

import pytest
from helpers.web_client import Page, pages
from helpers.web_session import Camera, shot_of

from malle_rt.errors import ConfigError, SinkError
from malle_rt.live.web import WebAddress, WebServer
from malle_rt.live.web.picture import encode_jpeg
from malle_rt.media.synthetic import SyntheticSource


def test_a_taken_port_fails_at_the_start(server, desk):
    second = WebServer(desk, WebAddress(port=urlsplit(server.url).port))
    with pytest.raises(SinkError, match="taken by another program"):
        second.start()
    second.close()


def test_without_aiohttp_one_line_says_what_to_install(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'malle-rt[web]'")):
        WebServer(desk)


def test_closing_twice_or_before_the_start_is_fine(desk):
    server = WebServer(desk, WebAddress(port=0))
    server.close()
    server.start()
    server.close()
    server.close()


def test_the_port_is_free_again_at_once(server, desk):
    port = urlsplit(server.url).port
    server.close()
    again = WebServer(desk, WebAddress(port=port))
    again.start()
    again.close()


@pytest.mark.slow
def test_sixteen_may_watch_and_the_next_is_told(server, desk):
    async def watch():
        async with pages(server.url, 17) as watching:
            farewell = await watching[16].farewell()
            viewers = [(await page.letter("statistics"))["viewers"] for page in watching[:16]]
            await watching[0].__aexit__()
            async with Page(server.url) as late:
                return farewell, viewers, (await late.letter("statistics"))["viewers"]

    farewell, viewers, after = asyncio.run(watch())
    assert farewell == (1013, "16 pages are watching already.")
    assert viewers == [16] * 16
    assert after == 16


def test_closing_sends_all_home_within_a_second(server, desk):
    async def watch():
        async with pages(server.url, 16) as watching:
            for page in watching:
                await page.picture(draw=False)
            begin = time.monotonic()
            closing = asyncio.get_running_loop().run_in_executor(None, server.close)
            farewells = await asyncio.gather(*(page.farewell() for page in watching))
            await closing
            return time.monotonic() - begin, set(farewells)

    with Camera(desk):
        took, farewells = asyncio.run(watch())
    assert took < 1
    assert farewells == {(1001, "The session has ended.")}


@pytest.mark.slow
def test_closing_does_not_wait_for_pages_that_have_stopped_reading(server, desk):
    """Sockets whose owner claims to have drawn every picture but reads none, until the system's buffers are full."""
    raw = next(iter(SyntheticSource(1, (1280, 720), noise_sigma=60)))
    assert len(encode_jpeg(raw)) > 300_000
    stuck = [open_socket(server.url) for _ in range(4)]
    try:
        for number in range(1, 21):
            desk.latest.put(shot_of(raw, raw))
            time.sleep(0.05)
            for client in stuck:
                claim_drawn(client, number)
        begin = time.monotonic()
        server.close()
        assert time.monotonic() - begin < 1
    finally:
        for client in stuck:
            client.close()


@pytest.mark.slow
def test_the_end_of_the_session_sends_pages_home_and_lets_none_in(server, desk):
    async def watch():
        async with Page(server.url) as page:
            await page.letter("statistics")
            desk.stop()
            first = await page.farewell()
        async with Page(server.url) as page:
            return first, await page.farewell()

    assert asyncio.run(watch()) == ((1001, "The session has ended."),) * 2


@pytest.mark.slow
def test_a_desk_that_fails_is_logged_and_ends_the_server_alone(server, desk, caplog):
    async def watch():
        async with Page(server.url) as page:
            await page.letter("statistics")
            desk.base = None
            return await page.farewell()

    assert asyncio.run(watch())[0] in (1001, 1006, 1011)
    server.close()
    assert "the session goes on without it" in caplog.text


def open_socket(url):
    """A websocket whose owner keeps it open and reads nothing after the handshake."""
    place = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect((place.hostname, place.port))
    client.sendall(
        f"GET /socket?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nOrigin: http://{place.netloc}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def claim_drawn(client, number):
    """Send "drawn" as a masked text frame (RFC 6455), with a mask of zeros."""
    text = f'{{"do": "drawn", "value": {number}}}'.encode()
    client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
