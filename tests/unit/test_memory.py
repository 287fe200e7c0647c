"""A picture that cannot fit is refused with the figures; one that can is not."""

import pytest

from malle_rt import memory
from malle_rt.errors import ConfigError
from malle_rt.frame import Frame
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.memory import available_memory, require_memory
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


def test_large_pictures_wait_in_smaller_numbers():
    channel = Channel(PipelineConfig(depth=8, megabytes=1))
    frames = [item for item in SyntheticSource(4, (1024, 512)) if isinstance(item, Frame)]
    channel.put(frames[0])  # 0.8 MB
    assert not channel._is_full(frames[1])
    channel.put(frames[1])
    assert channel._is_full(frames[2])
