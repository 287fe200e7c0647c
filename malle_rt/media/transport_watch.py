"""Tracks of a broadcast on a pipe that are announced after FFmpeg has looked at its beginning."""

from __future__ import annotations

import numpy as np

__all__ = ["TransportWatch"]

_PACKET = 188  # bytes, the first of which is _SYNC
_SYNC = 0x47
_PLAN = 0  # where the tables are listed
# Kinds of streams in MPEG-2's table, and what they are called here; others are data.
_KINDS = dict.fromkeys((0x01, 0x02, 0x10, 0x1B, 0x24, 0x33), "video")
_KINDS |= dict.fromkeys((0x03, 0x04, 0x0F, 0x11, 0x81, 0x82, 0x83, 0x84, 0x87), "sound")
_MOST = 256  # tracks that are remembered


class TransportWatch:
    """Reads the tables of MPEG-TS as its bytes go by; of anything else it learns nothing.

    Attributes:
        tracks: what was announced so far: "video", "sound" or "data" by the number that FFmpeg calls a stream's id.
    """

    def __init__(self) -> None:
        """Nothing has gone by yet."""
        self.tracks: dict[int, str] = {}
        self._tables: set[int] = set()
        self._rest = b""
        self._other = False  # whether this is something else

    def see(self, data: bytes) -> None:
        """The next bytes, in order."""
        if self._other:
            return
        data = self._rest + data
        if data and data[0] != _SYNC:
            self._other = True
            self._rest = b""
            return
        count = len(data) // _PACKET
        self._rest = data[count * _PACKET :]
        packets = np.frombuffer(data, np.uint8, count * _PACKET).reshape(count, _PACKET)
        ids = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
        begins = (packets[:, 1] & 0x40 != 0) & (packets[:, 3] & 0x10 != 0)
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
