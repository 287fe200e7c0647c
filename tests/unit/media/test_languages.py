import av
import pytest
from media import write_film

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.media.languages import known_language

PLAIN = DenoiseConfig(strength=0)


@pytest.mark.parametrize(
    ("form", "language", "known"),
    [
        ("mov", "eng", "eng"),
        ("mov", "deu", "ger"),
        ("mov", "fre", "fra"),
        ("mov", "zho", "chi"),
        ("mov", "swe", "sve"),
        ("mov", "glg", None),
        ("mp4", "deu", "deu"),
        ("mp4", "glg", "glg"),
        ("mp4", "de-DE", None),
    ],
)
def test_names_that_a_file_keeps(form, language, known):
    assert known_language(form, language) == known


@pytest.mark.parametrize(("name", "expected"), [("out.mov", "ger"), ("out.mp4", "deu"), ("out.mkv", "deu")])
def test_the_language_of_sound_and_subtitles_is_kept(tmp_path, name, expected, caplog):
    path = write_film(tmp_path / "in.mkv", frames=15, language="deu")
    denoise_video(path, tmp_path / name, config=PLAIN)
    with av.open(str(tmp_path / name)) as container:
        found = [stream.metadata.get("language") for stream in container.streams if stream.type != "video"]
    assert found[:3] == [expected, "fra", expected]  # chapters come last
    assert not any("language" in record.message for record in caplog.records)


def test_a_language_without_a_name_in_the_format_is_said(tmp_path, caplog):
    path = write_film(tmp_path / "in.mkv", frames=15, language="glg")
    denoise_video(path, tmp_path / "out.mov", config=PLAIN)
    assert any("no name for the language 'glg'" in record.message for record in caplog.records)
