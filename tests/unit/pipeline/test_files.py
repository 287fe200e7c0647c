"""The pipeline over real files: bit-exact, in order, and playable when stopped."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import NTSC, indices, instants, read_frames, write_clip, write_film

from malle_rt.errors import PipelineError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.pipeline import Pipeline, PipelineConfig

VFR = [0, 1, 2, 9, 10, 30, 31, 32, 60, 61, 62, 100]


class Through:
    def __init__(self, seconds: float = 0.0, fail_on: int | None = None) -> None:
        self._seconds = seconds
        self._left = fail_on

    ahead = 0

    def start(self, frame):
        time.sleep(self._seconds)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise RuntimeError("no more memory")
        return lambda: frame

    def close(self) -> None:
        pass


def run(path, target, denoiser=None, depth=2, config=None):
    source = FileSource(path)
    pipeline = Pipeline(
        source, denoiser or Through(), FileSink(target, source, config), PipelineConfig(depth=depth)
    )
    return pipeline, pipeline.run()


def frames_of(path):
    source = FileSource(path)
    try:
        return read_frames(source)[0]
    finally:
        source.close()


@pytest.mark.parametrize("timing", [{}, {"pts": VFR, "time_base": Fraction(1, 100)}])
def test_ffv1_passes_bit_exact_with_every_index_and_instant(tmp_path, timing):
    count = 12 if timing else 60
    path = write_clip(tmp_path / "a.nut", frames=count, **timing)
    _, report = run(path, tmp_path / "b.nut", config=EncodeConfig(codec="ffv1"))
    before, after = frames_of(path), frames_of(tmp_path / "b.nut")
    assert report.frames_out == count
    assert indices(after) == list(range(count))
    expected = [Fraction(pts, 100) for pts in VFR] if timing else [index / NTSC for index in range(count)]
    assert [frame.seconds for frame in after] == expected
    for one, other in zip(before, after, strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


def test_sound_reaches_the_output_even_where_it_is_stored_far_from_the_picture(tmp_path):
    path = write_film(tmp_path / "a.mkv", frames=100)
    run(path, tmp_path / "b.mkv", depth=1)
    assert instants(tmp_path / "b.mkv", "audio", 1) == instants(path, "audio", 1)
    assert instants(tmp_path / "b.mkv") == instants(path)


def test_stopping_leaves_a_playable_file(tmp_path):
    path = write_clip(tmp_path / "a.nut", frames=300)
    source = FileSource(path)
    pipeline = Pipeline(source, Through(seconds=0.005), FileSink(tmp_path / "b.mp4", source))
    threading.Timer(0.2, pipeline.stop).start()
    report = pipeline.run()
    assert report.stopped
    assert 0 < report.frames_out < 300
    assert indices(frames_of(tmp_path / "b.mp4")) == list(range(report.frames_out))


def test_a_failure_leaves_no_file(tmp_path):
    path = write_clip(tmp_path / "a.nut", frames=100)
    with pytest.raises(PipelineError, match="malle-denoise: no more memory"):
        run(path, tmp_path / "b.mkv", Through(fail_on=40))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nut"]


PROGRAM = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from malle_rt.media.file_sink import FileSink
    from malle_rt.media.synthetic import SyntheticSource
    from malle_rt.pipeline import Pipeline

    class Slow:
        ahead = 0
        def start(self, frame):
            time.sleep(0.01)
            return lambda: frame
        def close(self): pass

    source = SyntheticSource(60000, (64, 48))
    print("ready", flush=True)
    Pipeline(source, Slow(), FileSink({target!r}, source)).run()
"""


@pytest.mark.slow
def test_one_ctrl_c_finishes_and_two_give_up(tmp_path):
    for presses, target in ((1, tmp_path / "one.mkv"), (2, tmp_path / "two.mkv")):
        program = textwrap.dedent(PROGRAM).format(tests=str(tmp_path), target=str(target))
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path.cwd(),
        )
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.6)
        for _ in range(presses):
            child.send_signal(signal.SIGINT)
            # The second press comes while the first still waits for the slow denoiser to drain.
            time.sleep(0.02)
        _, errors = child.communicate(timeout=20)
        assert "KeyboardInterrupt" in errors
        if presses == 1:
            assert len(frames_of(target)) > 0
        else:
            assert not target.exists()
            assert not list(tmp_path.glob("two*"))
