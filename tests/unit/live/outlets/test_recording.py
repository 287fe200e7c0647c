"""Recordings begin in the middle of a stream, keep its instants, and are playable however they end."""

import signal
import subprocess
import time
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from helpers.outlets import START, bare_template, mixed, shots, sounding, until
from helpers.sink import read
from media import indices, instants

from malle_rt.child import module_command
from malle_rt.errors import ConfigError, SinkError
from malle_rt.live.outlets import naming
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.recording import Recording
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.template import Template

MILLISECOND = Fraction(1, 1000)


def record(path, items, template: Template | None = None, **options) -> Recording:
    recording = Recording(path, template or bare_template(), **options)
    for item in items:
        recording.write(item)
    recording.finish()
    return recording


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.nut"])
def test_the_file_begins_at_zero_and_keeps_the_instants(tmp_path, name):
    given = list(shots(60, first=100))
    # NUT has no place for the negative decoding times that B-frames would have.
    config = EncodeConfig(options={"bf": "0"}) if name == "a.nut" else None
    recording = record(tmp_path / name, given, config=config)
    wanted = [shot.seconds - given[0].seconds for shot in given]
    rounding = MILLISECOND / 2 if name == "a.mkv" else 0
    got = instants(tmp_path / name)
    assert len(got) == 60
    assert max(abs(one - other) for one, other in zip(got, wanted, strict=True)) <= rounding
    assert indices(read(tmp_path / name)[2]) == list(range(100, 160))
    assert recording.recorded_seconds == pytest.approx(float(wanted[-1]))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_sound_begins_with_the_first_picture_and_stays_in_step(tmp_path, name):
    with sounding(tmp_path, 3) as (template, packets):
        given = list(shots(40, first=20, start=START))
        before = [bytes(packet.payload) for packet in packets]
        record(tmp_path / name, mixed(given, packets), template)
        first = given[0].seconds
        wanted = [p.payload.pts * p.payload.time_base - first for p in packets]
        # The source's own packets are not written into: other outlets have them too.
        assert [bytes(packet.payload) for packet in packets] == before
    wanted = [instant for instant in wanted if instant >= 0]
    got = instants(tmp_path / name, "audio")
    # The last packets come after the last picture and are kept too.
    assert len(got) == len(wanted)
    assert max(abs(one - other) for one, other in zip(got, wanted, strict=True)) <= MILLISECOND
    with av.open(str(tmp_path / name)) as film:
        assert min(frame.time for frame in film.decode(audio=0)) == pytest.approx(float(wanted[0]), abs=0.03)


def test_a_gap_stays_a_gap_and_another_size_is_scaled(tmp_path):
    given = [*shots(10), *shots(10, first=10, size=(128, 96), start=START + 30)]
    record(tmp_path / "a.mkv", given)
    got = instants(tmp_path / "a.mkv")
    assert abs(got[10] - (given[10].seconds - given[0].seconds)) <= MILLISECOND
    info, _, frames, _ = read(tmp_path / "a.mkv")
    assert (info.width, info.height) == (64, 48)
    assert indices(frames) == list(range(20))


def test_the_decoders_own_picture_is_not_written_into(tmp_path):
    (shot,) = shots(1)
    # Another outlet may be reading the very same object.
    given = replace(shot, origin=object())
    record(tmp_path / "a.mkv", [given])
    assert len(instants(tmp_path / "a.mkv")) == 1


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("none/a.mkv", SinkError, "no folder"),
        ("a.xyz", ConfigError, "no container format"),
        ("there.mkv", SinkError, "exists already"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_frame(tmp_path, name, error, message):
    (tmp_path / "there.mkv").write_bytes(b"precious")
    with pytest.raises(error, match=message):
        Recording(tmp_path / name, bare_template())
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.mkv"]


def test_no_frame_no_file(tmp_path):
    with sounding(tmp_path, 1) as (template, packets):
        recording = Recording(tmp_path / "a.mkv", template)
        recording.write(packets[0])
        with pytest.raises(SinkError, match="no picture came"):
            recording.finish()
        recording.abort()
    assert not list(tmp_path.glob("*a*.mkv"))


def test_names_of_its_own_are_never_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(naming.time, "strftime", lambda form: "malle-rt-20261122-153045")
    monkeypatch.setattr(naming, "_given", ("", 0))
    (tmp_path / "malle-rt-20261122-153045-2.mkv").write_bytes(b"precious")
    paths = [Recording(None, bare_template(), folder=tmp_path).path.name for _ in range(3)]
    assert paths == [f"malle-rt-20261122-153045{end}.mkv" for end in ("", "-3", "-4")]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_killed_process_leaves_a_playable_file(tmp_path, suffix):
    command = module_command("helpers.endless_recording", str(tmp_path / f"a{suffix}"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # Says how many seconds it has given to the recording; the test ends it in the middle of the work.
            written = next(float(line) for line in process.stdout if float(line) >= 12)
        finally:
            process.send_signal(signal.SIGKILL)
    (partial,) = [path for path in tmp_path.iterdir() if path.name.endswith(f".partial{suffix}")]
    with av.open(str(partial)) as film:
        times = [frame.time for frame in film.decode(video=0)]
    assert times[0] == 0
    # One cluster or fragment, and what the encoder held.
    assert times[-1] >= written - 4


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_recorded(small_disk):
    outlet = Outlet("recording", Recording(small_disk / "a.mkv", bare_template((320, 240))))
    for shot in shots(400, size=(320, 240), noise=40):
        outlet.put(shot)
        assert until(lambda: not len(outlet._channel) or not outlet.running)
        if not outlet.running:
            break
    assert until(lambda: not outlet.running)
    assert "the disk is full" in outlet.problem
    assert "are kept" in outlet.problem
    assert [entry.name for entry in small_disk.iterdir()] == ["a.mkv"]
    with av.open(str(small_disk / "a.mkv")) as film:
        assert sum(1 for _ in film.decode(video=0)) > 2


@pytest.mark.slow
def test_finishing_a_long_recording_is_quick(tmp_path):
    config = EncodeConfig(preset="ultrafast")
    recording = Recording(tmp_path / "a.mkv", bare_template((16, 16)), config)
    (one,) = shots(1, size=(16, 16))
    for index in range(54_000):  # 30 minutes
        recording.write(replace(one, pts=one.pts + 3000 * index))
    began = time.perf_counter()
    recording.finish()
    assert time.perf_counter() - began < 1
    assert recording.recorded_seconds == pytest.approx(53_999 / 30)
