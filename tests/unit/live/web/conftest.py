"""A desk and its page, on a free port of this machine."""

from __future__ import annotations

import pytest
from helpers.web_session import Camera, TestDesk

from malle_rt.live.web import WebAddress, WebServer

LOCAL = WebAddress(port=0)
pytest.importorskip("aiohttp", reason="needs aiohttp: pip install 'malle-rt[web]'")


@pytest.fixture
def desk():
    return TestDesk()


@pytest.fixture
def camera(desk):
    with Camera(desk) as camera:
        yield camera


@pytest.fixture
def server(desk):
    server = WebServer(desk, LOCAL)
    server.start()
    yield server
    server.close()
