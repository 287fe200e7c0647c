"""Addresses: what is understood, what is refused, and what binding says."""

import socket

import pytest

from malle_rt.errors import ConfigError, SinkError
from malle_rt.live.web import WebAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 8077),
        ("8080", "127.0.0.1", 8080),
        (":8080", "127.0.0.1", 8080),
        ("0.0.0.0", "0.0.0.0", 8077),
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        (" jetson.local:80 ", "jetson.local", 80),
        ("[::1]:8000", "::1", 8000),
        ("[::]", "::", 8077),
        ("127.0.0.1:0", "127.0.0.1", 0),
    ],
)
def test_reads_host_and_port(text, host, port):
    assert WebAddress.parse(text) == WebAddress(host=host, port=port)


@pytest.mark.parametrize(
    "text",
    [
        "http://0.0.0.0:80",
        "1.2.3.4.5",
        "256.0.0.1:80",
        "::1",
        "[::1",
        "[1.2.3]:80",
        "a b",
        "host:",
        "host:x",
        "-a",
    ],
)
def test_refuses_what_is_no_address(text):
    with pytest.raises(ConfigError, match="Write HOST:PORT"):
        WebAddress.parse(text)


@pytest.mark.parametrize("text", ["70000", "localhost:65536"])
def test_refuses_ports_that_do_not_exist(text):
    with pytest.raises(ConfigError, match="0 to 65535, got"):
        WebAddress.parse(text)


def test_knows_which_addresses_stay_on_this_machine():
    assert all(
        WebAddress(host=host).loopback for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost", "LocalHost")
    )
    assert not any(
        WebAddress(host=host).loopback for host in ("0.0.0.0", "::", "192.168.1.5", "jetson", "127.evil")
    )


def test_writes_a_url_that_can_be_opened():
    assert WebAddress().url(8077) == "http://127.0.0.1:8077/"
    assert WebAddress(host="::1").url(80) == "http://[::1]:80/"
    assert "0.0.0.0" not in WebAddress(host="0.0.0.0").url(80)


def test_a_taken_port_is_one_clear_line():
    with (
        WebAddress(port=0).bind() as bound,
        pytest.raises(SinkError, match=r"taken by .* Choose another port"),
    ):
        WebAddress(port=bound.getsockname()[1]).bind()


def test_an_address_of_another_machine_is_one_clear_line():
    with pytest.raises(SinkError, match="not an address of this machine"):
        WebAddress(host="192.0.2.7", port=0).bind()


def test_binds_ipv6_where_there_is_any():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with WebAddress.parse("[::1]:0").bind() as bound:
        assert bound.family == socket.AF_INET6
