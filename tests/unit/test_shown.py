import pytest

from malle_rt.cli import main
from malle_rt.cli.secret import revealed
from malle_rt.errors import ConfigError, SourceError
from malle_rt.shown import shown_address, without_secrets


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("rtsp://me:secret@10.0.0.5:554/live", "rtsp://10.0.0.5:554"),
        ("rtsp://me:sec@ret@host/live", "rtsp://host"),  # not escaped, as people write it
        ("http://token@host/live", "http://host"),
        ("rtsp://to@ken@host/live", "rtsp://host"),
        ("rtsp://me:pa/ss@host/live", "rtsp://me"),
        ("udp://@239.0.0.1:5000", "udp://239.0.0.1:5000"),
        ("rtmp://host/live/KEY", "rtmp://host"),
        ("rtmps://[2001:db8::7]:443/app/KEY", "rtmps://[2001:db8::7]:443"),
        ("http://host/x?p=a&sid=b&jwt=c#d", "http://host"),
        ("srt://h:9?streamid=#!::u=me,s=abc&latency=2", "srt://h:9"),
        ("lavfi:movie=http\\://u\\:secret@h\\:80/a.mp4", "lavfi:movie=http\\://h:80"),
        ("lavfi:testsrc2=size=64x48:rate=30", "lavfi:testsrc2=size=64x48:rate=30"),
        ("rtspsrc location=rtsp://u:p@h/x ! decodebin", "rtspsrc location=rtsp://h ! decodebin"),
        ('rtspsrc user-pw="a b" latency=0', "rtspsrc user-pw=*** latency=0"),
        ("rtsp://a:b@h1/x and rtsp://c:d@h2/y", "rtsp://h1 and rtsp://h2"),
        ("http://h/live?key=a: refused", "http://h: refused"),
        ("'http://h:80/KEY' is (http://h/KEY), that", "'http://h:80' is (http://h, that"),
        ("clip:3@home.mp4", "clip:3@home.mp4"),
        ("file:///tmp/a.mp4", "file:///tmp/a.mp4"),
        ("Write HOST:PORT, such as udp://239.0.0.1:5000", "Write HOST:PORT, such as udp://239.0.0.1:5000"),
    ],
)
def test_of_addresses_only_scheme_host_and_port_are_told(written, shown):
    assert without_secrets(written) == shown


def test_an_address_by_itself_may_hold_blanks():
    assert shown_address("srt://h:9?passphrase=SECRET SECRET") == "srt://h:9"
    assert shown_address("my clip.mp4") == "my clip.mp4"


def test_errors_hold_none_whoever_raised_them():
    assert str(SourceError("http://u:secret@h/x?jwt=secret: refused")) == "http://h: refused"


@pytest.mark.parametrize("command", [["transcode"], ["bench", "--input"]])
@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_commands_print_none(command, verbose, capsys, tmp_path):
    url = "http://user:SECRET@127.0.0.1:1/live/SECRET?p=SECRET"
    words = [*command, url]
    if command == ["transcode"]:
        words += [str(tmp_path / "out.mkv")]
    try:
        code = main(words + verbose)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert code and "SECRET" not in said.out + said.err
    assert "http://127.0.0.1:1" in said.err


def test_words_come_from_files_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLE_TEST", "rtmp://host/live/KEY")
    (tmp_path / "token").write_text("sixteen-letters-\nand more\n")
    assert revealed("env:MALLE_TEST") == "rtmp://host/live/KEY"
    assert revealed(f"@{tmp_path}/token") == "sixteen-letters-"
    assert revealed("plain") == "plain"
    with pytest.raises(ConfigError, match="no variable MALLE_NONE"):
        revealed("env:MALLE_NONE")
    with pytest.raises(ConfigError, match="cannot be read"):
        revealed(f"@{tmp_path}/nowhere")
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        revealed(f"@{tmp_path}/token")
