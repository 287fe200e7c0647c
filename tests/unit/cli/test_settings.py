"""Options from a file, from the environment and from presets, and which of them counts."""

import pytest

from malle_rt import cli
from malle_rt.cli.settings import PRESETS, config_file


@pytest.fixture
def parsed(monkeypatch, tmp_path):
    """What a command is given, with a file of settings and variables."""
    monkeypatch.setenv("MALLE_RT_CONFIG", str(tmp_path / "config.toml"))

    def parse(*words, file="", command="transcode", **variables):
        (tmp_path / "config.toml").write_text(file)
        found = []
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(getattr(cli, command), "run", lambda options: found.append(options) or 0)
            code = cli.main([command, *words])
        return found[0] if found else code

    return parse


def test_the_nearer_to_the_command_counts(parsed):
    file = 'strength = 5\ncrf = 20\ncodec = "libx265"\n[transcode]\ncrf = 21\n'
    options = parsed("a.mp4", file=file)
    assert (options.strength, options.crf, options.codec) == ("5", 21, "libx265")
    options = parsed("a.mp4", file=file, MALLE_RT_STRENGTH="6", MALLE_RT_CRF="22")
    assert (options.strength, options.crf, options.codec) == ("6", 22, "libx265")
    options = parsed("a.mp4", "--strength=7", file=file, MALLE_RT_STRENGTH="6", MALLE_RT_TRANSCODE_CRF="23")
    assert (options.strength, options.crf, options.codec) == ("7", 23, "libx265")


def test_every_kind_of_option_has_its_words(parsed):
    file = (
        "deinterlace = true\nskip-existing = false\noverwrite = true\nstart = '1:30'\nmix = 0.5\n"
        "encoder_option = ['tune=grain', 'g=5']\nprogress = 'json'\ncompare = true\n"
    )
    options = parsed("a.mp4", file=f"[transcode]\n{file}")
    assert (options.deinterlace, options.skip_existing, options.overwrite) == ("field", False, True)
    assert (options.start, options.mix, options.encoder_option) == (90, 0.5, ["tune=grain", "g=5"])
    assert (options.progress, options.compare) == ("json", "")
    variables = {"MALLE_RT_DEINTERLACE": "frame", "MALLE_RT_TRANSCODE_OVERWRITE": "no"}
    options = parsed("a.mp4", file=f"[transcode]\n{file}", **variables)
    assert (options.deinterlace, options.overwrite) == ("frame", False)


def test_a_list_on_the_command_line_replaces_that_of_the_file(parsed):
    options = parsed("a.mp4", "--encoder-option", "g=9", file="encoder-option = ['tune=grain', 'g=5']")
    assert options.encoder_option == ["g=9"]


def test_what_is_for_video_reaches_no_other_command(parsed):
    """A network for videos would be none for photographs."""
    file = "model = 'rt-m'\n[photo]\nquality = 95\n"
    assert parsed("a.jpg", command="photo", file=file, MALLE_RT_STRENGTH="3").model == "mallenet-m"
    options = parsed("a.jpg", command="photo", file=file, MALLE_RT_PHOTO_STRENGTH="3")
    assert (options.quality, options.strength) == (95, "3")


