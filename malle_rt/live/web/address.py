"""Where the page is served: parsing an address, binding it, and writing it as a URL."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from malle_rt.errors import ConfigError, SinkError

__all__ = ["WebAddress", "client_of", "is_loopback"]

_HOST = "127.0.0.1"
_PORT = 8077
_FORM = re.compile(r"^(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/?#@\s]*))(?::(?P<port>\d{1,5}))?$")
_NAME = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$")
_WANTED = "Write HOST:PORT, such as 0.0.0.0:8080, or a port alone, such as 8080"
# A documentation address (RFC 5737): choosing a route to it shows our own address and sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)
# Connections the system holds until they are accepted.
_BACKLOG = 128


@dataclass(frozen=True, kw_only=True)
class WebAddress:
    """An address of this machine to serve the page at.

    Attributes:
        host: name, IPv4 or IPv6 address (without brackets).
        port: 1 to 65535; 0 lets the system choose a free one.

    Raises:
        ConfigError: for what cannot be an address.
    """

    host: str = _HOST
    port: int = _PORT

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"web: port must be 0 to 65535, got {self.port}")
        if not _is_host(self.host):
            raise ConfigError(f"web: {self.host!r} is not a host name or an address. {_WANTED}")

    @classmethod
    def parse(cls, text: str) -> WebAddress:
        """Read "HOST:PORT", "HOST", "PORT" or "" (all by default); IPv6 addresses are in brackets.

        Raises:
            ConfigError: for anything else.
        """
        text = text.strip()
        if text.isascii() and text.isdigit():
            text = f":{text}"
        found = _FORM.match(text)
        if found is None:
            raise ConfigError(f"web: {text!r} is not an address. {_WANTED}, and IPv6 as [::1]:8080")
        host = found["six"] or found["name"] or _HOST
        return cls(host=host, port=int(found["port"]) if found["port"] else _PORT)

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can reach it."""
        return is_loopback(self.host)

    def bind(self) -> socket.socket:
        """A listening socket.

        Raises:
            SinkError: the port is taken or not allowed, or the address is not one of this machine.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.socket(family, kind, protocol)
        except OSError as exc:
            raise SinkError(f"web: {self.host} is not known here ({exc.strerror}). {_WANTED}") from exc
        try:
            if os.name == "posix":  # elsewhere it would let two programs share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
            bound.listen(_BACKLOG)
        except OSError as exc:
            bound.close()
            raise SinkError(f"web: {_reason(self, exc)}") from exc
        return bound

    def url(self, port: int) -> str:
        """What to open in a browser, for the port obtained; of "all addresses" one that others can reach."""
        host = self.host
        if host in ("0.0.0.0", "::"):
            host = _own_address()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether a host, as a name or an address without brackets, means this machine and nothing else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def client_of(address: str) -> str:
    """Who comes from an address, as far as limits go: of IPv6 the first 64 bits, of which one owner has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _is_host(host: str) -> bool:
    looks_numeric = ":" in host or all(part.isdigit() for part in host.split("."))
    if not looks_numeric:
        return _NAME.match(host) is not None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reason(address: WebAddress, exc: OSError) -> str:
    """Why binding failed and what to do, one line."""
    if exc.errno == errno.EADDRINUSE:
        return f"port {address.port} of {address.host} is taken by another program. Choose another port"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return f"port {address.port} may not be used by this user. Choose one above 1023"
    return f"{address.host}:{address.port} cannot be served ({exc.strerror}). Choose another address"


def _own_address() -> str:
    """The address that others reach this machine at; its name where it has no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
