"""What encoders say by themselves, and what hardware encoders say where there is no such hardware."""

import os
import sys
from pathlib import Path

import av
import pytest

from malle_rt.errors import ConfigError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.video_encoder import wants_avx2

SOFTWARE = ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx", "libaom-av1", "ffv1", "hevc", "av1"]


def encode(path, codec, **options):
    source = SyntheticSource(3, (128, 96))
    sink = FileSink(path, source, EncodeConfig(codec=codec, options=options))
    try:
        for frame in source:
            sink.write(frame)
        sink.finish()
    finally:
        sink.abort()


@pytest.mark.parametrize("codec", SOFTWARE)
def test_encoders_print_nothing_by_themselves(tmp_path, codec, capfd):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    encode(tmp_path / "out.mkv", codec)
    said = capfd.readouterr()
    assert said.out + said.err == ""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root is scheduled differently")
@pytest.mark.parametrize("codec", [codec for codec in SOFTWARE if codec in av.codecs_available])
def test_no_encoder_leaves_threads_of_root_in_a_real_time_class(tmp_path, codec):
    source = SyntheticSource(3, (128, 96))
    policy, niceness = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    sink = FileSink(tmp_path / "out.mkv", source, EncodeConfig(codec=codec))
    try:
        threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
        assert {os.sched_getscheduler(thread) for thread in threads} == {policy}
        assert os.getpriority(os.PRIO_PROCESS, 0) == niceness
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))  # the next tests run in this thread
        sink.abort()


@pytest.mark.parametrize(("codec", "gpu"), [("h264_nvenc", "an NVIDIA GPU"), ("hevc_qsv", "an Intel GPU")])
def test_hardware_that_is_not_there_is_named(tmp_path, codec, gpu):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    try:
        encode(tmp_path / "out.mkv", codec)
    except ConfigError as error:
        assert f"encoder {codec} needs {gpu}" in str(error) and "\n" not in str(error)


def test_x264_is_kept_from_avx512_where_that_is_not_reproducible(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu sse2 avx2 avx512f avx512bw\n")
    assert wants_avx2(320, 192, cpuinfo)
    assert wants_avx2(640, 352, cpuinfo)
    assert not wants_avx2(640, 360, cpuinfo)
    cpuinfo.write_text("flags : fpu sse2 avx2\n")
    assert not wants_avx2(320, 192, cpuinfo)
    assert not wants_avx2(320, 192, tmp_path / "nothing")


def test_where_it_is_the_bytes_are_the_same_and_the_users_parameters_hold(tmp_path, monkeypatch):
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    if "avx2" not in flags or "avx512f" in flags:
        pytest.skip("needs a processor with AVX2 and without AVX-512")
    packets = []
    for wanted in (False, True):
        monkeypatch.setattr("malle_rt.media.video_encoder.wants_avx2", lambda *_, value=wanted: value)
        target = tmp_path / f"{wanted}.mkv"
        encode(target, "libx264", **{"x264-params": "keyint=2"})
        with av.open(str(target)) as container:
            packets.append(
                [(bytes(each), each.is_keyframe) for each in container.demux(video=0) if each.size]
            )
    assert packets[0] == packets[1]
    assert [key for _, key in packets[1]].count(True) == 2
