import threading
import time

import numpy as np
import pytest

import malle_rt
from malle_rt.arrays import PIXEL_FORMATS, array_format
from malle_rt.backends.base import FrameShape
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import ConfigError, MalleError
from malle_rt.media.rgb import to_rgb
from malle_rt.media.synthetic import SyntheticSource

SIZE = (96, 64)
MEMORY = ("yuv420p", "nv12", "gray")


def frames_of(pixel_format, count=4, size=SIZE, sigma=15, seed=0):
    """Noisy arrays of a drawn video, and their clean copies."""
    form = array_format(pixel_format)
    base = {"rgb": "yuv444p10le", "gray": form.pix_fmt}.get(form.kind, form.pix_fmt)
    source = SyntheticSource(count, size, pix_fmt=base, noise_sigma=sigma, seed=seed)
    return [form.array(each) for each in source], [form.array(source.clean(index)) for index in range(count)]


def error(ours, wanted):
    return float(np.mean((ours.astype(float) - wanted) ** 2))


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_every_format_comes_back_cleaner_and_as_it_was(pixel_format):
    noisy, clean = frames_of(pixel_format)
    before = [each.copy() for each in noisy]
    with malle_rt.Denoiser(strength=15, pixel_format=pixel_format) as denoiser:
        got = [denoiser(each) for each in noisy]
    for ours, given, kept in zip(got, noisy, before, strict=True):
        assert (ours.dtype, ours.shape, ours.flags.c_contiguous) == (given.dtype, given.shape, True)
        assert not np.shares_memory(ours, given)
        np.testing.assert_array_equal(given, kept)
    assert error(got[-1], clean[-1]) < 0.5 * error(noisy[-1], clean[-1])


