"""The page under a flood of connections: strangers get little, viewers and the session's descriptors are safe."""

import asyncio
import http.client
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers.web_client import Page
from helpers.web_session import Camera

from malle_rt.live.web import door


def half_requests(server, count):
    """Connections that begin a request and never end it."""
    place = ("127.0.0.1", urlsplit(server.url).port)
    flood = []
    for _ in range(count):
        connection = socket.create_connection(place, timeout=10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        flood.append(connection)
    return flood


def is_served(server):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
    try:
        connection.request("GET", f"/?{urlsplit(server.url).query}")
        return connection.getresponse().status
    finally:
        connection.close()


def closed(connection):
    """What came until the other end closed; None: it is open."""
    connection.settimeout(0.05)
    try:
        return connection.recv(4096)
    except TimeoutError:
        return None
    except ConnectionError:
        return b""


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def end(flood):
    for connection in flood:
        connection.close()


@pytest.mark.slow
def test_half_sent_requests_end(server, monkeypatch):
    monkeypatch.setattr(door, "_REQUEST_WITHIN", 0.5)
    flood = half_requests(server, 3)
    time.sleep(2.2)
    assert [closed(each) for each in flood] == [b""] * 3
    end(flood)


@pytest.mark.slow
def test_strangers_take_up_few_descriptors_and_viewers_come_in(server):
    before = descriptors()
    flood = half_requests(server, 300)
    assert descriptors() - before - len(flood) <= 64 + 64 + 8
    answers = [closed(each) for each in flood]
    assert answers.count(None) <= 64
    assert any(each.startswith(b"HTTP/1.1 503") for each in answers if each)
    time.sleep(1.1)
    assert is_served(server) == 200  # in the place of the oldest
    end(flood)


@pytest.mark.slow
def test_an_open_page_goes_on_and_the_log_stays_small(server, desk, caplog):
    async def watch():
        async with Page(server.url) as page:
            await page.picture()
            flood = await asyncio.to_thread(half_requests, server, 300)
            for _ in range(5):
                await page.picture()
            await asyncio.to_thread(end, flood)

    with Camera(desk):
        asyncio.run(watch())
    assert len(caplog.text) < 1000


def test_two_hundred_viewers_are_served_or_told(server):
    async def come():
        async def one():
            try:
                async with Page(server.url) as page:
                    return (await page.letter("statistics"))["state"]
            except Exception as exc:
                return getattr(exc, "status", None) or type(exc).__name__

        return await asyncio.gather(*(one() for _ in range(200)))

    answers = asyncio.run(come())
    assert set(answers) <= {"live", 503, "AssertionError"}, set(answers)  # the helper's word for a farewell


@pytest.mark.slow
def test_without_descriptors_it_tries_on(server, monkeypatch, caplog):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=10)
    end([waiting])
    blocked = socket.socket()
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 8, hard))
    try:
        with pytest.raises(OSError):
            while True:
                held.append(os.dup(0))
        blocked.connect(("127.0.0.1", urlsplit(server.url).port))
        time.sleep(1.5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in held:
            os.close(each)
    blocked.close()
    assert caplog.text.count("no connection can be taken") == 1
    assert is_served(server) == 200
