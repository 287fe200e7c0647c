"""Frames that come from the GPU's memory and stay there, on the host implementation of the driver."""

import functools
import gc
from dataclasses import replace

import numpy as np
import pytest
from helpers.host_network import HostNetwork
from helpers.surfaces import FakeDecoder, surface_planes, wait_for_release

from malle_rt.backends.base import FrameShape, SurfaceSession
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.contract import Noise
from malle_rt.cuda.dlpack import take
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import ConfigError, OutOfDeviceMemory
from malle_rt.frame import Surface
from malle_rt.models import model_file
from malle_rt.net.weights import load_rt

pytestmark = pytest.mark.slow  # a GPU on the host

NOISE = Noise.white(20.0)
EIGHT = FrameShape(72, 40, pitches=(128, 96))
TEN = FrameShape(40, 24, bits=10, pitches=(256, 256))
CALLS = ("cuMemAlloc", "cuMemHostAlloc", "cuEventCreate", "cuStreamCreate")


@functools.cache
def network():
    return load_rt(model_file("rt-s", ".safetensors"))


@pytest.fixture
def decoder(driver):
    made = []

    def make(shape):
        made.append(FakeDecoder(driver, shape))
        return made[-1]

    yield make
    for each in made:
        each.close()


def session(driver, fake, shape, decoder=None):
    net = HostNetwork(network(), *padded_size(shape.width, shape.height), "f32", fake.library)
    capture = driver.capture if not driver.no_graphs else None
    more = {} if decoder is None else {"decoder": decoder.stream}
    return GpuSession(driver, Kernels(driver), net, shape, capture=capture, **more)


