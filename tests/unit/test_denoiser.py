from dataclasses import replace

import numpy as np
import pytest
from media import read_frames, write_planes

from malle_rt.backends.base import BackendInfo
from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.denoiser import FrameDenoiser, PassThrough
from malle_rt.errors import ConfigError
from malle_rt.fields import split_fields, weave_fields
from malle_rt.frame import pixel_layout
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import SyntheticSource

FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv410p",
    "yuv411p",
    "yuv440p",
    "gray",
    "yuv420p10le",
    "yuv444p10le",
]


@pytest.fixture(scope="module")
def backend(any_generation):
    return OpenVinoBackend(any_generation, threads=2)


def psnr(a, b, bits):
    error = np.mean((a.astype(float) - b.astype(float)) ** 2) / 4 ** (bits - 8)
    return 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_every_format_gets_cleaner_and_keeps_its_layout(backend, pix_fmt):
    noisy = SyntheticSource(6, (128, 96), pix_fmt=pix_fmt, noise_sigma=15)
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=15))
    bits = pixel_layout(pix_fmt).bits
    for frame in noisy:
        clean = denoiser.denoise(frame)
        assert [(p.shape, p.dtype) for p in clean.planes] == [(p.shape, p.dtype) for p in frame.planes]
        assert (clean.pts, clean.pix_fmt, clean.color) == (frame.pts, frame.pix_fmt, frame.color)
    truth = noisy.clean(5)
    coarse = pix_fmt in {"yuv410p", "yuv411p", "yuv440p"}  # few samples, and unlike those the network knows
    wanted_gains = (2, 0.5, 0.5) if coarse else (2, 1, 1)
    for got, given, wanted, gain in zip(clean.planes, frame.planes, truth.planes, wanted_gains, strict=False):
        assert psnr(got, wanted, bits) > psnr(given, wanted, bits) + gain


def test_mix_is_a_share(backend):
    frame = next(iter(SyntheticSource(1, (64, 48), noise_sigma=20)))
    full = FrameDenoiser(backend, DenoiseConfig(strength=20)).denoise(frame)
    half = FrameDenoiser(backend, DenoiseConfig(strength=20, mix=0.5)).denoise(frame)
    middle = (frame.planes[0].astype(float) + full.planes[0]) / 2
    assert np.abs(half.planes[0] - middle).max() <= 0.5


def test_auto_finds_the_noise(backend):
    denoiser = FrameDenoiser(backend, DenoiseConfig())
    for frame in SyntheticSource(3, (320, 192), noise_sigma=12):
        denoiser.denoise(frame)
    assert denoiser.sigma == pytest.approx(12, rel=0.25)


def test_a_new_size_starts_a_new_session(backend):
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=10))
    for size in ((64, 48), (32, 64), (64, 48)):
        frame = next(iter(SyntheticSource(1, size)))
        assert denoiser.denoise(frame).planes[0].shape == size[::-1]


def test_pass_through_is_the_frame_itself():
    frame = next(iter(SyntheticSource(1, (64, 48))))
    assert PassThrough().start(frame)() is frame


def test_nothing_of_the_old_shot_shows_through_after_a_cut(backend):
    pictures = list(SyntheticSource(6, (128, 96), noise_sigma=15))
    other = [replace(each, planes=tuple(255 - plane for plane in each.planes)) for each in pictures]
    config = DenoiseConfig(strength=15)
    cut, fresh = FrameDenoiser(backend, config), FrameDenoiser(backend, config)
    for frame in pictures:
        cut.denoise(frame)
    for frame in other:
        ours = cut.denoise(frame)
        wanted = fresh.start(
            frame, cut.seen
        )()  # told the same: until it is measured, noise is that of the last shot
        for plane, expected in zip(ours.planes, wanted.planes, strict=True):
            np.testing.assert_array_equal(plane, expected)


def test_the_noise_of_a_new_shot_is_found_at_once(backend):
    denoiser = FrameDenoiser(backend, DenoiseConfig())
    for frame in SyntheticSource(3, (320, 192), noise_sigma=5):
        denoiser.denoise(frame)
    dark = next(iter(SyntheticSource(1, (320, 192), noise_sigma=20)))
    denoiser.denoise(replace(dark, planes=(255 - dark.planes[0], *dark.planes[1:])))
    assert denoiser.sigma == pytest.approx(20, rel=0.2)


def _fields_of(pictures):
    """Interlaced frames, top field first, of a progressive video at twice the rate; truth in ``pictures``."""
    pairs = zip(pictures[::2], pictures[1::2], strict=True)
    return [
        replace(
            weave_fields(top, *(half(each) for each, half in ((top, _top), (bottom, _bottom)))), fields="top"
        )
        for top, bottom in pairs
    ]


