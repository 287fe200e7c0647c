"""Video4Linux asked directly: which cameras there are, their modes, and whether one can be used.

OpenCV opens cameras but tells none of that. Numbers and layouts are those of the kernel's linux/videodev2.h.
Linux only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from malle_rt.live.capture.camera_modes import Mode

__all__ = ["VideoNode"]

_CAPABILITY = struct.Struct("16s32s32s6I")  # driver, card, bus, version, capabilities, device_caps, reserved
_FORMAT_DESCRIPTION = struct.Struct("3I32s5I")  # index, type, flags, description, pixel format, reserved
_FRAME_SIZE = struct.Struct("11I")  # index, pixel format, type, 6 words of sizes, reserved
_FRAME_INTERVAL = struct.Struct(
    "13I"
)  # index, pixel format, width, height, type, 6 words of fractions, reserved
# A type, and a union of 200 bytes that holds a pointer.
_FORMAT = struct.Struct(f"I{struct.calcsize('P') - 4}x200s")

_READ, _READ_WRITE = 2, 3
_CAPTURE, _CAPTURE_PLANES = 1, 9  # buffer types
_HAS_CAPTURE, _HAS_CAPTURE_PLANES, _HAS_DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_DISCRETE = 1
# More entries than any camera has in a list: a driver that never ends one must not hang us.
_MOST = 128
# Offered for cameras that scale to any size.
_USUAL_SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    """The number of an ioctl, as the macros _IOR and _IOWR make it."""
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


_QUERYCAP = _request(_READ, 0, _CAPABILITY)
_ENUM_FMT = _request(_READ_WRITE, 2, _FORMAT_DESCRIPTION)
_G_FMT = _request(_READ_WRITE, 4, _FORMAT)
_S_FMT = _request(_READ_WRITE, 5, _FORMAT)
_ENUM_FRAMESIZES = _request(_READ_WRITE, 74, _FRAME_SIZE)
_ENUM_FRAMEINTERVALS = _request(_READ_WRITE, 75, _FRAME_INTERVAL)


class VideoNode:
    """An open /dev/videoN, beside whatever OpenCV opens. Use it in a ``with`` statement.

    Attributes:
        name: the driver's name of the camera.
        bus: where it is plugged in.
        captures: whether it gives pictures; the second node of USB cameras gives only metadata.
    """

    def __init__(self, path: str) -> None:
        """Open a node.

        Raises:
            OSError: it is not there, may not be opened, or is no Video4Linux device.
        """
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            answer = self._ask(_QUERYCAP, _CAPABILITY, b"", b"", b"", *[0] * 6)
        except OSError:
            os.close(self._file)
            raise
        capabilities = answer[5] if answer[4] & _HAS_DEVICE_CAPS else answer[4]
        self.name, self.bus = _text(answer[1]), _text(answer[2])
        self.captures = bool(capabilities & (_HAS_CAPTURE | _HAS_CAPTURE_PLANES))
        self._kind = _CAPTURE_PLANES if capabilities & _HAS_CAPTURE_PLANES else _CAPTURE

    def __enter__(self) -> VideoNode:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def is_busy(self) -> bool:
        """Whether another program streams from it: the driver then keeps the format from being set."""
        try:
            current = self._ask(_G_FMT, _FORMAT, self._kind, b"")
            self._ask(_S_FMT, _FORMAT, *current)
        except OSError as exc:
            return exc.errno == errno.EBUSY
        return False

    def modes(self) -> tuple[Mode, ...]:
        """What it offers, in the driver's order."""
        return tuple(
            Mode(_fourcc(format), *size, self._rates(format, *size))
            for format in self._formats()
            for size in self._sizes(format)
        )

    def _formats(self) -> Iterator[int]:
        for answer in _listed(
            lambda i: self._ask(_ENUM_FMT, _FORMAT_DESCRIPTION, i, self._kind, 0, b"", *[0] * 5)
        ):
            yield answer[4]

    def _sizes(self, format: int) -> Iterator[tuple[int, int]]:
        """(width, height) one by one; a choice of usual ones where any within limits can be had."""
        for answer in _listed(lambda i: self._ask(_ENUM_FRAMESIZES, _FRAME_SIZE, i, format, *[0] * 9)):
            if answer[2] == _DISCRETE:
                yield answer[3], answer[4]
                continue
            low_width, most_width, _, low_height, most_height, _ = answer[3:9]
            for width, height in _USUAL_SIZES:
                if low_width <= width < most_width and low_height <= height <= most_height:
                    yield width, height
            yield most_width, most_height
            return

    def _rates(self, format: int, width: int, height: int) -> tuple[Fraction, ...]:
        """Frames per second, the fastest first; the two limits where any between them can be had."""
        rates = set()
        for answer in _listed(
            lambda i: self._ask(_ENUM_FRAMEINTERVALS, _FRAME_INTERVAL, i, format, width, height, *[0] * 9)
        ):
            words = answer[5:7] if answer[4] == _DISCRETE else answer[5:9]
            rates |= {Fraction(words[i + 1], words[i]) for i in range(0, len(words), 2) if words[i]}
            if answer[4] != _DISCRETE:
                break
        return tuple(sorted(rates, reverse=True))

    def _ask(self, request: int, layout: struct.Struct, *values: Any) -> tuple[Any, ...]:
        memory = bytearray(layout.pack(*values))
        fcntl.ioctl(self._file, request, memory)
        return layout.unpack(memory)


def _listed(ask: Callable[[int], tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Answers for index 0, 1, ... until the driver has no more, or keeps no such list."""
    for index in range(_MOST):
        try:
            yield ask(index)
        except OSError:
            return


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace").strip()


def _fourcc(format: int) -> str:
    """Four characters; the top bit marks big-endian formats and is no part of the last one."""
    return struct.pack("<I", format & 0x7FFFFFFF).decode("latin-1").rstrip()
