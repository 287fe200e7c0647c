import pytest

from malle_rt.errors import ConfigError
from malle_rt.trt import profiles
from malle_rt.trt.profiles import Profile, load_profile, profile_for, profile_names


def test_the_named_ones_from_small_to_large():
    assert profile_names() == ["360p", "720p", "1080p", "4k"]


@pytest.mark.parametrize("name", ["360p", "720p", "1080p", "4k"])
def test_every_named_one_takes_small_frames_and_its_own_size(name):
    profile = load_profile(name)
    assert profile.accepts(1, 1)
    assert profile.accepts(*profile.opt)
    assert not profile.accepts(profile.max[0] + 1, profile.max[1])


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((640, 360), "360p"),
        ((640, 480), "360p"),
        ((353, 239), "360p"),
        ((1280, 720), "720p"),
        ((1279, 719), "720p"),
        ((960, 720), "720p"),
        ((360, 640), "720p"),
        ((1920, 1080), "1080p"),
        ((1920, 1088), "1080p"),
        ((1080, 1920), "4k"),
        ((4096, 2160), "4k"),
        ((2160, 3840), "2160x3840"),
        ((5000, 2813), "5008x2816"),
    ],
)
def test_the_smallest_that_takes_a_frame_or_one_of_just_its_size(size, name):
    profile = profile_for(*size)
    assert profile.name == name
    assert profile.accepts(*size)


def test_a_fixed_size_is_padded_and_takes_nothing_else():
    profile = load_profile("642x358")
    assert profile == Profile(name="656x360", min=(656, 360), opt=(656, 360), max=(656, 360))
    assert profile.accepts(642, 358)
    assert not profile.accepts(640, 360)
    assert profile.sizes == "656x360 656x360 656x360"


@pytest.mark.parametrize("name", ["5k", "", "../720p", "720P", "0x8", "x", "12x", "1280x720x3"])
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(
        ConfigError, match="there are: 360p, 720p, 1080p, 4k, photo, or a size such as 1280x720"
    ):
        load_profile(name)


def test_a_size_no_engine_takes():
    with pytest.raises(ConfigError, match="multiples of 8 up to 8192, got 8208"):
        load_profile("8193x16")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("min = [8, 8]\nopt = [8, 8]\nmax = [8, 12]", "multiples of 8"),
        ("min = [16, 8]\nopt = [8, 8]\nmax = [8, 8]", "min <= opt <= max"),
        ("min = [8, 8]\nopt = [8, 8]", "want exactly"),
        ("min = [8, 8]\nopt = [8, 8]\nmax = [8, 8]\nbatch = 2", "want exactly"),
        ("min = 8\nopt = [8, 8]\nmax = [8, 8]", r"min must be \[width, height\], got 8"),
        ("min = [true, 8]\nopt = [8, 8]\nmax = [8, 8]", "min must be"),
        ("min = [8,", "is not TOML"),
    ],
)
def test_nonsense_in_a_file_is_named(text, words, tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/odd.toml").write_text(text)
    monkeypatch.setattr(profiles, "engines_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=words):
        load_profile("odd")
