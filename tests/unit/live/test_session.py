"""A whole session, watched through its desk as a window or a page would."""

import re
import threading
import time
import urllib.request
from pathlib import Path

import av
import pytest
from helpers.streams import free_port

from malle_rt.backends.select import select_backend
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import ConfigError, SourceError
from malle_rt.live import overview
from malle_rt.live import session as session_module
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.source import open_capture
from malle_rt.live.config import LiveConfig
from malle_rt.live.denoiser import LiveDenoiser
from malle_rt.live.session import LiveSession
from malle_rt.live.web.address import WebAddress
from malle_rt.media.encode_config import EncodeConfig

TESTSRC = CaptureRequest(device="lavfi:testsrc2=size=160x96:rate=25")


def config(tmp_path, **changes):
    # The page is never asked for: it only lets the session run without a window.
    chosen = {"capture": TESTSRC, "window": False, "record": tmp_path / "a.mkv", "folder": tmp_path}
    return LiveConfig(**{**chosen, **changes})


class Running:
    """A session in a thread of its own; a context manager."""

    def __init__(self, chosen):
        self.session = LiveSession(chosen)
        self._thread = threading.Thread(target=self._run)
        self.report = self.failure = None

    def _run(self):
        try:
            self.report = self.session.run()
        except Exception as error:
            self.failure = error

    def wait_for(self, ready, seconds=20):
        end = time.monotonic() + seconds
        while not (found := ready()):
            assert time.monotonic() < end
            assert self._thread.is_alive()
            time.sleep(0.01)
        return found

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.session.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.session.close()


def test_a_viewer_sees_the_newest_pair_and_the_figures(tmp_path):
    with Running(config(tmp_path)) as running:
        desk = running.session
        number, shot = running.wait_for(lambda: desk.latest.wait(0, 0.1)[1] and desk.latest.wait(0, 0.1))
        assert shot.raw.pts == shot.pts
        assert shot.raw.planes[0].shape == (96, 160)
        running.wait_for(lambda: desk.latest.wait(number, 0.1)[1])
        running.wait_for(lambda: desk.statistics().shown_fps > 1)
        seen = desk.statistics()
        assert seen.state == "live"
        assert seen.source.startswith("lavfi:testsrc2")
        assert seen.backend.startswith("openvino rt-s")
        assert seen.automatic
        assert seen.frames_out >= 2
        assert seen.recording == str(tmp_path / "a.mkv")
    assert running.report.saved == (tmp_path / "a.mkv",)
    assert running.report.frames_in == running.report.frames_out + running.report.dropped
    assert not desk.running


def test_the_controls_reach_the_pictures(tmp_path):
    with Running(config(tmp_path)) as running:
        desk = running.session
        desk.controls.set_strength(33.0)
        shot = running.wait_for(
            lambda: (found := desk.latest.wait(0, 0.1)[1]) and found.sigma == 33 and found
        )
        assert (shot.planes[0] != shot.raw.planes[0]).any()
        desk.controls.set_strength(0.0)
        shot = running.wait_for(lambda: (found := desk.latest.wait(0, 0.1)[1]) and found.sigma == 0 and found)
        assert (shot.planes[0] == shot.raw.planes[0]).all()


def test_snapshots_and_recordings_are_told(tmp_path):
    chosen = config(tmp_path, record=None, web=WebAddress.parse("127.0.0.1:0"))
    with Running(chosen) as running:
        desk = running.session
        shot = running.wait_for(lambda: desk.latest.wait(0, 0.1)[1])
        desk.snapshot(shot)
        running.wait_for(lambda: len(list(tmp_path.glob("*.png"))) == 2)
        running.wait_for(lambda: "-clean.png" in (desk.statistics().message or ""))
        desk.toggle_recording()
        running.wait_for(lambda: desk.statistics().recorded_seconds > 0.2)
        path = Path(desk.statistics().recording)
        desk.toggle_recording()
        running.wait_for(path.exists)
        running.wait_for(lambda: desk.statistics().message == f"saved {path}")
        assert desk.recordings == (path,)
        download = desk.url.replace("/?", f"/recordings/{path.name}?")
        assert urllib.request.urlopen(download, timeout=10).read() == path.read_bytes()
        assert desk.statistics().recording is None


@pytest.mark.slow
def test_what_is_too_old_is_not_shown_and_said(tmp_path):
    with Running(config(tmp_path, max_latency=1e-6)) as running:
        desk = running.session
        running.wait_for(lambda: desk.statistics().late > 3)
        running.wait_for(lambda: "not shown" in (desk.statistics().message or ""))
        assert desk.latest.wait(0, 0)[1] is None
    assert running.report.late > 3


def test_outputs_are_told_without_their_keys(tmp_path):
    nobody = f"tcp://127.0.0.1:{free_port()}/?key=secret"
    with Running(config(tmp_path, record=None, outputs=(nobody,))) as running:
        desk = running.session
        running.wait_for(lambda: desk.statistics().message)
        seen = desk.statistics()
        assert seen.outputs[0].startswith("tcp://127.0.0.1") and "running" not in seen.outputs[0]
        assert "secret" not in seen.outputs[0] + seen.message
    assert "secret" not in running.report.summary()


