"""The whole GPU path - ring, streams, events, graphs, kernels, state - against the torch backend, on the host.

The driver underneath runs work late and in any order that the events allow, so a missing event gives wrong pixels.
"""

import functools

import numpy as np
import pytest
import torch
from helpers.host_network import HostNetwork

from malle_rt.backends.base import FrameShape, pad_edge
from malle_rt.backends.gpu.opening import open_session
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.backends.torch import TorchBackend
from malle_rt.contract import Noise
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.errors import BackendError, KernelError, OutOfDeviceMemory
from malle_rt.models import model_file
from malle_rt.net import rt2
from malle_rt.net.weights import load_rt, save_network

pytestmark = pytest.mark.slow  # a GPU on the host

NOISE = Noise.white(20.0)
SHAPE = FrameShape(72, 40)
SHAPES = [SHAPE, FrameShape(35, 27), FrameShape(40, 24, bits=10)]


@functools.cache
def network():
    return load_rt(model_file("rt-s", ".safetensors"))


@functools.cache
def second():
    """An untrained network of the second generation."""
    torch.manual_seed(0)
    return rt2.MalleNetRT(rt2.RTConfig(widths=(8, 8, 8), tail=8, hidden=3)).eval()


def session(driver, fake, shape, *, storage="f32", slots=4, graphs=True, net=None):
    net = HostNetwork(net or network(), *padded_size(shape.width, shape.height), storage, fake.library)
    capture = driver.capture if graphs and not driver.no_graphs else None
    return GpuSession(driver, Kernels(driver), net, shape, slots=slots, capture=capture)


def clip(shape, frames, seed=0):
    """A drifting pattern with noise: planes of each frame."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape.height, : shape.width]
    small = (slice(None, None, 2), slice(None, None, 2))
    for index in range(frames):
        luma = 0.5 + 0.3 * np.sin((columns + 2 * index) / 5) * np.cos(rows / 7)
        planes = (luma, 0.6 - 0.2 * luma[small], 0.4 + 0.2 * luma[small])
        noise = NOISE.luma / 255
        yield tuple(
            ((plane + random.normal(0, noise, plane.shape)).clip(0, 1) * shape.largest)
            .round()
            .astype(np.uint8 if shape.bits == 8 else np.uint16)
            for plane in planes
        )


def reference(shape, frames, model="rt-s"):
    """The torch backend's frames; given the padding, since it pads less."""
    rows, columns = padded_size(shape.width, shape.height)
    state, session = None, TorchBackend(model, device="cpu").prepare(FrameShape(columns, rows, shape.bits))
    for planes in frames:
        wide = [
            np.empty(size, plane.dtype) for size, plane in zip(_sizes(columns, rows), planes, strict=True)
        ]
        for plane, out in zip(planes, wide, strict=True):
            pad_edge(plane, out)
        clean, state = session.run(tuple(wide), NOISE, state)
        yield tuple(c[: p.shape[0], : p.shape[1]] for c, p in zip(clean, planes, strict=True))