def test_settings_are_no_options_that_a_command_was_given(parsed):
    """--preview complains of a strength that stands beside it, not of one in a file."""
    options = parsed("a.mp4", "--preview", "4,8", file="strength = 5")
    assert options.strength == options.defaults("strength") == "5"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("strenght = 5", "no option 'strenght' of transcode, watch, webcam, analyze. Did you mean strength?"),
        ("[transcode]\nquality = 5", "[transcode] has no option 'quality'"),
        ("[transocde]\ncrf = 5", "no command [transocde]. Did you mean transcode?"),
        ("crf = 'x'", "crf: expected a whole number, got 'x'"),
        ("crf = 2020-01-01", "crf: expected a text or a number"),
        ("overwrite = 'perhaps'", "overwrite: expected true or false, got 'perhaps'"),
        ("[transcode]\nprogress = 'dots'", "progress: expected bar or json, got 'dots'"),
        ("deinterlace = 'both'", "deinterlace: expected field or frame, got 'both'"),
        ("preset-for = 'moon'", "preset-for: expected phone or webcam or"),
        ("crf =", "this is no TOML"),
        (
            "strength = 300",
            "strength must be auto, light, medium, strong or 0 to 75, got 300 (strength is from ",
        ),
    ],
)
def test_what_cannot_be_is_one_line(file, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.toml").write_text(file)
    monkeypatch.setenv("MALLE_RT_CONFIG", str(tmp_path / "config.toml"))
    assert cli.main(["transcode", "a.mp4", str(tmp_path / "out.mp4")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("malle-rt: error: ")
    assert told.count("\n") == 1
    assert str(tmp_path / "config.toml") in told
    assert said in told


def test_a_mistyped_variable_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("MALLE_RT_CONFIG", "")
    monkeypatch.setenv("MALLE_RT_STRENGHT", "5")
    assert cli.main(["transcode", "a.mp4"]) == 2
    assert "MALLE_RT_STRENGHT is no setting. Did you mean MALLE_RT_STRENGTH?" in capsys.readouterr().err


def test_a_file_that_is_named_must_be_there_and_no_name_means_none(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MALLE_RT_CONFIG", str(tmp_path / "none.toml"))
    assert cli.main(["transcode", "a.mp4"]) == 2
    assert "MALLE_RT_CONFIG: no file" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config_file().parent.mkdir()
    config_file().write_text("nonsense")
    monkeypatch.setenv("MALLE_RT_CONFIG", "")
    monkeypatch.setattr(cli.transcode, "run", lambda _: 0)
    assert cli.main(["transcode", "a.mp4"]) == 0
    monkeypatch.delenv("MALLE_RT_CONFIG")
    assert cli.main(["transcode", "a.mp4"]) == 2
    assert "this is no TOML" in capsys.readouterr().err


def test_a_preset_stands_below_what_else_its_place_says(parsed, capsys):
    options = parsed("a.mp4", "--preset-for", "tape", file="strength = 5\ndeinterlace = 'frame'")
    assert (options.strength, options.deinterlace) == (PRESETS["tape"]["strength"], "field")
    assert "preset for tape: --strength" in capsys.readouterr().err
    options = parsed("a.mp4", "--preset-for=tape", "--strength=2", "-q")
    assert (options.strength, options.deinterlace) == ("2", "field")
    assert not capsys.readouterr().err
    options = parsed("a.mp4", file="preset-for = 'tape'\nstrength = 5", MALLE_RT_DEINTERLACE="frame")
    assert (options.strength, options.deinterlace) == ("5", "frame")
    options = parsed("a.mp4", file="preset-for = 'tape'\nstrength = 5", MALLE_RT_PRESET_FOR="grain")
    assert (options.strength, options.mix, options.deinterlace) == ("light", PRESETS["grain"]["mix"], "field")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("command", ["transcode", "webcam"])
def test_every_preset_is_made_of_options_and_denoises(parsed, name, command):
    from malle_rt.cli.options import denoise_config

    words = ["a.mp4"] if command == "transcode" else []
    options = parsed(*words, "--preset-for", name, command=command)
    assert set(PRESETS[name]) <= set(vars(options))
    assert denoise_config(options)


def test_the_command_may_stand_behind_a_switch(monkeypatch):
    monkeypatch.setenv("MALLE_RT_STRENGTH", "5")
    found = []
    monkeypatch.setattr(cli.transcode, "run", lambda options: found.append(options) or 0)
    assert cli.main(["-v", "transcode", "a.mp4"]) == 0
    assert (found[0].verbose, found[0].strength) == (True, "5")
