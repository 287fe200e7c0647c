"""What encoders say by themselves, and what hardware encoders say where there is no such hardware."""

import av
import pytest

from malle_rt.errors import ConfigError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.synthetic import SyntheticSource

SOFTWARE = ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx", "libaom-av1", "ffv1", "hevc", "av1"]


def encode(path, codec):
    source = SyntheticSource(3, (128, 96))
    sink = FileSink(path, source, EncodeConfig(codec=codec))
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


@pytest.mark.parametrize(("codec", "gpu"), [("h264_nvenc", "an NVIDIA GPU"), ("hevc_qsv", "an Intel GPU")])
def test_hardware_that_is_not_there_is_named(tmp_path, codec, gpu):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    try:
        encode(tmp_path / "out.mkv", codec)
    except ConfigError as error:
        assert f"encoder {codec} needs {gpu}" in str(error) and "\n" not in str(error)