def _top(frame):
    return split_fields(frame)[0].planes


def _bottom(frame):
    return split_fields(frame)[1].planes


def test_each_field_is_denoised_as_a_picture_with_its_own_past(backend):
    frames = _fields_of(list(SyntheticSource(12, (128, 96), noise_sigma=15)))
    config = DenoiseConfig(strength=15)
    woven, tops, bottoms = (FrameDenoiser(backend, config) for _ in range(3))
    for frame in frames:
        got = woven.denoise(frame)
        assert got.fields == "top"
        for one, half, part in zip((tops, bottoms), split_fields(frame), split_fields(got), strict=True):
            for ours, alone in zip(part.planes, one.denoise(half).planes, strict=True):
                assert np.array_equal(ours, alone)


def test_each_frame_goes_by_its_own_flag(backend):
    pictures = list(SyntheticSource(8, (128, 96), noise_sigma=15))
    mixed = [*pictures[:3], *_fields_of(pictures[3:7]), pictures[7]]
    config = DenoiseConfig(strength=15)
    denoiser, fresh = FrameDenoiser(backend, config), FrameDenoiser(backend, config)
    got = [denoiser.denoise(frame) for frame in mixed]
    assert [frame.fields for frame in got] == [None] * 3 + ["top"] * 2 + [None]
    # Behind fields nothing is left of the progressive past.
    assert np.array_equal(got[-1].planes[0], fresh.start(mixed[-1], denoiser.seen)().planes[0])


def test_the_noise_of_interlaced_video_is_found_in_its_fields(backend):
    denoiser = FrameDenoiser(backend, DenoiseConfig())
    for frame in _fields_of(list(SyntheticSource(6, (320, 256), noise_sigma=12))):
        denoiser.denoise(frame)
    assert denoiser.sigma == pytest.approx(12, rel=0.25)
    denoiser.adjust(strength=0, mix=1)
    assert np.array_equal(denoiser.denoise(frame).planes[0], frame.planes[0])
    assert denoiser.sigma == 0


def test_hard_telecine_is_said_in_one_line(backend, caplog):
    film = list(SyntheticSource(24, (64, 64)))
    film = [
        replace(each, planes=tuple(np.roll(plane, 5 * n, 1) for plane in each.planes))
        for n, each in enumerate(film)
    ]
    pattern = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))
    pictures = [film[4 * (n // 5) + which] for n in range(25) for which in pattern[n % 5]]
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=3))
    for frame in _fields_of(pictures):
        denoiser.denoise(frame)
    assert sum("hard telecine" in record.getMessage() for record in caplog.records) == 1


class Counting:
    """A backend that counts the frames its sessions start."""

    def __init__(self, backend):
        self.backend, self.info, self.started = backend, backend.info, 0

    def prepare(self, shape):
        session = self.backend.prepare(shape)
        start = session.start

        def counted(*arguments):
            self.started += 1
            return start(*arguments)

        session.start = counted
        return session

    def close(self):
        pass


@pytest.mark.parametrize("strength", [15, "auto"])
def test_duplicates_cost_no_run_of_the_network_and_change_nothing(backend, strength):
    frames = list(SyntheticSource(8, (128, 96), noise_sigma=15))
    config = DenoiseConfig(strength=strength)
    alone = [FrameDenoiser(backend, config)] * 8
    wanted = [denoiser.denoise(frame) for denoiser, frame in zip(alone, frames, strict=True)]
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, config)
    for frame, clean in zip(frames, wanted, strict=True):
        copy = replace(frame, planes=tuple(p.copy() for p in frame.planes), pts=frame.pts + 1000)
        started = [denoiser.start(frame), denoiser.start(copy)]
        first, second = (finish() for finish in started)
        for got in (first, second):
            assert all(np.array_equal(a, b) for a, b in zip(got.planes, clean.planes, strict=True))
        assert (first.pts, second.pts) == (frame.pts, frame.pts + 1000)
    assert counting.started == len(frames)


def copied(frame, *, change, cells):
    """The frame as an encoder leaves it when it comes again: a few of its 4x4 cells are altered a little."""
    luma = frame.planes[0].astype(np.int16)
    luma[:4, : 4 * cells] += change
    return replace(frame, planes=(np.clip(luma, 0, 255).astype(np.uint8), *frame.planes[1:]))


def test_a_copy_that_an_encoder_has_altered_a_little_costs_no_run(backend):
    frame = next(iter(SyntheticSource(1, (128, 96), noise_sigma=15)))
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, DenoiseConfig(strength=15))
    clean = denoiser.denoise(frame)
    for number in range(3):
        got = denoiser.denoise(copied(frame, change=number * 3, cells=4))
        assert all(np.array_equal(a, b) for a, b in zip(got.planes, clean.planes, strict=True))
    assert counting.started == 1