def test_it_ends_when_nothing_takes_the_pictures_any_more(tmp_path):
    broken = EncodeConfig(codec="rawvideo")  # which .mp4 files cannot hold
    report = LiveSession(config(tmp_path, record=tmp_path / "a.mp4", encode=broken)).run()
    assert report.problems
    assert not report.saved


@pytest.mark.slow
def test_it_ends_by_itself_after_its_time(tmp_path):
    begin = time.monotonic()
    report = LiveSession(config(tmp_path, duration=0.6)).run()
    assert 0.5 < time.monotonic() - begin < 10
    assert report.saved
    assert "fps over" in report.summary()


def test_without_a_network_pictures_pass_through(tmp_path):
    with Running(config(tmp_path, denoise=DenoiseConfig(backend="none"))) as running:
        shot = running.wait_for(lambda: running.session.latest.wait(0, 0.1)[1])
        assert (shot.planes[0] == shot.raw.planes[0]).all()
    assert running.report.backend.startswith("none")


def test_what_cannot_be_opened_leaves_nothing_open(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.mp4"):
        LiveSession(config(tmp_path, capture=CaptureRequest(device=str(tmp_path / "nowhere.mp4"))))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"view": "nope"}, "view must be one of"),
        ({"duration": 0.0}, "duration must be positive"),
        ({"max_latency": -1.0}, "max_latency must be positive"),
        ({"token": "x"}, "token needs the page"),
        ({"record": None}, "no window and no output"),
        ({"outputs": ("gopher://127.0.0.1/x",)}, "gopher"),
        ({"folder": Path("nowhere at all")}, "folder must be one that exists"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        config(tmp_path, **changes)


@pytest.mark.slow
def test_a_picture_slower_than_its_source_is_said_once_with_the_figures(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(overview, "_LASTING", 0.5)
    start = LiveDenoiser.start

    def slow(self, frame):
        time.sleep(0.1)
        return start(self, frame)

    monkeypatch.setattr(LiveDenoiser, "start", slow)
    with Running(config(tmp_path)) as running:
        running.wait_for(lambda: "of the source's" in caplog.text)
        time.sleep(1)
    told = [each.message for each in caplog.records if "of the source's" in each.message]
    assert len(told) == 1
    assert re.search(
        r"at \d+\.\d of the source's \d+\.\d fps: denoising 160x96 takes \d+ ms a frame", told[0]
    )
    assert "openvino rt-s" in told[0] and "--scale auto" in told[0]


@pytest.mark.slow
def test_a_clean_source_is_left_alone_and_that_is_said(tmp_path):
    gray = CaptureRequest(device="lavfi:color=gray:size=160x96:rate=25")
    summary = LiveSession(config(tmp_path, capture=gray, duration=1.0)).run().summary()
    assert "almost no noise found; `--strength 4` cleans anyway" in summary
    by_hand = DenoiseConfig(strength=4)
    report = LiveSession(config(tmp_path, capture=gray, duration=1.0, denoise=by_hand, overwrite=True)).run()
    assert report.untouched == 0 and "almost no noise" not in report.summary()


def test_a_recording_is_as_large_as_what_is_denoised(tmp_path):
    with Running(config(tmp_path, scale="1/2")) as running:
        desk = running.session
        running.wait_for(lambda: desk.statistics().frames_out > 3)
        seen = desk.statistics()
        assert (seen.size, seen.scale, seen.automatic_scale) == ((80, 48), "1/2", False)
        running.wait_for(lambda: desk.statistics().recorded_seconds > 0.2)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (80, 48)


def test_the_network_and_the_size_that_keep_the_rate_are_chosen_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_FASTEST_FIRST", ("rt-s", "rt-m"))
    times = {("rt-s", 160): 0.06}
    monkeypatch.setattr(
        session_module, "_seconds_of", lambda asked, width, height, rate: times[asked.model, width]
    )
    chosen = config(tmp_path, scale="auto", denoise=DenoiseConfig(model="auto"))
    with Running(chosen) as running:
        desk = running.session
        assert "rt-s" in desk.backend
        assert desk.fit.startswith("rt-s at 80x48, 1/2 of the source's size, takes about 15 ms of the 40 ms")
        running.wait_for(lambda: desk.statistics().frames_out > 1)
        assert desk.statistics().automatic_scale


@pytest.mark.parametrize(("hwaccel", "wanted"), [("auto", 1), ("none", None)])
def test_the_gpu_that_denoises_may_decode_the_stream(tmp_path, monkeypatch, hwaccel, wanted):
    class OnGpu(FrameDenoiser):
        gpu = 1

    def opened(denoise):
        selection = select_backend(denoise)
        return OnGpu(selection.backend, denoise), str(selection), "short"

    asked = []
    monkeypatch.setattr(session_module, "_open_denoiser", opened)
    monkeypatch.setattr(
        session_module, "open_capture", lambda request: asked.append(request) or open_capture(request)
    )
    LiveSession(config(tmp_path, hwaccel=hwaccel)).close()
    assert [each.gpu for each in asked] == [wanted]


def test_live_pictures_have_no_other_hwaccel(tmp_path):
    with pytest.raises(ConfigError, match="hwaccel must be auto or none for live pictures, got 'cuda'"):
        config(tmp_path, hwaccel="cuda")