def test_a_stream_gives_what_single_calls_give_and_what_files_get(any_generation):
    source = list(SyntheticSource(4, SIZE, pix_fmt="yuv420p", noise_sigma=15))
    noisy = [array_format("yuv420p").array(each) for each in source]
    with malle_rt.Denoiser(model=any_generation, strength=12, mix=0.9, pixel_format="yuv420p") as denoiser:
        streamed = list(denoiser.stream(iter(noisy)))
        denoiser.reset()
        called = [denoiser(each) for each in noisy]
        inner = FrameDenoiser(denoiser._inner._backend, DenoiseConfig(strength=12, mix=0.9))
        wanted = [array_format("yuv420p").array(inner.denoise(each)) for each in source]
    for one, other, third in zip(streamed, called, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


@pytest.mark.slow
def test_orders_of_the_same_samples_give_the_same_picture():
    rgb, _ = frames_of("rgb24", count=2)
    ten, _ = frames_of("yuv420p10", count=2)
    rows, columns = SIZE[::-1]
    results = {}
    for pixel_format, given in (
        ("rgb24", rgb),
        ("bgr24", [each[..., ::-1] for each in rgb]),
        ("yuv420p10", ten),
        ("p010", [_interleaved(each, rows, columns) << 6 for each in ten]),
    ):
        with malle_rt.Denoiser(strength=10, pixel_format=pixel_format) as denoiser:
            results[pixel_format] = [denoiser(each) for each in given]
    for one, other in zip(results["rgb24"], results["bgr24"], strict=True):
        np.testing.assert_array_equal(one, other[..., ::-1])
    for one, other in zip(results["yuv420p10"], results["p010"], strict=True):
        np.testing.assert_array_equal(_interleaved(one, rows, columns) << 6, other)


def _interleaved(array, rows, columns):
    u, v = array[rows:].reshape(2, rows // 2, columns // 2)
    return np.concatenate([array[:rows], np.stack([u, v], -1).reshape(rows // 2, columns)])


@pytest.mark.parametrize("pixel_format", MEMORY)
@pytest.mark.parametrize("way", ["call", "stream"])
def test_a_buffer_that_is_used_again_holds_a_new_frame(pixel_format, way):
    noisy, _ = frames_of(pixel_format)
    buffer = np.empty_like(noisy[0])

    def camera():
        for each in noisy:
            buffer[:] = each
            yield buffer

    with malle_rt.Denoiser(strength=15, pixel_format=pixel_format) as denoiser:
        wanted = [denoiser(each) for each in noisy]
        denoiser.reset()
        got = list(denoiser.stream(camera()) if way == "stream" else map(denoiser, camera()))
    for ours, expected in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_the_network_reads_the_callers_own_memory():
    for pixel_format in MEMORY:
        noisy, _ = frames_of(pixel_format, count=2)
        with malle_rt.Denoiser(strength=10, pixel_format=pixel_format) as denoiser:
            denoiser(noisy[0])
            session, seen = denoiser._inner._session, []
            run = session.run
            session.run = lambda planes, *more, seen=seen, run=run: (seen.extend(planes), run(planes, *more))[
                1
            ]
            denoiser(noisy[1])
        assert len(seen) == 3
        planes = seen[:1] if pixel_format == "gray" else seen
        assert all(np.shares_memory(plane, noisy[1]) for plane in planes)


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", MEMORY)
def test_planar_frames_cost_a_tenth_of_a_bare_session_at_most(pixel_format):
    """What a call takes outside the runtime's own work, beyond what a bare session takes there; the least of many."""
    size = (640, 360)
    noisy, _ = frames_of(pixel_format, count=8, size=size)
    with malle_rt.Denoiser(strength=10, pixel_format=pixel_format, backend="openvino") as denoiser:
        denoiser(noisy[0])
        session = denoiser._inner._session
        bare = denoiser._inner._backend.prepare(FrameShape(*size))
        planes = tuple(
            np.ascontiguousarray(plane)
            for plane in array_format("yuv420p").frame(np.zeros((540, 640), np.uint8), 0).planes
        )
        state, times, outside = None, [], {bare: [], session: []}
        for index in range(12):
            begin = time.perf_counter()
            _, state = bare.run(planes, Noise.white(10), state)
            middle = time.perf_counter()
            denoiser(noisy[index % 8])
            end = time.perf_counter()
            times.append(middle - begin)
            for each, taken in ((bare, middle - begin), (session, end - middle)):
                first, last = each.network_span
                outside[each].append(taken - (last - first))
        bare.close()
    more = min(outside[session]) - min(outside[bare])
    assert more <= 0.1 * min(times), f"{1e3 * more:.2f} ms of {1e3 * min(times):.2f}"


class Late:
    """A denoiser that, as one on a GPU, gives results two frames late; what it did is to be seen in ``started``."""

    ahead = 0

    def __init__(self):
        self.started = []

    def start(self, frame):
        self.ahead = 2  # known once the first frame has been started
        self.started.append(frame)
        return lambda: frame

    def close(self):
        pass


def test_frames_are_started_ahead_and_may_be_overwritten_nevertheless(monkeypatch):
    late = Late()
    monkeypatch.setattr("malle_rt.array_denoiser.open_denoiser", lambda config: (late, "late"))
    buffer = np.zeros((12, 8), np.uint8)

    def camera():
        for number in range(6):
            buffer[:] = number
            yield buffer

    with malle_rt.Denoiser(pixel_format="yuv420p") as denoiser:
        seen = []
        for clean in denoiser.stream(camera()):
            seen.append((len(late.started), int(clean[0, 0])))
    assert seen == [(3, 0), (4, 1), (5, 2), (6, 3), (6, 4), (6, 5)]


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize("options", [{"strength": 0}, {"mix": 0.0}, {"backend": "none"}, {}])
def test_nothing_to_clean_gives_copies_bit_for_bit(pixel_format, options):
    noisy, _ = frames_of(pixel_format, count=1)
    if not options:  # "auto" finds nothing
        noisy = [np.full_like(noisy[0], 100)]
    with malle_rt.Denoiser(pixel_format=pixel_format, **options) as denoiser:
        clean = denoiser(noisy[0])
    np.testing.assert_array_equal(clean, noisy[0])
    assert not np.shares_memory(clean, noisy[0])


def test_size_changes_only_after_reset():
    small, _ = frames_of("rgb24", count=1, size=(48, 32))
    large, _ = frames_of("rgb24", count=1)
    with malle_rt.Denoiser(strength=10) as denoiser:
        denoiser(large[0])
        with pytest.raises(ConfigError, match=r"96x64 until now, got 48x32\. Call reset\(\)"):
            denoiser(small[0])
        denoiser.reset()
        assert denoiser(small[0]).shape == small[0].shape
        denoiser.reset(pixel_format="gray")
        assert denoiser.pixel_format == "gray"
        assert denoiser(small[0][..., 0]).shape == (32, 48)


def test_reset_forgets_the_video_and_its_noise():
    loud, _ = frames_of("rgb24", count=3, sigma=20)
    quiet, _ = frames_of("rgb24", count=3, sigma=5)
    with malle_rt.Denoiser() as denoiser:
        wanted = [denoiser(each) for each in quiet]
        sigma = denoiser.sigma
        denoiser.reset()
        for each in loud:
            denoiser(each)
        assert denoiser.sigma > sigma
        denoiser.reset()
        for each, expected in zip(quiet, wanted, strict=True):
            np.testing.assert_array_equal(denoiser(each), expected)
        assert denoiser.sigma == sigma


def test_one_caller_at_a_time():
    noisy, _ = frames_of("gray", count=3)
    with malle_rt.Denoiser(strength=10, pixel_format="gray") as denoiser:
        inside, leave, errors = threading.Event(), threading.Event(), []
        start = denoiser._inner.start

        def slow(frame):
            inside.set()
            assert leave.wait(30)
            return start(frame)

        denoiser._inner.start = slow
        worker = threading.Thread(target=lambda: denoiser(noisy[0]))
        worker.start()
        assert inside.wait(30)
        for call in (lambda: denoiser(noisy[1]), denoiser.reset, denoiser.close):
            with pytest.raises(MalleError, match="another thread uses this Denoiser"):
                call()
        leave.set()
        worker.join(30)
        assert not errors
        denoiser(noisy[1])  # this thread's turn


def test_a_stream_under_way_is_alone_and_ends_with_reset():
    noisy, _ = frames_of("gray", count=3)
    with malle_rt.Denoiser(strength=10, pixel_format="gray") as denoiser:
        stream = denoiser.stream(noisy)
        next(stream)
        with pytest.raises(MalleError, match="a stream of this Denoiser is under way"):
            denoiser(noisy[0])
        with pytest.raises(MalleError, match="one stream at a time"):
            next(denoiser.stream(noisy))
        denoiser.reset()
        with pytest.raises(MalleError, match="ended by reset"):
            next(stream)
        for _ in denoiser.stream(noisy):
            break
        denoiser(noisy[0])  # a loop that is left has ended its stream
        given = denoiser.stream(noisy)
        next(given)
    with pytest.raises(MalleError, match="closed"):
        next(given)


def test_a_failing_iterable_ends_the_stream_and_not_the_denoiser():
    noisy, _ = frames_of("gray", count=1)

    def broken():
        yield noisy[0]
        raise OSError("the camera is gone")

    with malle_rt.Denoiser(strength=10, pixel_format="gray") as denoiser:
        with pytest.raises(OSError, match="the camera is gone"):
            list(denoiser.stream(broken()))
        denoiser(noisy[0])


def test_closed_is_closed():
    denoiser = malle_rt.Denoiser(backend="none")
    denoiser.close()
    denoiser.close()
    with pytest.raises(MalleError, match="closed"):
        denoiser(np.zeros((8, 8, 3), np.uint8))


def test_options_are_checked():
    with pytest.raises(TypeError):
        malle_rt.Denoiser(12)
    with pytest.raises(ConfigError, match="strength must be"):
        malle_rt.Denoiser(strength=80)
    with pytest.raises(ConfigError, match="pixel_format must be one of"):
        malle_rt.Denoiser(pixel_format="argb")
    for strength in (None, True, [5], float("nan"), "12"):
        with pytest.raises(ConfigError, match="strength must be auto, light, medium, strong or 0 to 75, got"):
            malle_rt.Denoiser(strength=strength)
    with pytest.raises(ConfigError, match="mix must be 0 to 1, got None"):
        malle_rt.Denoiser(mix=None)
    for threads in (0, "2"):
        with pytest.raises(ConfigError, match="threads must be a number of at least 1, got"):
            malle_rt.Denoiser(threads=threads)
    with malle_rt.Denoiser(strength=np.float32(5)) as denoiser:
        assert denoiser.sigma == 5
    with pytest.raises(ConfigError, match="threads are those of backend openvino, got torch"):
        malle_rt.Denoiser(threads=1, backend="torch")
    with malle_rt.Denoiser(threads=1, backend="openvino") as denoiser:
        assert "(1 threads)" in denoiser.backend


def test_a_picture_too_large_for_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("malle_rt.memory.available_memory", lambda: 1 << 20)
    with malle_rt.Denoiser() as denoiser, pytest.raises(ConfigError, match="needs about"):
        denoiser(np.zeros((256, 256, 3), np.uint8))


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    noisy, _ = frames_of("rgb24", count=2)
    with malle_rt.Denoiser(strength=15) as denoiser:
        wanted = [denoiser(each) for each in noisy]
        denoiser.reset()
        got = list(denoiser.stream(map(torch.from_numpy, noisy)))
    for ours, expected in zip(got, wanted, strict=True):
        assert isinstance(ours, torch.Tensor) and ours.dtype == torch.uint8 and ours.is_contiguous()
        np.testing.assert_array_equal(ours.numpy(), expected)


@pytest.mark.slow
def test_a_photograph_is_cleaned():
    source = SyntheticSource(1, (97, 65), pix_fmt="yuv444p10le", noise_sigma=20)
    noisy, clean = to_rgb(next(iter(source))), to_rgb(source.clean(0))
    assert error(malle_rt.denoise_image(noisy, strength=20), clean) < 0.5 * error(noisy, clean)
    assert malle_rt.denoise_image(noisy[..., 1], pixel_format="gray").shape == (65, 97)
    photographed = malle_rt.denoise_image(noisy, model="mallenet-s")
    deep = malle_rt.denoise_image(noisy.astype(np.uint16) * 257, model="mallenet-s", pixel_format="rgb48le")
    assert np.abs(deep / 257 - photographed).max() < 2
    assert error(photographed, clean) < 0.5 * error(noisy, clean)
    swapped = malle_rt.denoise_image(noisy[..., ::-1], model="mallenet-s", pixel_format="bgr24")
    assert np.array_equal(swapped[..., ::-1], photographed)
    by_video = malle_rt.denoise_image(noisy, strength=20, model="rt-s")
    assert error(by_video, clean) < 0.5 * error(noisy, clean)
    with pytest.raises(ConfigError, match=r"model mallenet-s runs in .* got openvino in int8"):
        malle_rt.denoise_image(noisy, model="mallenet-s", backend="openvino", precision="int8")
    with pytest.raises(ConfigError, match=r"model mallenet-s takes rgb24, .*, got nv12"):
        malle_rt.denoise_image(noisy, model="mallenet-s", pixel_format="nv12")
