"""One connection to a receiver, which here is a file."""

import subprocess
import threading
from dataclasses import replace

import av
import pytest
from helpers.outlets import bare_template

from malle_rt.live.outlets import push
from malle_rt.live.outlets.push import Connection, low_delay_config
from malle_rt.media.synthetic import SyntheticSource


def test_a_camera_slower_than_announced_has_keyframes_by_the_clock(tmp_path):
    template = bare_template()
    config = low_delay_config(template.info)  # 50 pictures from one to the next
    source = SyntheticSource(12, (template.info.width, template.info.height))
    path = tmp_path / "sent.nut"
    sent = None
    for number, frame in enumerate(source):
        slow = replace(frame, pts=round(number * 0.75 / frame.time_base))
        if sent is None:
            command = ["sh", "-c", f"cat > {path}"]
            sent = Connection(command, template, config, slow, threading.Event())
        sent.write(slow)
    sent.finish()
    assert sent.connected  # all was taken, although nobody said so
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        keys = [float(packet.pts * packet.time_base) for packet in packets]
    assert keys == pytest.approx([0, 2.25, 4.5, 6.75], abs=0.05)


def test_a_pipe_that_cannot_be_opened_leaves_no_process(monkeypatch):
    started = []
    popen = subprocess.Popen

    def start(*words, **options):
        started.append(popen(*words, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(push, "PIPE_FORMAT", "nothing of that name")
    frame, template = next(iter(SyntheticSource(1, (64, 48)))), bare_template()
    config = low_delay_config(template.info)
    with pytest.raises(ValueError, match="nothing of that name"):
        Connection(["sleep", "60"], template, config, frame, threading.Event())
    assert started[0].poll() is not None