@pytest.mark.parametrize("what", ["something small appears", "all of it turns brighter"])
def test_what_an_encoder_does_not_do_to_a_copy_is_no_copy(backend, what):
    frame = next(iter(SyntheticSource(1, (128, 96), noise_sigma=15)))
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, DenoiseConfig(strength=15))
    denoiser.denoise(frame)
    brighter = replace(frame, planes=tuple(np.minimum(plane, 251) + np.uint8(4) for plane in frame.planes))
    denoiser.denoise(brighter if "all" in what else copied(frame, change=-60, cells=1))
    assert counting.started == 2


def test_no_more_than_a_few_altered_copies_are_taken_for_one_picture(backend):
    frame = next(iter(SyntheticSource(1, (128, 96), noise_sigma=15)))
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, DenoiseConfig(strength=15))
    for number in range(9):  # a slow fade of a small part
        denoiser.denoise(copied(frame, change=4 * number, cells=4))
    assert counting.started == 3


def test_duplicates_of_a_compressed_film_cost_hardly_a_run(backend, tmp_path):
    source = SyntheticSource(12, (128, 96), noise_sigma=10)
    pictures = [frame.planes for frame in source for _ in range(2)]
    path = write_planes(tmp_path / "in.mkv", pictures, "yuv420p", codec="libx264", options={"crf": "23"})
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, DenoiseConfig(strength=10))
    for frame in read_frames(FileSource(path))[0]:
        denoiser.denoise(frame)
    assert counting.started <= 14


def test_auto_leaves_a_clean_picture_alone_without_running_the_network(backend):
    flat = next(iter(SyntheticSource(1, (128, 96))))
    flat = replace(flat, planes=tuple(np.full_like(plane, 100) for plane in flat.planes))
    counting = Counting(backend)
    denoiser = FrameDenoiser(counting, DenoiseConfig(strength="auto"))
    for index in range(4):
        planes = tuple(np.full_like(plane, 100 + index) for plane in flat.planes)
        frame = replace(flat, planes=planes)
        assert denoiser.denoise(frame).planes is planes
    assert (counting.started, denoiser.untouched, denoiser.sigma) == (0, 4, 0.0)


def test_words_are_shares_of_what_auto_finds(backend):
    frame = next(iter(SyntheticSource(1, (128, 96), noise_sigma=12)))
    sigmas = {}
    for word in ("auto", "light", "medium", "strong"):
        denoiser = FrameDenoiser(backend, DenoiseConfig(strength=word))
        denoiser.denoise(frame)
        sigmas[word] = denoiser.sigma
    assert sigmas["light"] < sigmas["medium"] == sigmas["auto"] < sigmas["strong"]
    assert sigmas["strong"] == pytest.approx(1.5 * sigmas["auto"])


class Listening:
    """A backend that changes nothing and keeps what its sessions are told of the noise."""

    def __init__(self, told):
        self.info, self.heard = BackendInfo("none", "deaf", "fp32", "nothing", "", told=told), []

    def prepare(self, shape):
        return self

    def start(self, planes, noise, state):
        self.heard.append(noise)
        return lambda: tuple(np.full_like(plane, 7) for plane in planes), self

    def close(self):
        pass

    ahead = 0


FOUND = Noise(4.0, 9.0, 6.0, 0.5, as_white=3.0)


def heard(told, monkeypatch, **config):
    monkeypatch.setattr("malle_rt.denoiser.NoiseEstimator.update", lambda *_: FOUND)
    backend = Listening(told)
    denoiser = FrameDenoiser(backend, DenoiseConfig(**config))
    clean = denoiser.denoise(next(iter(SyntheticSource(1, (64, 48)))))
    return backend.heard[0], denoiser, clean


def test_a_network_that_is_told_of_the_noise_hears_all_that_was_found(monkeypatch):
    noise, denoiser, _ = heard("noise", monkeypatch, strength="auto")
    assert noise == Noise(4.0, 9.0, 6.0, 0.5)
    assert denoiser.sigma == denoiser.estimated == 6.5
    noise, denoiser, _ = heard("noise", monkeypatch, strength="strong")
    assert noise == Noise(6.0, 13.5, 9.0, 0.5)
    noise, denoiser, _ = heard("sigma", monkeypatch, strength="auto")
    assert noise.sigma == denoiser.sigma == denoiser.estimated == 3.0


def test_a_strength_by_hand_is_white_noise(monkeypatch):
    noise, denoiser, _ = heard("sigma", monkeypatch, strength=10)
    assert noise == Noise.white(10)
    assert denoiser.sigma == 10


