"""Who may see the page: the token, the cookie that stands for it, where a request came from, and wrong guesses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from malle_rt.errors import ConfigError
from malle_rt.live.web.address import client_of

__all__ = ["Guard", "Guesses", "choose_token"]

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,128}")
_TOKEN_BYTES = 16
# Whoever has no token gets no file of ours, so the form that asks for it has its few lines of style inside.
_FORM_STYLE = (
    "body{max-width:26rem;margin:15vh auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}"
    "input,button{box-sizing:border-box;width:100%;min-height:44px;margin-top:.6rem;font:inherit}"
)
_FORM = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>malle-rt: token</title>
<style>{style}</style>
<h1>malle-rt</h1>
<p role="alert">{text}</p>
<form action="/">
<label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Open</button>
</form>
</html>
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_FORM_STYLE.encode()).digest()).decode()
_HEADERS = {
    # Nothing from elsewhere, nothing inline but that style, no frame around us whose page could lead clicks to our
    # buttons.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    f"style-src 'self' 'sha256-{_STYLE_HASH}'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FREE = 5  # a token is mistyped now and then
_LONGEST = 60.0  # s
_CLIENTS = 1024


def choose_token(token: str | None) -> str:
    """The token in force: the user's, or a new one. On loopback too: this machine may have other users.

    Raises:
        ConfigError: a token that does not go into a URL, or is too short to be one.
    """
    if token is None:
        return secrets.token_urlsafe(_TOKEN_BYTES)
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            "web: the token must be 16 to 128 letters, digits or . _ ~ -. Leave it out to get one"
        )
    return token


class Guard:
    """Lets requests through, or answers them with 403 or, where too many tokens were wrong, with 429."""

    def __init__(self, port: int, token: str) -> None:
        self._token = token
        self._guesses = Guesses()
        # Cookies are shared by all ports of a host: servers beside us must neither overwrite it nor learn the token.
        self._cookie = f"malle-rt-{port}"
        self._pass = hmac.new(token.encode(), b"malle-rt cookie", hashlib.sha256).hexdigest()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware."""
        by_query = False
        if not _same(request.cookies.get(self._cookie, ""), self._pass):
            refusal = self._refusal(request)
            if refusal is not None:
                refusal.force_close()
                return refusal
            by_query = True
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

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to whoever has no token, a wrong one, or had too many wrong ones; None: it is right."""
        client = client_of(request.remote or "")
        given = request.query.get("token", "")
        pause = math.ceil(self._guesses.pause(client)) if given else 0
        if pause:  # not even looked at: else guessing on would find it all the same
            text = f"Too many wrong tokens came from your address. Try again in {pause} s.\n"
            return _answer(request, 429, text, {"Retry-After": str(pause)})
        if _same(given, self._token):
            self._guesses.right(client)
            return None
        if given:
            self._guesses.wrong(client)
        return _answer(request, 403, "This page needs its token. Open the address that malle-rt printed.\n")


def _answer(
    request: web.Request, status: int, text: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A refusal: to browsers with a field for the token, to programs as a line of text."""
    if "text/html" not in request.headers.get("Accept", ""):
        return web.Response(status=status, text=text, headers=headers)
    page = _FORM.format(style=_FORM_STYLE, text=text.replace("printed.", "printed, or type the token."))
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _same(given: str, wanted: str) -> bool:
    """Compare in a time that tells nothing of how much was right."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


class Guesses:
    """Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has guessed yet; ``clock`` counts seconds."""
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def pause(self, client: str) -> float:
        """Seconds until this client's next token is looked at; 0 for now."""
        count, last = self._wrong.get(client, (0, 0.0))
        if count < _FREE:
            return 0.0
        wait = min(_LONGEST, 2.0 ** (count - _FREE))
        return max(0.0, last + wait - self._clock())

    def wrong(self, client: str) -> None:
        """A token of this client's was none."""
        count, _ = self._wrong.pop(client, (0, 0.0))
        self._wrong[client] = min(count + 1, 64), self._clock()
        if len(self._wrong) > _CLIENTS:  # whoever guessed longest ago is forgotten
            del self._wrong[next(iter(self._wrong))]

    def right(self, client: str) -> None:
        """This client knows it."""
        self._wrong.pop(client, None)
