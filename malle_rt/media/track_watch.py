"""Tracks of a broadcast that begin, where it is read once only, after FFmpeg has looked at its beginning."""

from __future__ import annotations

import numpy as np

__all__ = ["TrackWatch"]

_PACKET = 188  # bytes, the first of which is _SYNC
_SYNC = 0x47
_PLAN = 0  # where the tables are listed
# Kinds of streams in MPEG-2's table, and what they are called here; others are data.
_KINDS = dict.fromkeys((0x01, 0x02, 0x10, 0x1B, 0x24, 0x33), "video")
_KINDS |= dict.fromkeys((0x03, 0x04, 0x0F, 0x11, 0x81, 0x82, 0x83, 0x84, 0x87), "sound")
_MOST = 256  # tracks that are remembered
# Of a program stream: what its parts begin with.
_START = b"\x00\x00\x01"
_PACK, _PRIVATE = 0xBA, 0xBD
_HEAD = 9 + 255 + 1  # bytes until the first of a part's content at the latest


class TrackWatch:
    """Reads what MPEG-TS and program streams say of their tracks, as the bytes go by; of others it learns nothing.

    Attributes:
        tracks: what was announced so far: "video", "sound", "subtitles" or "data" by the number that FFmpeg calls a
            stream's id.
    """

    def __init__(self) -> None:
        """Nothing has gone by yet."""
        self.tracks: dict[int, str] = {}
        self._reader: _Transport | _Program | None = None
        self._head = b""
        self._other = False  # whether this is something else

    def see(self, data: bytes) -> None:
        """The next bytes, in order."""
        if self._reader is None and not self._other:
            self._head += data
            data = self._head
            if data[:1] == bytes([_SYNC]):
                self._reader = _Transport(self.tracks)
            elif data[:4] == _START + bytes([_PACK]):
                self._reader = _Program(self.tracks)
            self._other = self._reader is None and len(data) >= 4
        if self._reader is not None:
            self._head = b""
            self._reader.see(data)


class _Transport:
    """The tables of MPEG-TS."""

    def __init__(self, tracks: dict[int, str]) -> None:
        self.tracks = tracks
        self._tables: set[int] = set()
        self._rest = b""

    def see(self, data: bytes) -> None:
        data = self._rest + data
        if data and data[0] != _SYNC:  # packets are missing, or cut
            data = data[data.find(_SYNC) :] if _SYNC in data else b""
        count = len(data) // _PACKET
        self._rest = data[count * _PACKET :]
        packets = np.frombuffer(data, np.uint8, count * _PACKET).reshape(count, _PACKET)
        ids = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
        begins = (packets[:, 0] == _SYNC) & (packets[:, 1] & 0x40 != 0) & (packets[:, 3] & 0x10 != 0)
        for number in np.flatnonzero(begins & np.isin(ids, [_PLAN, *self._tables])):
            self._table(int(ids[number]), packets[number].tobytes())

    def _table(self, number: int, packet: bytes) -> None:
        """One that fits into a packet, as nearly all do."""
        start = 5 + packet[4] if packet[3] & 0x20 else 4  # behind what else a packet may begin with
        start += 1 + packet[start] if start < _PACKET else 0
        section = packet[start:]
        if len(section) < 12:
            return
        end = min(len(section), 3 + ((section[1] & 0x0F) << 8 | section[2]) - 4)  # without the checksum
        if number == _PLAN and section[0] == 0x00:
            for at in range(8, end - 3, 4):
                if section[at] or section[at + 1]:  # 0: where the network is described
                    self._tables.add((section[at + 2] & 0x1F) << 8 | section[at + 3])
        elif section[0] == 0x02:
            at = 12 + ((section[10] & 0x0F) << 8 | section[11])
            while at + 5 <= end and len(self.tracks) < _MOST:
                found = (section[at + 1] & 0x1F) << 8 | section[at + 2]
                self.tracks.setdefault(found, _KINDS.get(section[at], "data"))
                at += 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])


class _Program:
    """The parts of a program stream: each says which track it is of, and how long it is."""

    def __init__(self, tracks: dict[int, str]) -> None:
        self.tracks = tracks
        self._rest = b""
        self._skip = 0  # bytes to come that belong to a part that is known

    def see(self, data: bytes) -> None:
        data = self._rest + data
        at = self._skip
        while at + _HEAD <= len(data):
            at = data.find(_START, at)
            if at < 0:
                at = len(data) - len(_START) + 1  # it may begin here
            if at + _HEAD > len(data):
                break
            code = data[at + 3]
            if code > _PACK:
                self._part(code, data[at : at + _HEAD])
                at += 6 + (data[at + 4] << 8 | data[at + 5])
            else:  # what has no length, or is within a picture where a stream was joined
                at += 4
        self._rest = data[at:]
        self._skip = max(0, at - len(data))

    def _part(self, code: int, head: bytes) -> None:
        number, kind = 0x100 | code, "video" if code >= 0xE0 else "sound"
        if (
            code == _PRIVATE and head[6] & 0xC0 == 0x80
        ):  # MPEG-2: a byte in front of the content says whose it is
            number = head[9 + head[8]]
            kind = "subtitles" if number < 0x40 else "sound"
            if not (0x20 <= number < 0x40 or 0x80 <= number < 0xD0):
                return
        elif not 0xC0 <= code < 0xF0:  # tables, padding, menus
            return
        if len(self.tracks) < _MOST:
            self.tracks.setdefault(number, kind)
