"""Open a stream, a file or a source graph with little delay and with an end to every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from malle_rt.errors import SourceError
from malle_rt.live.capture.device import Address
from malle_rt.media.compat import open_reading
from malle_rt.media.opening import check_file, open_file
from malle_rt.media.play_lists import UDP_OPTIONS, address_options, list_kind, names_others

__all__ = ["Timeouts", "connect"]

# For whatever sends at its own pace. Half of FFmpeg's usual look at a stream; its option "nobuffer" is left out:
# it throws away what that look has read, so that the first picture has to wait for the next keyframe, and what
# is gained by it is gained by dropping old frames too.
_LOW_DELAY = (
    {
        "probesize": "1000000",  # bytes
        "analyzeduration": "1000000",  # microseconds
        "max_delay": "100000",  # microseconds that RTP packets are waited for, to put them in order
        "rtsp_flags": "prefer_tcp",  # no lost packets; UDP where the server does not want it or the URL ends in ?udp
    }
    | UDP_OPTIONS
)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds after which an input counts as gone.

    Attributes:
        opening: until it is open, and from then to the first picture.
        reading: for each packet.
    """

    opening: float = 10.0
    reading: float = 2.0


def connect(address: Address, timeouts: Timeouts) -> InputContainer:
    """Open an input for reading.

    Raises:
        SourceError: what is wrong with it, and what to do; without any password.
    """
    if address.kind == "file":
        check_file(address.target)
    begin = time.monotonic()
    try:
        return _open(address, timeouts)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        # When time is up, FFmpeg may say anything, such as "invalid data".
        timed_out = isinstance(exc, av.error.ExitError | av.error.TimeoutError)
        late = timed_out or time.monotonic() - begin >= timeouts.opening
        reason = _no_answer(address, timeouts) if late else _reason(address, exc)
    # Outside the handler: FFmpeg's own error names the URL with its password, and would be shown as the context.
    raise SourceError(f"{address.shown}: {reason}")


def _open(address: Address, timeouts: Timeouts) -> InputContainer:
    if address.kind == "lavfi":
        return open_reading(address.target, format="lavfi")
    if address.kind == "file":
        return open_file(address.target)
    timeout = (timeouts.opening, timeouts.reading)
    return open_reading(address.target, options=_LOW_DELAY | address_options(address.target), timeout=timeout)


def _no_answer(address: Address, timeouts: Timeouts) -> str:
    if address.target.startswith("udp"):
        return (
            f"nothing has come within {timeouts.opening:g} s. Check that the sender runs and sends to this "
            "address and port"
        )
    return (
        f"no answer within {timeouts.opening:g} s. Check the address, the network and that the server is up"
    )


def _reason(address: Address, exc: Exception) -> str:
    if address.kind == "file" and (listed := list_kind(Path(address.target))):
        return names_others(listed)
    for kind, text in _REASONS.items():
        if isinstance(exc, kind):
            return text
    reason = getattr(exc, "strerror", None) or str(exc)
    if isinstance(exc, av.error.ProtocolNotFoundError) and address.target.lower().startswith("srt:"):
        return _NO_SRT
    if address.kind == "lavfi":
        return f"FFmpeg cannot make a source of it ({reason}). Try lavfi:testsrc2"
    if isinstance(exc, av.error.InvalidDataError):
        return (
            "not a video that FFmpeg can read: damaged, not complete, or no video at all. Try it in a player"
        )
    if address.kind == "file":
        return f"cannot be opened ({reason}). Try it in a player"
    return f"cannot be opened ({reason}). Check the address, the network and that the server is up"


# PyAV's wheels come without SRT; distributions build their ffmpeg program with it.
_NO_SRT = (
    "the FFmpeg that PyAV brings here has no SRT. Run ffmpeg -i srt://... -c copy -f mpegts udp://127.0.0.1:1234 "
    "beside it, and give --device udp://127.0.0.1:1234"
)
_REASONS: dict[type[Exception], str] = {
    av.error.HTTPUnauthorizedError: (
        "the server wants another user and password (401). Give them in the URL: scheme://user:password@host/..."
    ),
    av.error.HTTPForbiddenError: "the server does not let this user in (403). Ask who runs it",
    av.error.HTTPNotFoundError: "the server has nothing of that name (404). Check the end of the URL",
    av.error.ConnectionRefusedError: (
        "nothing listens there (connection refused). Check address and port, and that the server is up"
    ),
}
