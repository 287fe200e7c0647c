"""What an input may make FFmpeg open beside itself: play lists and scripts can name any file or address."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import av

from malle_rt.errors import SourceError
from malle_rt.shown import shown_address

__all__ = ["PIPE_OPTIONS", "UDP_OPTIONS", "address_options", "file_options", "list_kind", "names_others"]

# Readers that open what their input names. Of a file none is used but hls, for a .m3u8 that was asked for; a new
# FFmpeg may have more, and those can still not reach the network.
_OPENS_OTHERS = frozenset(
    {"avisynth", "concat", "dash", "hls", "imf", "rtsp", "sap", "sdp", "vapoursynth", "vobsub"}
    | {"webm_dash_manifest"}
)
# A server's address may lead to a play list, but not to a script that runs here or joins files.
_NEVER_FROM_A_SERVER = frozenset({"avisynth", "concat", "imf", "vapoursynth", "vobsub"})
_NETWORK = (
    "http,https,httpproxy,tls,tcp,udp,udplite,rtp,srtp,rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,ffrtmphttp,ffrtmpcrypt,"
    "srt,rist,sctp,mmsh,mmst,ftp,sftp,gopher,gophers,crypto,data"
)
# What is read too late is lost there: bursts of a megabyte, as keyframes are, overflow FFmpeg's usual buffer. The
# system grants what it allows (Linux: net.core.rmem_max). Then the stream loses packets and goes on.
UDP_OPTIONS = {"buffer_size": str(4 << 20), "overrun_nonfatal": "1"}
_LISTS = (".m3u8", ".m3u")
# How such files begin, and what they are.
_HLS = "an HLS play list"
_KINDS = (
    (re.compile(rb"#EXTM3U"), _HLS),
    (re.compile(rb"ffconcat version"), "a script that joins files (ffconcat)"),
    (re.compile(rb"(<\?xml[^>]*>|<!--.*?-->|\s)*<(\w+:)?MPD\b", re.DOTALL), "a DASH manifest"),
    (re.compile(rb"(<\?xml[^>]*>|<!--.*?-->|\s)*<(\w+:)?(AssetMap|CompositionPlaylist)\b", re.DOTALL), "IMF"),
    (re.compile(rb"v=0\s"), "the description of a stream (SDP)"),
    (re.compile(rb"# VobSub index file"), "an index of subtitles (VobSub)"),
)
_HEAD = 4096  # bytes in which the kind shows; FFmpeg splits longer lines of a play list
_LONGEST_LIST = 16 << 20  # bytes: a week of segments of two seconds
_MOST_LISTS = 100  # variants, sound and subtitles of one programme
_BREAK = re.compile(r"[\r\n\0]+")
_URI = re.compile(r'URI=(?:"([^"]*)"?|([^",\s]+))', re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*[:,]")


def file_options(path: Path) -> dict[str, str]:
    """FFmpeg's options for reading a file on this machine: it opens no other one, and no connection.

    An HLS play list that is named as one may open what lies beside or below it.

    Args:
        path: absolute.

    Raises:
        SourceError: a play list names something else.
    """
    if path.suffix.lower() in _LISTS and list_kind(path) == _HLS:
        _check_list(path)
        return {
            "protocol_whitelist": "file,crypto",
            "format_whitelist": _readers(_OPENS_OTHERS - {"hls"}),
        }
    # A picture's name is no pattern of other pictures' names.
    return {"protocol_whitelist": "file", "format_whitelist": _readers(_OPENS_OTHERS), "pattern_type": "none"}


def address_options(address: str) -> dict[str, str]:
    """FFmpeg's options for reading an address: what it leads to can open no file of this machine."""
    scheme = address.partition("://")[0].lower()
    return {
        "protocol_whitelist": f"{_NETWORK},{scheme}",
        "format_whitelist": _readers(_NEVER_FROM_A_SERVER),
    }


def list_kind(path: Path) -> str | None:
    """What a file is that names others instead of holding a video; None for every other one."""
    try:
        if not path.is_file():  # reading from a pipe would take what FFmpeg must see
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError):
        return None
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), None)


def names_others(kind: str) -> str:
    """Why a file of ``list_kind`` is not read, and what to do."""
    hint = "name it .m3u8" if kind == _HLS else "give the video itself"
    return f"this is {kind}, which only names other files, and those are not opened for it: {hint}"


@functools.cache
def _readers(without: frozenset[str]) -> str:
    """All demuxers but some, as FFmpeg takes them."""
    names = (name for group in av.formats_available for name in group.split(","))
    return ",".join(sorted(set(names) - without))


# Of what comes through a pipe, nothing else is opened.
PIPE_OPTIONS = {"protocol_whitelist": "data", "format_whitelist": _readers(_OPENS_OTHERS)}


def _check_list(path: Path) -> None:
    """See to it that a play list and those it names only name what lies in its folder."""
    folder = path.parent.resolve()
    waiting, seen = [path], {path.resolve()}
    while waiting:
        current = waiting.pop()
        for entry in _entries(current, shown=path):
            found = (current.parent / entry).resolve()
            if _SCHEME.match(entry) or not found.is_relative_to(folder):
                raise SourceError(
                    f"{path}: names {_short(entry)}, which is not in its folder. A play list on this machine may "
                    "only name what lies beside or below it; of one on a server, give the address"
                )
            if found.suffix.lower() in _LISTS and found not in seen and found.is_file():
                seen.add(found)
                waiting.append(found)
        if len(seen) > _MOST_LISTS:
            raise SourceError(f"{path}: names more than {_MOST_LISTS} other play lists. Give one of those")


def _entries(path: Path, *, shown: Path) -> Iterator[str]:
    """Everything that FFmpeg could take for a file's name or address in a play list."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_LIST + 1)
    except OSError as exc:
        raise SourceError(f"{path}: cannot be read ({exc.strerror or exc}). Check its folder") from exc
    lines = _BREAK.split(data.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    if len(data) > _LONGEST_LIST or any(len(line) >= _HEAD for line in lines):
        raise SourceError(
            f"{shown}: a play list too long, or with a line of 4096 characters. Give a part of it"
        )
    for line in lines:
        if not line.startswith("#"):
            if line.strip():
                yield line.rstrip()
        else:
            yield from (quoted or plain for quoted, plain in _URI.findall(line))


def _short(entry: str) -> str:
    """An entry as a message may show it."""
    text = shown_address(entry)
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")
