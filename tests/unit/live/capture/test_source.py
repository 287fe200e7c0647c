"""The source that keeps going: servers that are killed, stopped and started again, and readers that hang."""

import itertools
import resource
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.capturing import HangingCapture, Viewer, live, reader_threads, seconds_until
from helpers.live import shot
from helpers.streams import StreamServer, write_stream_clip

from malle_rt.errors import PipelineError, SourceError
from malle_rt.frame import VideoInfo
from malle_rt.live.capture import reconnector
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.source import LiveSource
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.media.synthetic import CollectSink
from malle_rt.media.template import Template
from malle_rt.pipeline import Pipeline, PipelineConfig
from malle_rt.shown import shown_address


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rtsp", "udp", "http"])
def test_a_server_that_is_killed_and_comes_back(kind, clip):
    with StreamServer(kind, clip) as server, Viewer(live(server.url)) as viewer:
        source = viewer.source
        assert (source.status.state, source.status.connection, source.status.problem) == ("live", 1, None)
        assert source.template.others
        seconds_until(lambda: len(viewer.seen) > 40, 5)
        heard = len(viewer.sound)
        assert heard > 40
        assert 20 < source.status.rate.fps() < 30

        server.kill()
        assert seconds_until(lambda: source.status.state == "lost", 5) < 2.5
        assert source.status.problem.startswith(f"no picture from {shown_address(server.url)} for ")
        assert "reconnecting" in source.status.problem and "(attempt " in source.status.problem
        assert time.monotonic() - 5 < source.status.lost_since < time.monotonic()

        server.restart()
        seconds_until(lambda: source.status.state == "live", 10)
        seconds_until(lambda: viewer.seen[-1][0] == 2 and len(viewer.sound) > heard + 20, 5)
        assert (source.status.connection, source.status.problem, source.status.lost_since) == (2, None, None)
    check_timeline(viewer)
    assert source.status.state == "ended"
    assert source.channel.came == len(viewer.seen) + source.dropped


def check_timeline(viewer):
    """Time rises all the way, and as fast as on the clock, give or take what is read ahead of the first picture."""
    instants = [seconds for _, _, seconds, _ in viewer.seen]
    assert all(b > a for a, b in itertools.pairwise(instants))
    begins = [next(s for s in viewer.seen if s[0] == number) for number in (1, 2)]
    passed = begins[1][3] - begins[0][3]
    assert float(begins[1][2] - begins[0][2]) == pytest.approx(passed, abs=1.5)
    times = [p.payload.pts * p.payload.time_base for p in viewer.sound]
    assert all(b > a for a, b in itertools.pairwise(times))
    assert float(times[-1] - instants[-1]) == pytest.approx(0, abs=0.5), "sound and picture stay together"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rtsp", "udp"])
def test_a_server_that_stalls_and_goes_on(kind, clip):
    with StreamServer(kind, clip) as server, Viewer(live(server.url)) as viewer:
        seconds_until(lambda: len(viewer.seen) > 10, 5)
        server.stall()
        assert seconds_until(lambda: viewer.source.status.state == "lost", 5) < 2.5
        server.go_on()
        seconds_until(
            lambda: viewer.source.status.connection == 2 and viewer.source.status.state == "live", 15
        )
        seconds_until(lambda: viewer.seen[-1][0] == 2, 2)


@pytest.mark.slow
def test_other_sound_and_another_size_after_a_reconnection(tmp_path, caplog):
    changing = write_stream_clip(tmp_path / "clip.ts", frames=50)
    with StreamServer("udp", changing) as server, Viewer(live(server.url)) as viewer:
        seconds_until(lambda: viewer.sound, 5)
        server.kill()
        seconds_until(lambda: viewer.source.status.state == "lost", 5)
        heard = len(viewer.sound)
        write_stream_clip(changing, frames=50, size=(128, 96), sample_rate=44100)
        server.restart()
        seconds_until(lambda: len([seen for seen in viewer.seen if seen[0] == 2]) > 30, 15)
    assert viewer.sizes == {1: {(160, 96)}, 2: {(128, 96)}}
    assert len(viewer.sound) == heard
    assert caplog.text.count("the sound has other parameters") == 1


@pytest.mark.slow
def test_what_was_never_there_is_an_error(clip):
    with StreamServer("silent", clip) as server:
        begin = time.monotonic()
        with pytest.raises(SourceError, match="no answer within 1 s"):
            live(server.url, opening=1.0)
        assert time.monotonic() - begin < 2
    with pytest.raises(SourceError, match="no such file"):
        live("missing.mp4")
    seconds_until(lambda: not reader_threads(), 2)


@pytest.mark.slow
def test_a_file_ends(clip):
    with Viewer(live(str(clip))) as viewer:
        assert viewer.done.wait(10)
        assert (viewer.source.status.state, viewer.source.status.problem) == ("ended", None)
        shown = [index for _, index, _, _ in viewer.seen]
        assert shown == sorted(shown) and shown[-1] == 99
        assert len(shown) == 100 - viewer.source.dropped


def test_interrupt_while_all_is_well(clip):
    with Viewer(live(str(clip), loop=True)) as viewer:
        check_end(viewer)


@pytest.mark.slow
def test_interrupt_while_the_server_stalls(clip):
    with StreamServer("rtsp", clip) as server, Viewer(live(server.url)) as viewer:
        server.stall()
        check_end(viewer)
        server.go_on()
        seconds_until(lambda: not reader_threads(), 5)


@pytest.mark.slow
def test_interrupt_while_it_waits_to_reconnect(clip):
    with StreamServer("rtsp", clip) as server, Viewer(live(server.url)) as viewer:
        server.kill()
        seconds_until(lambda: "in 2 s (attempt 3)" in (viewer.source.status.problem or ""), 10)
        check_end(viewer)
        assert not reader_threads()


