"""How addresses may be shown: scheme, host and port. All the rest of one may be a password, a token or a key."""

from __future__ import annotations

import re

__all__ = ["shown_address", "without_secrets"]

# Colons are escaped with backslashes in FFmpeg's filter graphs. Files have no secrets in their addresses.
_URL = re.compile(r"(?<![\w+.-])(?!file:)([A-Za-z][\w+.-]+)(\\*://)([^\s'\"<>]*)")
_WHOLE = re.compile(r"(?!file:)([A-Za-z][\w+.-]+)(://)(.*)", re.DOTALL)
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:\\/?#,;()]*)(?:\\*:(\d{1,5})(?!\w))?")
# Parameters of a source graph, where characters are escaped, and of a GStreamer pipeline.
_PARAMETER = re.compile(
    r"(?<![\w.%~-])([\w.%~-]*(?:token|key|secret|pass|pw|auth|sig|streamid)[\w.%~-]*\\*=)"
    r'(?:"[^"]*"|[^&\s]*)',
    re.IGNORECASE,
)


def shown_address(location: str) -> str:
    """What a message may say of one location: a path as it is, of a URL the scheme, host and port."""
    found = _WHOLE.fullmatch(location)
    return _short(found) if found else without_secrets(location)


def without_secrets(text: str) -> str:
    """A text with its URLs cut to scheme, host and port, and with stars for parameters that sound like passwords."""
    return _PARAMETER.sub(r"\1***", _URL.sub(_short, text))


def _short(url: re.Match[str]) -> str:
    scheme, colon, rest = url.groups()
    # FFmpeg takes all up to the last @ before the path for user and password.
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    place = _PLACE.match(authority)
    host, port = place.groups() if place else ("", None)
    behind = rest[-1:] if rest[-1:] in (":", ",", ";", ")") else ""  # the sentence's, not the address's
    return f"{scheme}{colon}{host}{f':{port}' if port else ''}{behind}"
