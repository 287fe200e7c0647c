"""Options and names of files in any order."""

from fractions import Fraction
from itertools import permutations

import pytest

from malle_rt import cli


@pytest.fixture
def parsed(monkeypatch):
    """What a command is given."""

    def parse(*words):
        found = []
        monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
        assert cli.main(["transcode", *words]) == 0
        return found[0]

    return parse


BLOCKS = (["a.mp4"], ["b.mkv"], ["-v"], ["--crf", "20"], ["--strength=12"], ["--compare"], ["--deinterlace"])


@pytest.mark.parametrize(
    "order", [each for each in permutations(range(7)) if each.index(0) < each.index(1)][::97]
)
def test_every_mix_of_options_and_names_parses(parsed, order):
    options = parsed(*(word for each in order for word in BLOCKS[each]))
    assert options.files == ["a.mp4", "b.mkv"]
    assert (options.verbose, options.crf, options.strength) == (True, 20, "12")
    assert (options.compare, options.deinterlace) == ("", "field")


def test_an_optional_value_is_taken_where_it_is_one(parsed):
    options = parsed("--compare", "sheet.png", "--deinterlace", "frame", "a.mp4")
    assert options.files == ["a.mp4"]
    assert (options.compare, options.deinterlace) == ("sheet.png", "frame")


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("24", 24),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact(parsed, word, wanted):
    assert parsed("a_%d.png", "b.mkv", "--fps", word).fps == wanted


def test_standard_input_and_names_that_begin_with_a_dash(parsed):
    assert parsed("-", "-v", "b.mkv").files == ["-", "b.mkv"]
    for words in (["-q", "--", "-a.mp4", "-b.mp4"], ["--compare", "--", "-a.mp4", "-b.mp4"]):
        options = parsed(*words)
        assert options.files == ["./-a.mp4", "./-b.mp4"]
    assert parsed("a.mp4", "-v", "--", "-b.mp4").files == ["a.mp4", "./-b.mp4"]
    assert parsed("--", "-", "b.mp4").files == ["-", "b.mp4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "--bogus"], "unrecognized arguments: --bogus"),
        (
            ["a.mp4", "b.mkv", "--compare", "sheet.gif"],
            "expected a picture to write (.png, .jpg, .jpeg, .webp)",
        ),
        (
            ["a_%d.png", "b.mkv", "--fps", "fast"],
            "expected frames a second, such as 24 or 30000/1001, got 'fast'",
        ),
        (["a_%d.png", "b.mkv", "--fps", "24/0"], "expected frames a second"),
        (["a.mp4", "b.mkv", "--deinterlace", "yes"], "expected field or frame, got 'yes'"),
    ],
)
def test_what_has_no_place_is_named(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["transcode", *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transcode", "a.mp4", "--strenght", "12"], "--strenght. Did you mean --strength?"),
        (["transcode", "a.mp4", "--ouput-dir=x"], "--ouput-dir. Did you mean --output-dir?"),
        (["webcam", "--recrod", "a.mkv"], "Did you mean --record?"),
        (["transcod", "a.mp4"], "no command 'transcod'. Did you mean transcode?"),
        (["webcm"], "Did you mean webcam?"),
        (["nothing-like-it"], "no command 'nothing-like-it', and no such file. Commands: transcode"),
    ],
)
def test_what_is_mistyped_gets_what_may_be_meant(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["a.mp4"], ["-", "b.mkv"], ["dir/", "-o", "out"], ["rtsp://host/x", "b.mkv"]]
)
def test_a_file_alone_is_a_transcode(monkeypatch, words):
    found = []
    monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
    assert cli.main(words) == 0
    assert found[0].files == words[: 1 if "-o" in words else None]


def test_a_file_that_is_called_almost_like_a_command_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "webcams").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
    assert cli.main(["webcams"]) == 0
    assert found[0].files == ["webcams"]


@pytest.mark.parametrize(
    "words",
    [
        ["-v", "transcode", "a.mp4"],
        ["--verbose", "transcode", "a.mp4"],
        ["transcode", "-v", "a.mp4"],
        ["transcode", "a.mp4", "-v"],
        ["-v", "a.mp4"],
        ["-v", "transcode", "-v", "a.mp4"],
    ],
)
def test_verbose_stands_before_the_command_or_behind_it(monkeypatch, words):
    found = []
    monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
    monkeypatch.setattr(cli.logging, "basicConfig", lambda **_: None)
    assert cli.main(words) == 0
    assert found[0].verbose is True
    assert found[0].files == ["a.mp4"]


def test_nothing_is_verbose_by_itself(monkeypatch):
    found = []
    monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
    assert cli.main(["a.mp4"]) == 0
    assert found[0].verbose is False
