"""Who gets in: tokens, cookies, names and origins, against the real server over HTTP."""

import asyncio
import base64
import hashlib
import http.client
import re
import socket
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from helpers.web_client import Page

from malle_rt.errors import ConfigError
from malle_rt.live.web import WebAddress, WebServer
from malle_rt.live.web.address import client_of
from malle_rt.live.web.guard import Guesses
from malle_rt.live.web.server import request_log

PATHS = ["/", "/main.js", "/style.css", "/icon.svg", "/socket", "/snapshot/1/raw.png", "/nothing.here"]
EVERYWHERE = WebAddress(host="0.0.0.0", port=0)


@pytest.fixture
def open_server(desk):
    """Reachable from other machines, so with a token."""
    server = WebServer(desk, EVERYWHERE)
    server.start()
    yield server
    server.close()


def get(server, path, **headers):
    """Status, headers and body; over loopback, whatever address the server names."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def token_of(server):
    return parse_qs(urlsplit(server.url).query)["token"][0]


def test_loopback_wants_the_token_too(server):
    assert get(server, "/")[0] == 403
    status, headers, body = get(server, f"/?token={token_of(server)}")
    assert status == 200 and b"<title>malle-rt live</title>" in body
    assert headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/main.js", "/nothing.here", "/snapshot/9/raw.png"])
def test_every_answer_carries_the_protective_headers(server, path):
    _, headers, _ = get(server, path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong-wrong-wrong", "?token=%ff%fe"])
def test_strangers_get_nothing_at_all(open_server, path, query):
    status, headers, body = get(open_server, path + query)
    assert status == 403 and "Set-Cookie" not in headers
    assert body == b"This page needs its token. Open the address that malle-rt printed.\n"


def test_a_browser_without_the_token_gets_a_field_for_it_and_nothing_else(open_server):
    status, headers, body = get(open_server, "/main.js?token=<b>", Accept="text/html,*/*;q=0.8")
    assert status == 403 and headers["Content-Type"].startswith("text/html")
    assert b'name="token"' in body and b"<script" not in body and b"<b>" not in body
    policy = headers["Content-Security-Policy"]
    style = re.search(rb"<style>(.*)</style>", body)[1]
    assert base64.b64encode(hashlib.sha256(style).digest()).decode() in policy
    for number in range(9):
        get(open_server, f"/?token=guess-number-{number:04}")
    status, headers, body = get(open_server, "/?token=guess-number-0000", Accept="text/html")
    assert status == 429 and int(headers["Retry-After"]) >= 1 and b"Too many wrong tokens" in body


def test_the_token_becomes_a_cookie_that_does_not_hold_it(open_server):
    token = token_of(open_server)
    status, headers, _ = get(open_server, f"/?token={token}")
    assert status == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
    assert get(open_server, "/main.js", Cookie=cookie.split(";")[0])[0] == 200
    name = cookie.split("=")[0]
    assert get(open_server, "/main.js", Cookie=f"{name}={token}")[0] == 403


def test_every_server_makes_a_token_of_its_own(open_server, desk):
    other = WebServer(desk, EVERYWHERE)
    assert len(token_of(open_server)) >= 22
    assert other.url.split("token=")[1] != token_of(open_server)


def test_a_request_that_cannot_be_read_leaves_no_token_in_the_log(open_server, caplog):
    caplog.set_level("DEBUG")
    token = token_of(open_server)
    for line in (
        f"FOO /socket?token={token} HTTP/1.1",
        f"GET /?token={token} NONSENSE",
        f"@ /?token={token}",
    ):
        with socket.create_connection(("127.0.0.1", urlsplit(open_server.url).port), timeout=10) as client:
            client.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            assert client.recv(65536)
    assert token not in caplog.text


def test_errors_of_requests_are_named_by_their_kind(caplog):
    try:
        raise ValueError("GET /?token=verysecrettoken")
    except ValueError:
        request_log().exception("Error handling %s", "request")
    assert "Error handling request (ValueError)" in caplog.text
    assert "verysecrettoken" not in caplog.text


def test_guessing_must_wait_and_a_cookie_need_not(open_server):
    token = token_of(open_server)
    cookie = get(open_server, f"/?token={token}")[1]["Set-Cookie"].split(";")[0]
    answers = [get(open_server, f"/?token=guess-number-{number:04}")[0] for number in range(20)]
    assert answers[:5] == [403] * 5 and answers.count(403) <= 7 and 429 in answers
    status, headers, body = get(open_server, f"/?token={token}")  # the right one is not looked at either
    assert status == 429 and int(headers["Retry-After"]) >= 1 and b"Too many wrong tokens" in body
    assert get(open_server, "/main.js", Cookie=cookie)[0] == 200


def test_the_pause_doubles_to_a_minute_and_few_clients_are_remembered():
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    pauses = []
    for _ in range(15):
        guesses.wrong("a")
        pauses.append(guesses.pause("a"))
        now[0] += pauses[-1]
    assert pauses[:8] == [0, 0, 0, 0, 1, 2, 4, 8] and pauses[-1] == 60
    guesses.wrong("a")
    assert guesses.pause("a") == 60 and guesses.pause("b") == 0
    for number in range(2000):
        guesses.wrong(str(number))
    assert guesses.pause("a") == 0  # forgotten
    assert len(guesses._wrong) <= 1024


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_the_half_of_it_that_one_owner_has(address, client):
    assert client_of(address) == client


def test_a_flood_of_broken_requests_is_logged_in_a_few_lines(caplog):
    logger = request_log()
    for _ in range(1000):
        logger.error("Error handling request")
    assert len(caplog.records) <= 10


def test_a_token_of_the_users_holds_on_loopback_too(desk):
    server = WebServer(desk, WebAddress(port=0), token="kitchen-camera-7")
    server.start()
    try:
        assert get(server, "/")[0] == 403
        assert get(server, "/?token=kitchen-camera-7")[0] == 200
    finally:
        server.close()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "short",
        "fifteen-letters",
        "with space in it",
        "semi;colon;token",
        "ends-with-a-line\n",
        "ü" * 20,
        "x" * 200,
    ],
)
def test_a_token_that_cannot_be_one_is_refused(desk, token):
    with pytest.raises(ConfigError, match="16 to 128 letters"):
        WebServer(desk, EVERYWHERE, token=token)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.1", "[", ""]
)
def test_another_name_that_was_resolved_to_this_machine_is_refused(server, host):
    for path in PATHS:
        status, _, body = get(server, path, Host=host.format(port=urlsplit(server.url).port))
        assert (
            status in (400, 403) and b"malle-rt live" not in body
        )  # it has neither the cookie nor the token


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "[::1]:8077"])
def test_a_tunnel_to_another_port_of_this_machine_is_served(server, host):
    assert get(server, f"/?token={token_of(server)}", Host=host)[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "http://["])
def test_pages_of_others_may_not_open_the_socket(server, origin):
    async def connect():
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with Page(server.url, origin=origin):
                pass
        return caught.value.status

    assert asyncio.run(connect()) == 403


def test_without_an_origin_the_socket_stays_shut(server):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    place = f"/socket?token={token_of(server)}"
    assert get(server, place, **upgrade, **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})[0] == 403


def test_a_known_page_of_another_origin_may_not_open_the_socket_either(open_server):
    async def connect():
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with Page(open_server.url, origin="http://evil.example"):
                pass
        async with Page(open_server.url) as page:
            return await page.letter("statistics")

    assert asyncio.run(connect())["state"] == "live"


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/static/", "//etc/passwd"]
)
def test_only_the_page_s_own_files_are_served(server, path):
    assert get(server, f"{path}?token={token_of(server)}")[0] == 404
