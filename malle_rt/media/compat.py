"""Where PyAV versions differ, and what PyAV cannot name, in one place: we run on 17.1 to 19.

PyAV turns many of FFmpeg's numbers into members of enumerations, and FFmpeg learns new numbers first: the side data
of a frame (an EXIF orientation, the layers of a 3D phone clip), what a stream is for, flags of formats and codecs,
kinds of pictures, colours. One number without a name raises ValueError, for side data when the first of a
frame is asked for, and with it all the others are lost. Importing this module gives such numbers members named
"UNKNOWN_31", so nothing fails and the known ones beside them are kept.
"""

from __future__ import annotations

import enum
import importlib
from fractions import Fraction
from typing import Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import SideDataContainer, Type

__all__ = ["add_copy", "can_keep_on_gpu", "exact", "open_reading", "side_data_bytes"]

# Modules of PyAV with enumerations whose values come from files.
_WITH_ENUMERATIONS = (
    "av.sidedata.sidedata",
    "av.sidedata.encparams",
    "av.stream",
    "av.format",
    "av.codec.codec",
    "av.codec.context",
    "av.video.frame",
    "av.video.reformatter",
    "av.container.core",
)

# FFmpeg's numbers of side data that PyAV has names for since version 19 only.
_SIDE_DATA = {"VIEW_ID": 29}

# A title in a broken encoding must not stop the film. PyAV 19 keeps such bytes by itself and has no such option.
_TOLERANT = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}


def open_reading(source: Any, **options: Any) -> InputContainer:
    """Open an input, whatever the encoding of its texts.

    Args:
        source: a path, an address or an object with ``read``.
        options: further ones of ``av.open``.

    Raises:
        av.error.FFmpegError: it cannot be opened; OSError and ValueError likewise.
    """
    return cast(InputContainer, cast(Any, av).open(source, "r", **_TOLERANT, **options))


def exact(value: Any) -> Fraction:
    """A rational number of PyAV's as the standard library's: since PyAV 19 it has a type of its own."""
    return Fraction(value)


def add_copy(container: OutputContainer, source: Any) -> Any:
    """Add a stream for packets of ``source`` as they are.

    Without ``opaque``, PyAV looks for an encoder of a video stream's codec, and FFmpeg may have none.
    """
    return container.add_stream_from_template(source, opaque=True)


def can_keep_on_gpu() -> bool:
    """Whether decoders and encoders can leave pictures on a GPU and say what these hold (PyAV 18).

    PyAV 17 does a part of it, but its encoders bring each picture to host memory without a word.
    """
    return hasattr(av.VideoFrame, "sw_format")


def side_data_bytes(picture: av.VideoFrame, kind: str) -> bytes:
    """Bytes of one kind of side data, by FFmpeg's name of it; empty when there is none.

    Not by ``picture.side_data``: before PyAV 19 the picture keeps that, and it the picture, a cycle that keeps both
    in memory until the next garbage collection.
    """
    key = Type(_SIDE_DATA[kind]) if kind in _SIDE_DATA else kind
    try:
        found: Any = cast(Any, SideDataContainer)(picture).get(key)
    except KeyError:  # this PyAV does not know the kind
        return b""
    return b"" if found is None else bytes(found)


def _unnamed(cls: type[enum.Enum], value: object) -> enum.Enum | None:
    """The member for a number without a name; the same one each time, None for what is no number."""
    if not isinstance(value, int):
        return None
    if issubclass(cls, enum.Flag):
        try:
            return enum.Flag._missing_.__func__(cls, value)  # type: ignore[attr-defined, no-any-return]
        except ValueError:  # a bit that has no name
            pass
    member: Any = int.__new__(cls, value) if issubclass(cls, int) else object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    known: dict[int, enum.Enum] = cls._value2member_map_
    return known.setdefault(value, member)


def _accept_unknown() -> None:
    """Give every enumeration of PyAV that files choose from the members above, before the first file is opened."""
    for name in _WITH_ENUMERATIONS:
        module = importlib.import_module(name)
        for kind in vars(module).values():
            # Flags of type int keep unknown bits by themselves.
            if isinstance(kind, enum.EnumMeta) and len(kind) and not issubclass(kind, enum.IntFlag):
                cast(Any, kind)._missing_ = classmethod(_unnamed)


_accept_unknown()