def _sizes(columns, rows):
    return (rows, columns), (rows // 2, columns // 2), (rows // 2, columns // 2)


def ahead(session, frames):
    """Results of a session that is kept as far ahead as it wants."""
    state, waiting = None, []
    for planes in frames:
        result, state = session.start(planes, NOISE, state)
        waiting.append(result)
        if len(waiting) > session.ahead:
            yield waiting.pop(0)()
    yield from (result() for result in waiting)


def assert_same(got, wanted, *, codes=1, share=0.001):
    """Equal but for a rare rounding the other way."""
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        difference = np.abs(ours.astype(int) - theirs.astype(int))
        assert difference.max() <= codes
        assert (difference > 0).sum() <= max(1, share * difference.size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("graphs", [True, False])
def test_gives_the_frames_of_the_torch_backend(driver, fake, shape, graphs):
    frames = list(clip(shape, 7))
    ours = session(driver, fake, shape, graphs=graphs)
    assert ours.graphs == (graphs and not driver.no_graphs)
    for got, wanted in zip(ahead(ours, frames), reference(shape, frames), strict=True):
        assert_same(got, wanted)
    ours.close()


@pytest.mark.parametrize("shape", [FrameShape(72, 40), FrameShape(150, 81, bits=10)], ids=str)
def test_the_past_of_the_second_generation_is_aligned(driver, fake, shape, tmp_path, monkeypatch):
    save_network(second(), tmp_path / "rt-y.safetensors")
    (tmp_path / "rt-y.onnx").touch()
    monkeypatch.setattr("malle_rt.models.engines_folder", lambda: tmp_path)
    frames = list(clip(shape, 5))
    ours = session(driver, fake, shape, net=second())
    for got, wanted in zip(ahead(ours, frames), reference(shape, frames, "rt-y"), strict=True):
        assert_same(got, wanted)
    ours.close()


def test_the_order_holds_whatever_the_device_does_first(driver, fake):
    frames = list(clip(SHAPE, 9))
    wanted = list(reference(SHAPE, frames))
    for seed in range(12):
        fake.set(seed=seed)
        ours = session(driver, fake, SHAPE)
        for got, expected in zip(ahead(ours, frames), wanted, strict=True):
            assert_same(got, expected)
        ours.close()


@pytest.mark.parametrize(("bits", "widen", "wide"), [(10, True, False), (12, True, True), (12, False, False)])
def test_depths_that_float16_cannot_hold_are_computed_in_float32(fake, monkeypatch, bits, widen, wide):
    """Twelve bits through float16 lose up to a code; where the user asks for fp16 by name, fp16 it is."""
    from malle_rt.backends import cuda

    def on_host(net, rows, columns, storage, kernels):
        return HostNetwork(net, rows, columns, storage, fake.library)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(cuda, "TorchNetwork", on_host)
    monkeypatch.setattr(cuda.CudaBackend, "_loaded", lambda self, precision: network())
    monkeypatch.setattr(cuda, "capture", lambda device: None)
    shape = FrameShape(72, 40, bits)
    frames = list(clip(shape, 3))
    backend = cuda.CudaBackend("rt-s", precision="fp16", graphs=False, widen=widen)
    ours = backend.prepare(shape)
    results = list(zip(ahead(ours, frames), reference(shape, frames), strict=True))
    ours.close()
    backend.close()
    if wide:
        for got, wanted in results:
            assert_same(got, wanted)
    pairs = [pair for got, wanted in results for pair in zip(got, wanted, strict=True)]
    off = sum((ours.astype(int) != theirs.astype(int)).sum() for ours, theirs in pairs)
    assert (off < 10) == wide


def test_half_precision_stays_close(driver, fake):
    frames = list(clip(SHAPE, 5))
    ours = session(driver, fake, SHAPE, storage="f16")
    for got, wanted in zip(ahead(ours, frames), reference(SHAPE, frames), strict=True):
        assert_same(got, wanted, share=0.1)  # a tenth of the samples lies that close to a half
    ours.close()


def test_a_new_video_forgets_the_old_one(driver, fake):
    first, second = list(clip(SHAPE, 3)), list(clip(SHAPE, 3, seed=1))
    ours = session(driver, fake, SHAPE)
    list(ahead(ours, first))
    for got, wanted in zip(ahead(ours, second), reference(SHAPE, second), strict=True):
        assert_same(got, wanted)
    ours.close()


def test_results_nobody_asked_for_do_not_stop_the_ring_and_stay_readable(driver, fake):
    frames = list(clip(SHAPE, 11))
    ours = session(driver, fake, SHAPE)
    state, results = None, []
    for planes in frames:
        result, state = ours.start(planes, NOISE, state)
        results.append(result)
    ours.close()
    for result, wanted in zip(results, reference(SHAPE, frames), strict=True):
        assert_same(result(), wanted)


def test_the_planes_given_may_be_reused_at_once(driver, fake):
    frames = list(clip(SHAPE, 4))
    ours = session(driver, fake, SHAPE)
    state, results = None, []
    for planes in frames:
        given = tuple(plane.copy() for plane in planes)
        result, state = ours.start(given, NOISE, state)
        results.append(result)
        for plane in given:
            plane[...] = 0
    for result, wanted in zip(results, reference(SHAPE, frames), strict=True):
        assert_same(result(), wanted)
    ours.close()


def test_a_foreign_state_is_refused(driver, fake):
    ours = session(driver, fake, SHAPE)
    planes = next(clip(SHAPE, 1))
    _, state = ours.run(planes, NOISE, None)
    ours.run(planes, NOISE, state)
    with pytest.raises(KernelError, match="start the video again with state=None"):
        ours.run(planes, NOISE, state)  # it was used up
    ours.close()


def test_nothing_is_allocated_for_a_frame(driver, fake):
    ours = session(driver, fake, SHAPE)
    before = [
        fake.calls(name) for name in ("cuMemAlloc", "cuMemHostAlloc", "cuEventCreate", "cuStreamCreate")
    ]
    list(ahead(ours, list(clip(SHAPE, 6))))
    assert before == [
        fake.calls(name) for name in ("cuMemAlloc", "cuMemHostAlloc", "cuEventCreate", "cuStreamCreate")
    ]
    assert fake.calls("cuCtxSynchronize") == 0
    assert fake.calls("pageable copy") == 0
    ours.close()


def opened(driver, fake):
    size = padded_size(SHAPE.width, SHAPE.height)
    return open_session(
        driver,
        Kernels(driver),
        lambda: HostNetwork(network(), *size, "f32", fake.library),
        SHAPE,
        capture=None,
        model="rt-s",
    )


def test_short_of_memory_fewer_frames_fly(driver, fake, caplog):
    fake.set(memory=220 * 1024)  # of the 264 KiB that four slots take
    ours = opened(driver, fake)
    assert ours.ahead == 1
    assert "2 frames in flight instead of 4" in caplog.text
    frames = list(clip(SHAPE, 4))
    for got, wanted in zip(ahead(ours, frames), reference(SHAPE, frames), strict=True):
        assert_same(got, wanted)
    ours.close()


def held(fake):
    """Live objects but the modules, which go when Python collects them."""
    return {kind: count for kind, count in fake.live().items() if kind != "modules"}


@pytest.mark.parametrize("call", ["cuMemAlloc", "cuMemHostAlloc"])
def test_no_allocation_that_fails_leaves_anything(driver, fake, call):
    """Each allocation of a session in turn is refused; all the others are given back."""
    before = fake.calls(call)
    session(driver, fake, SHAPE, slots=2).close()
    allocations = fake.calls(call) - before
    assert allocations
    kept = held(fake)
    for nth in range(1, allocations + 1):
        fake.fail(call, 2, nth=nth)
        with pytest.raises(OutOfDeviceMemory):
            session(driver, fake, SHAPE, slots=2)
        assert held(fake) == kept, nth


def test_without_memory_it_says_so_and_leaves_nothing(driver, fake):
    fake.set(memory=driver.device.memory // 2**40)
    with pytest.raises(
        BackendError, match=r"no memory left for 72x40 with rt-s: \d+ of \d+ MiB are free"
    ) as caught:
        opened(driver, fake)
    assert isinstance(caught.value.__cause__, OutOfDeviceMemory)


def test_an_error_on_the_device_reaches_the_one_who_waits(driver, fake):
    ours = session(driver, fake, SHAPE, graphs=False)
    planes = next(clip(SHAPE, 1))
    fake.fail("execution", 700)
    result, _ = ours.start(planes, NOISE, None)
    with pytest.raises(KernelError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        result()
    with pytest.raises(KernelError):
        result()
    ours.close()