@pytest.mark.slow
def test_interrupt_while_it_reconnects(clip):
    with StreamServer("rtsp", clip) as server, Viewer(live(server.url)) as viewer:
        server.kill()
        with StreamServer("silent", clip, port=server.port):
            seconds_until(lambda: "reconnecting (attempt" in (viewer.source.status.problem or ""), 5)
            check_end(viewer)
            assert viewer.source.abandoned == 1
        seconds_until(lambda: not reader_threads(), 5)
        assert viewer.source.abandoned == 0


def check_end(viewer):
    """Iteration ends at once, and closing takes no longer than promised."""
    viewer.source.interrupt()
    assert viewer.done.wait(0.5), "the iteration goes on"
    begin = time.monotonic()
    viewer.source.close()
    assert time.monotonic() - begin < 2
    assert viewer.error is None
    assert viewer.source.status.state == "ended"


@pytest.mark.slow
def test_a_reader_that_hangs_is_given_up():
    captures = []

    def opener():
        captures.append(HangingCapture())
        return captures[-1]

    with Viewer(LiveSource(opener, stall=0.3)) as viewer:
        seconds_until(lambda: viewer.source.status.connection == 2, 5)
        assert viewer.source.abandoned == 1
        check_end(viewer)
        assert not any(capture.closed for capture in captures)
        for capture in captures:
            capture.let_go.set()
        seconds_until(lambda: not reader_threads(), 2)
        assert all(capture.closed for capture in captures)
        assert viewer.source.abandoned == 0
    assert {number for number, *_ in viewer.seen} == {1, 2}


@pytest.mark.slow
def test_readers_that_hang_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(reconnector, "_BACK_OFF", (0.01,))
    captures = []

    def opener():
        captures.append(HangingCapture())
        return captures[-1]

    with Viewer(LiveSource(opener, stall=0.05)) as viewer:
        seconds_until(lambda: viewer.source.abandoned == 4, 5)
        time.sleep(0.5)
        assert len(captures) == 4
        captures[0].let_go.set()
        seconds_until(lambda: len(captures) == 5, 2)
        for capture in captures:
            capture.let_go.set()


@pytest.mark.slow
def test_the_pause_between_attempts_grows():
    attempts = []

    def opener():
        attempts.append(time.monotonic())
        if len(attempts) > 1:
            raise SourceError("camera 7: not there")
        return Unplugged()

    with Viewer(LiveSource(opener)):
        seconds_until(lambda: len(attempts) == 4, 6)
    pauses = [b - a for a, b in itertools.pairwise(attempts)]
    assert pauses == pytest.approx([0.5, 1, 2], abs=0.3)


class Unplugged:
    """A camera that gives one picture."""

    description = "camera 7, 64x48 at 30 fps"
    template = Template(info=VideoInfo(64, 48, "yuv420p", Fraction(1, 30)))

    def __iter__(self):
        yield shot(0)
        raise SourceError("camera 7: unplugged")

    def close(self):
        pass


@pytest.mark.slow
def test_memory_stays_flat_over_many_connections(clip, monkeypatch):
    monkeypatch.setattr(reconnector, "_BACK_OFF", (0.01,))
    threads = []

    def opener():
        threads.append(threading.active_count())
        return Breaking(str(clip))

    with Viewer(LiveSource(opener)) as viewer:
        seconds_until(lambda: viewer.source.status.connection > 5, 20)
        before = resident_megabytes()
        seconds_until(lambda: viewer.source.status.connection > 25, 30)
        assert resident_megabytes() - before < 8
    assert max(threads[5:]) == max(threads[:5])


class Breaking(StreamCapture):
    """A real file that breaks after five pictures."""

    def __init__(self, path):
        super().__init__(CaptureRequest(device=path))

    def __iter__(self):
        yield from itertools.islice(super().__iter__(), 10)
        raise SourceError("broken")


def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.slow
def test_under_a_pipeline(clip):
    sink = CollectSink()
    source = live(str(clip), loop=True)
    pipeline = Pipeline(source, Untouched(), sink, PipelineConfig(depth=1))
    stop = threading.Timer(1.0, pipeline.stop)
    stop.start()
    begin = time.monotonic()
    report = pipeline.run()
    stop.join()
    assert time.monotonic() - begin < 3
    assert report.stopped and sink.finished
    assert len(sink.frames) > 10
    assert report.frames_in == source.channel.came == len(sink.frames) + source.dropped


@pytest.mark.slow
def test_a_source_that_breaks_after_its_first_picture_ends_the_pipeline_with_its_reason(monkeypatch):
    monkeypatch.setattr(reconnector.Reconnector, "_pause", lambda *_: time.sleep(0.5) or 1 / 0)
    sink = CollectSink()
    with pytest.raises(PipelineError, match="malle-source: division by zero"):
        Pipeline(LiveSource(Unplugged), Untouched(), sink).run()
    assert sink.aborted and not reader_threads()


@pytest.mark.slow
def test_the_reader_puts_its_pictures_straight_into_the_pipeline(clip):
    names = set()

    class Watching(Untouched):
        def start(self, frame):
            names.update(thread.name for thread in threading.enumerate())
            return super().start(frame)

    Pipeline(live(str(clip)), Watching(), CollectSink(), PipelineConfig(depth=1)).run()
    ours = {name for name in names if name.startswith("malle-")}
    assert ours == {"malle-capture", "malle-reader-1", "malle-denoise", "malle-sink"}


class Untouched:
    """A denoiser that leaves everything as it is."""

    ahead = 0

    def start(self, frame):
        return lambda: frame

    def close(self):
        pass
