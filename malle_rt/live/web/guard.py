"""Who may see the page: the token, the cookie that stands for it, and where a request came from."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from malle_rt.errors import ConfigError
from malle_rt.live.web.address import WebAddress, is_loopback

__all__ = ["Guard", "choose_token"]

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,128}")
_TOKEN_BYTES = 16
_HEADERS = {
    # Nothing from elsewhere, nothing inline, no frame around us whose page could lead clicks to our buttons.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def choose_token(address: WebAddress, token: str | None) -> str | None:
    """The token in force: the user's, or a new one where the address can be reached from elsewhere.

    Raises:
        ConfigError: a token that does not go into a URL, or is too short to be one.
    """
    if token is None:
        return None if address.loopback else secrets.token_urlsafe(_TOKEN_BYTES)
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            "web: the token must be 8 to 128 letters, digits or . _ ~ -. Leave it out to get one"
        )
    return token


class Guard:
    """Lets requests through, or answers them with 403.

    Without a token (on loopback), the Host header must be a name of this machine: a page from elsewhere that had its
    own name resolved to 127.0.0.1 is not.
    """

    def __init__(self, address: WebAddress, port: int, token: str | None) -> None:
        self._loopback = address.loopback
        self._token = token
        # Cookies are shared by all ports of a host: servers beside us must neither overwrite it nor learn the token.
        self._cookie = f"malle-rt-{port}"
        self._pass = hmac.new((token or "").encode(), b"malle-rt cookie", hashlib.sha256).hexdigest()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware."""
        by_query = self._knows_token(request)
        reason = self._refusal(request, by_query)
        if reason is not None:
            return web.Response(status=403, text=f"{reason}\n")
        response = await handler(request)
        if by_query and not response.prepared:
            response.set_cookie(self._cookie, self._pass, httponly=True, samesite="Strict", path="/")
        return response

    async def seal(self, _: web.Request, response: web.StreamResponse) -> None:
        """Put the protective headers on every response, errors included."""
        response.headers.update(_HEADERS)

    def is_own_page(self, request: web.Request) -> bool:
        """Whether a page of this server asks, as browsers tell with the Origin header."""
        origin = _split(request.headers.get("Origin", ""))
        return origin is not None and bool(origin.netloc) and origin.netloc.lower() == request.host.lower()

    def _refusal(self, request: web.Request, by_query: bool) -> str | None:
        if self._token is not None:
            if by_query or _same(request.cookies.get(self._cookie, ""), self._pass):
                return None
            return "This page needs its token. Open the address that malle-rt printed."
        host = _split(f"//{request.host}")
        if self._loopback and host is not None and is_loopback(host.hostname or ""):
            return None
        return "This page is for this machine only. Open it as localhost, or serve it at another address."

    def _knows_token(self, request: web.Request) -> bool:
        return self._token is not None and _same(request.query.get("token", ""), self._token)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _same(given: str, wanted: str) -> bool:
    """Compare in a time that tells nothing of how much was right."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