def test_a_strength_by_hand_leaves_the_kind_of_noise_and_what_more_there_is_in_the_chroma(monkeypatch):
    noise, denoiser, _ = heard("noise", monkeypatch, strength=8)
    assert noise == Noise(8, 8, 6.0, 0.5)
    noise, denoiser, _ = heard("noise", monkeypatch, strength=10)
    assert noise == replace(Noise.white(10), coarse=0.5)
    assert denoiser.sigma == 10


def test_the_chroma_has_a_strength_of_its_own(monkeypatch):
    noise, _, clean = heard("noise", monkeypatch, strength="auto", chroma_strength=11)
    assert noise == Noise(4.0, 9.0, 11, 0.5)
    assert [int(plane[0, 0]) for plane in clean.planes] == [7, 7, 7]
    noise, _, _ = heard("noise", monkeypatch, strength=10, chroma_strength=2)
    assert (noise.luma, noise.chroma) == (10, 2)


@pytest.mark.parametrize(
    ("strength", "chroma", "kept"), [(10, 0, (1, 2)), (0, 10, (0,)), ("auto", 0, (1, 2))]
)
def test_strength_zero_of_luma_or_chroma_leaves_it_as_it_is(monkeypatch, strength, chroma, kept):
    frame = next(iter(SyntheticSource(1, (64, 48))))
    _, _, clean = heard("noise", monkeypatch, strength=strength, chroma_strength=chroma)
    for number, (before, after) in enumerate(zip(frame.planes, clean.planes, strict=True)):
        assert np.array_equal(before, after) == (number in kept)


def test_chroma_alone_is_cleaned_where_auto_finds_no_noise_in_the_luma(monkeypatch):
    monkeypatch.setattr("malle_rt.denoiser.NoiseEstimator.update", lambda *_: Noise.white(0.1))
    backend = Listening("noise")
    FrameDenoiser(backend, DenoiseConfig(chroma_strength=8)).denoise(next(iter(SyntheticSource(1, (64, 48)))))
    assert [noise.chroma for noise in backend.heard] == [8]


def test_a_network_that_is_told_one_number_has_no_strength_of_the_chroma_but_zero():
    with pytest.raises(ConfigError, match=r"model deaf is told one strength .* 0 leaves the chroma as it is"):
        FrameDenoiser(Listening("sigma"), DenoiseConfig(chroma_strength=4))
    FrameDenoiser(Listening("sigma"), DenoiseConfig(chroma_strength=0))


def test_noise_has_a_limit_and_keeps_its_kind():
    assert Noise(100, 200, 60, 0.3, as_white=100).limited(75) == Noise(75, 150, 45, 0.3, as_white=75)
    assert Noise(10, 10, 90).limited(75) == Noise(10, 10, 75)


def _shots(noise):
    """Frames of two shots, one of which comes twice; some interlaced ones in between."""
    first, second = (list(SyntheticSource(22, (128, 96), noise_sigma=noise, seed=seed)) for seed in (1, 2))
    dark = [
        replace(each, planes=(each.planes[0] // 4, *each.planes[1:]), pts=22 + each.pts) for each in second
    ]
    frames = [*first[:9], first[8], *first[9:], *_fields_of(first[:8]), *dark]
    return [replace(each, pts=number) for number, each in enumerate(frames)]


@pytest.mark.slow
def test_who_goes_on_from_what_was_saved_sees_the_same(backend):
    frames = _shots(9)
    whole = FrameDenoiser(backend, DenoiseConfig())
    seen, saved = [], []
    for frame in frames:
        saved.append(whole.saved())
        whole.start(frame)
        seen.append(whole.seen)
    assert sum(each[0].cut for each in seen) >= 1
    assert len({each[0].noise for each in seen}) > 10
    for place in (1, 9, 10, 13, 23, 24, 26, 30, 40):
        other = FrameDenoiser(backend, DenoiseConfig())
        other.restore(saved[place], frames[place - 1])
        found = []
        for frame in frames[place:]:
            other.start(frame)
            found.append(other.seen)
        assert found == seen[place:], place


@pytest.mark.slow
def test_who_is_told_what_was_seen_gives_the_same_pictures_without_looking(backend, monkeypatch):
    frames = _shots(9)
    denoiser = FrameDenoiser(backend, DenoiseConfig())
    wanted, seen = [], []
    for frame in frames:
        wanted.append(denoiser.denoise(frame))
        seen.append(denoiser.seen)
    monkeypatch.setattr("malle_rt.denoiser.NoiseEstimator.update", None)
    monkeypatch.setattr("malle_rt.denoiser.CutDetector.update", None)
    again = FrameDenoiser(backend, DenoiseConfig())
    for frame, told, want in zip(frames, seen, wanted, strict=True):
        got = again.start(frame, told)()
        for ours, theirs in zip(got.planes, want.planes, strict=True):
            assert np.array_equal(ours, theirs)