def clip(shape, frames):
    random = np.random.default_rng(0)
    dtype = np.uint8 if shape.bits == 8 else np.uint16
    sizes = ((shape.height, shape.width), *[(shape.height // 2, shape.width // 2)] * 2)
    return [
        tuple(random.integers(0, shape.largest + 1, size, dtype) for size in sizes) for _ in range(frames)
    ]


def from_host(driver, fake, shape, frames):
    """What the same session gives for frames in host memory."""
    ours, state = session(driver, fake, replace(shape, pitches=None, stays=False)), None
    for planes in frames:
        clean, state = ours.run(planes, NOISE, state)
        yield clean
    ours.close()


def ahead(ours, decoder, frames):
    """Results of frames on the device, the session kept as far ahead as it wants."""
    state, waiting = None, []
    for planes in frames:
        result, state = ours.start_surface(decoder.picture(planes), NOISE, state)
        waiting.append(result)
        if len(waiting) > ours.ahead:
            yield waiting.pop(0)()
    yield from (result() for result in waiting)


def assert_equal(got, wanted):
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [EIGHT, TEN], ids=str)
def test_frames_on_the_device_give_what_they_give_from_the_host(driver, fake, decoder, shape):
    frames = clip(shape, 7)
    wanted = list(from_host(driver, fake, shape, frames))
    for seed in range(6):
        fake.set(seed=seed)
        nvdec = decoder(shape)
        ours = session(driver, fake, shape, nvdec)
        assert isinstance(ours, SurfaceSession)
        for got, expected in zip(ahead(ours, nvdec, frames), wanted, strict=True):
            assert_equal(got, expected)
        ours.close()
        assert (nvdec.out, nvdec.downloads) == (0, 0)


@pytest.mark.parametrize("shape", [EIGHT, TEN], ids=str)
def test_results_that_stay_hold_the_same_pixels(driver, fake, decoder, shape):
    frames = clip(shape, 7)
    wanted = list(from_host(driver, fake, shape, frames))
    for seed in range(6):
        fake.set(seed=seed)
        nvdec = decoder(shape)
        ours = session(driver, fake, replace(shape, stays=True), nvdec)
        for got, expected in zip(ahead(ours, nvdec, frames), wanted, strict=True):
            assert isinstance(got, Surface)
            assert_equal(surface_planes(got, shape.bits), expected)
            assert_equal(got, expected)
        ours.close()
        del got


def test_a_pictures_memory_goes_back_once_it_has_been_read(driver, fake, decoder):
    nvdec = decoder(EIGHT)
    ours = session(driver, fake, EIGHT, nvdec)
    state = None
    for count, planes in enumerate(clip(EIGHT, 6), 1):
        _, state = ours.start_surface(nvdec.picture(planes), NOISE, state)
        assert nvdec.out == min(count, 4)
    ours.close()
    assert nvdec.out == 0


def test_the_planes_of_a_result_are_what_nvenc_takes(driver, fake, decoder):
    nvdec = decoder(EIGHT)
    ours = session(driver, fake, replace(EIGHT, stays=True), nvdec)
    (got,) = ahead(ours, nvdec, clip(EIGHT, 1))
    y, uv = (take(plane.__dlpack__()) for plane in got.device)
    assert (y.shape, y.strides) == ((40, 72), (128, 1))
    assert (uv.shape, uv.strides) == ((20, 36, 2), (96, 2, 1))
    assert uv.pointer == y.pointer + 40 * 128  # it is told one address for both
    assert [plane.__dlpack_device__() for plane in got.device] == [(2, 0), (2, 0)]
    y.release()
    uv.release()
    ours.close()
    del got


def test_results_outlive_the_session_and_its_driver(fake):
    driver = open_driver("cuda-bindings")
    frames = clip(EIGHT, 5)
    wanted = list(from_host(driver, fake, EIGHT, frames))
    nvdec = FakeDecoder(driver, EIGHT)
    ours = session(driver, fake, replace(EIGHT, stays=True), nvdec)
    results = list(ahead(ours, nvdec, frames))
    ours.close()
    nvdec.close()
    driver.close()
    assert fake.live() == {"contexts": 1, "device blocks": 5}
    lent = take(results[0].device[0].__dlpack__())
    for got, expected in zip(results, wanted, strict=True):
        assert_equal(surface_planes(got, 8), expected)
        assert_equal(got, expected)
    del got
    results.clear()
    assert fake.live() == {
        "contexts": 1,
        "device blocks": 5,
    }  # an encoder still has a plane, and knows all addresses
    lent.release()
    wait_for_release()
    assert fake.live() == {}


def test_buffers_are_used_again(driver, fake, decoder):
    nvdec = decoder(EIGHT)
    pictures = [nvdec.picture(planes) for planes in clip(EIGHT, 30)]
    ours = session(driver, fake, replace(EIGHT, stays=True), nvdec)
    state = None
    for number, picture in enumerate(pictures):
        if number == 10:
            before = [fake.calls(name) for name in CALLS]
        result, state = ours.start_surface(picture, NOISE, state)
        result()
    assert [fake.calls(name) for name in CALLS] == before
    assert fake.calls("cuCtxSynchronize") == 0
    ours.close()


def test_a_picture_that_is_something_else_is_refused(driver, fake, decoder):
    nvdec = decoder(EIGHT)
    planes = clip(EIGHT, 1)[0]
    ours = session(driver, fake, replace(EIGHT, pitches=(256, 96)), nvdec)
    with pytest.raises(ConfigError, match=r"a plane on the GPU has .* wanted"):
        ours.start_surface(nvdec.picture(planes), NOISE, None)
    elsewhere = nvdec.picture(planes)
    elsewhere.device = tuple(replace(plane, device=1) for plane in elsewhere.device)
    with pytest.raises(ConfigError, match="wanted GPU 0"):
        ours.start_surface(elsewhere, NOISE, None)
    del elsewhere
    ours.close()
    gc.collect()
    assert nvdec.out == 0


@pytest.mark.parametrize("call", CALLS)
def test_nothing_that_cannot_be_made_leaves_anything(driver, fake, call):
    """All that a session on surfaces makes, in turn, cannot be made; the rest is given back."""
    shape = replace(EIGHT, stays=True)
    before = fake.calls(call)
    session(driver, fake, shape).close()
    made = fake.calls(call) - before
    kept = {kind: count for kind, count in fake.live().items() if kind != "modules"}
    assert made
    for nth in range(1, made + 1):
        fake.fail(call, 2, nth=nth)
        with pytest.raises(OutOfDeviceMemory):
            session(driver, fake, shape)
        assert {kind: count for kind, count in fake.live().items() if kind != "modules"} == kept, nth
