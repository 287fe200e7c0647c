"""The process behind ``Relay``: sends the video on its standard input to a URL, without looking into it.

Run as ``python -m malle_rt.live.outlets.sender URL FORMAT``. Says "connected" on standard output, and on standard
error in one line why it ends, if that is before its input does.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import av

from malle_rt.live.outlets.relay import PIPE_FORMAT
from malle_rt.media.compat import add_copy

__all__ = ["main"]

# The tracks' headers say all: reading ahead would only add delay.
_READING = {"probesize": "32", "analyzeduration": "0"}
# Seconds for one call to the network.
_PATIENCE = 20
# Microseconds that a picture waits for sound that does not come.
_WRITING = {"flush_packets": "1", "max_interleave_delta": "200000"}
_BY_FORMAT = {"rtsp": {"rtsp_transport": "tcp"}, "flv": {"flvflags": "no_duration_filesize"}}


def main(url: str, form: str) -> int:
    """Send until the input ends; returns the exit code."""
    try:
        _send(url, form)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        sys.stderr.write(f"{getattr(exc, 'strerror', None) or exc}\n")
        return 1
    return 0


def _send(url: str, form: str) -> None:
    # Not sys.stdin: a buffered file waits until it can give as much as was asked for.
    with av.open("pipe:0", format=PIPE_FORMAT, options=_READING) as source:
        target = av.open(url, "w", format=form, container_options=_WRITING | _BY_FORMAT.get(form, {}))
        with target:
            tracks = [add_copy(target, stream) for stream in source.streams]
            with _bounded():
                target.start_encoding()
            sys.stdout.write("connected\n")
            sys.stdout.flush()
            for packet in source.demux():
                if packet.size:
                    if packet.dts is None:  # not known of the first picture without reading ahead
                        packet.dts = packet.pts
                    packet.stream = tracks[packet.stream_index]
                    with _bounded():
                        target.mux(packet)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End this process where a call takes too long, so that it does not outlive a session that was killed.

    By the alarm's own, fatal action: no handler of Python's would run while FFmpeg is in the call.
    """
    if not hasattr(signal, "alarm"):  # Windows
        yield
        return
    signal.alarm(_PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
