"""A picture that cannot fit is refused with the figures; one that can is not."""

import errno
import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from malle_rt import memory
from malle_rt.cli.telling import report_error
from malle_rt.errors import BackendError, ConfigError, OutOfDeviceMemory, PipelineError, SinkError
from malle_rt.frame import Frame
from malle_rt.media.demux import VideoInput
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.memory import available_memory, lacks_memory, require_memory
from malle_rt.pipeline.channel import Channel
from malle_rt.pipeline.config import PipelineConfig


def test_what_is_too_large_is_refused_with_the_figures(monkeypatch):
    monkeypatch.setattr(memory, "_machine", lambda: 2 * 2**30)
    with pytest.raises(
        ConfigError, match=r"8192x4320 needs about 3\.6 GiB of memory, [12]\.\d GiB can be had"
    ):
        require_memory(8192, 4320)
    require_memory(640, 360)


def test_nothing_is_refused_where_nothing_is_known(monkeypatch):
    for name in ("_machine", "_group", "_address_space"):
        monkeypatch.setattr(memory, name, lambda: None)
    assert available_memory() is None
    require_memory(100_000, 100_000)


def test_a_limit_of_addresses_has_to_hold_what_libraries_claim(monkeypatch):
    monkeypatch.setattr(memory, "_address_space", lambda: 400 << 20)
    with pytest.raises(ConfigError, match=r"320x180 needs about 0\.5 GiB of memory, 0\.4 GiB can be had"):
        require_memory(320, 180)
    monkeypatch.setattr(memory, "_address_space", lambda: 600 << 20)
    require_memory(320, 180)


def tell_line(error):
    with redirect_stderr(StringIO()) as told:
        assert report_error(error, verbose=False) == 1
    return told.getvalue()


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.ENOMEM, "no"),
        RuntimeError("can't start new thread"),
        BackendError("OpenVINO cannot compile rt-s: std::bad_alloc"),
        ImportError("libx.so: failed to map segment from shared object"),
        PipelineError("malle-denoise", RuntimeError("Failed to allocate 70479360 bytes of memory")),
        chained(SinkError("the encoder failed"), chained(RuntimeError("why"), MemoryError())),
    ],
)
def test_failures_for_want_of_memory_are_known_by_whoever_tells_of_them(error):
    assert lacks_memory(error)
    assert tell_line(error) == "malle-rt: error: no memory left. Close other programs, raise the limits " + (
        "(ulimit -v, -u), or take a smaller video\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        SinkError("x.mkv: the disk is full"),
        OutOfDeviceMemory("the GPU failed to allocate 1 GiB"),
        ConfigError("8192x4320 needs about 3.6 GiB of memory"),
        chained(
            SinkError("encoder"), av.error.ExternalError(-542398533, "Generic error in an external library")
        ),
    ],
)
def test_other_failures_are_not_blamed_on_it(error):
    assert not lacks_memory(error)


def test_an_encoder_that_fails_at_the_limit_failed_for_want_of_memory(monkeypatch):
    error = chained(SinkError("encoder"), RuntimeError("Generic error in an external library"))
    taken = int(re.search(r"VmPeak:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    monkeypatch.setattr(memory, "_limit", lambda: taken + (1 << 20))
    assert lacks_memory(error)
    monkeypatch.setattr(memory, "_limit", lambda: taken + (1 << 30))
    assert not lacks_memory(error)


def test_a_decoder_without_memory_does_not_make_the_data_damaged():
    def decode(packet):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    reader = VideoInput(
        SimpleNamespace(format=SimpleNamespace(name="mov", flags=0)),
        None,
        "a.mkv",
        SimpleNamespace(decode=decode),
    )
    with pytest.raises(MemoryError):
        reader.decode(None)
    assert reader.corrupt_packets == 0


def test_large_pictures_wait_in_smaller_numbers():
    channel = Channel(PipelineConfig(depth=8, megabytes=1))
    frames = [item for item in SyntheticSource(4, (1024, 512)) if isinstance(item, Frame)]
    channel.put(frames[0])  # 0.8 MB
    assert not channel._is_full(frames[1])
    channel.put(frames[1])
    assert channel._is_full(frames[2])
