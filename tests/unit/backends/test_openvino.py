import threading

import cv2
import numpy as np
import pytest
import torch
from export import write_checked

from malle_rt.backends.base import FrameShape
from malle_rt.backends.openvino import OpenVinoBackend, int8_pays
from malle_rt.backends.torch import TorchBackend
from malle_rt.contract import MULTIPLE, Noise
from malle_rt.errors import ConfigError, KernelError
from malle_rt.media.synthetic import INDEX_ROWS, SyntheticSource
from malle_rt.models import checksum, graph_file
from malle_rt.net import rt2
from malle_rt.net.rt import MalleNetRT
from malle_rt.net.weights import save_network
from malle_rt.ops.motion import find_motion

SIZES = [(64, 48), (1, 1), (3, 5), (353, 239), (8, 8), (128, 64)]


def random_planes(shape, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if shape.bits == 8 else np.uint16
    small = (-(-shape.height // 2), -(-shape.width // 2))
    sizes = ((shape.height, shape.width), small, small)
    return tuple(rng.integers(0, shape.largest + 1, size).astype(dtype) for size in sizes)


def three_frames(shape, *backends):
    """Of each frame: the noisy planes, and what every backend makes of them."""
    sessions, states = [backend.prepare(shape) for backend in backends], [None] * len(backends)
    for seed in range(3):
        planes = random_planes(shape, seed)
        results = []
        for index, session in enumerate(sessions):
            clean, states[index] = session.run(planes, Noise.white(20.0), states[index])
            results.append(clean)
        yield planes, results


@pytest.fixture(scope="module")
def openvino():
    return OpenVinoBackend("rt-s", threads=2)


@pytest.fixture(scope="module")
def quantised():
    return OpenVinoBackend("rt-s", threads=2, precision="int8")


@pytest.fixture(scope="module")
def eager():
    return TorchBackend("rt-s", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [8, 10])
def test_gives_what_torch_gives_over_three_frames(openvino, eager, size, bits):
    for planes, results in three_frames(FrameShape(*size, bits), openvino, eager):
        for got, wanted, noisy in zip(*results, planes, strict=True):
            assert got.shape == noisy.shape
            assert got.dtype == noisy.dtype
            # Same floats to about 1e-5; a value half way between two codes may round either way.
            assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.slow
def test_without_a_float32_graph_the_float16_one_is_computed_in_float32(openvino, tmp_path, monkeypatch):
    path = tmp_path / "rt-y.f16.onnx"
    path.write_bytes(graph_file("rt-s", "fp16").read_bytes())
    monkeypatch.setattr("malle_rt.models.engines_folder", lambda: tmp_path)
    widened = OpenVinoBackend("rt-y", threads=2)
    assert (widened.info.precision, widened.info.weights) == ("fp32", checksum(path))
    for _, results in three_frames(FrameShape(64, 48), openvino, widened):
        for got, wanted in zip(*results, strict=True):
            assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1, "weights differ by their rounding"


@pytest.mark.slow
def test_the_state_matters_and_none_starts_again(openvino):
    session = openvino.prepare(FrameShape(64, 48))
    planes = random_planes(FrameShape(64, 48))
    first, state = session.run(planes, Noise.white(20.0), None)
    second, state = session.run(planes, Noise.white(20.0), state)
    again, _ = session.run(planes, Noise.white(20.0), None)
    assert not np.array_equal(first[0], second[0])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.slow
def test_results_belong_to_the_caller(openvino):
    session = openvino.prepare(FrameShape(64, 48))
    first, state = session.run(random_planes(FrameShape(64, 48), 1), Noise.white(20.0), None)
    kept = [plane.copy() for plane in first]
    session.run(random_planes(FrameShape(64, 48), 2), Noise.white(20.0), state)
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


@pytest.mark.slow
def test_a_foreign_state_is_refused(openvino, eager):
    shape = FrameShape(16, 16)
    planes = random_planes(shape)
    for session in (openvino.prepare(shape), eager.prepare(shape)):
        with pytest.raises(KernelError, match="state belongs to another"):
            session.run(planes, Noise.white(20.0), object())


@pytest.mark.slow
def test_two_sessions_at_once_do_not_disturb_each_other(openvino):
    shape = FrameShape(96, 64)
    clips = [[random_planes(shape, 10 * lane + n) for n in range(5)] for lane in range(2)]

    def play(clip, out):
        session, state = openvino.prepare(shape), None
        for planes in clip:
            clean, state = session.run(planes, Noise.white(15.0), state)
            out.append(clean)

    alone, together = [[], []], [[], []]
    for clip, out in zip(clips, alone, strict=True):
        play(clip, out)
    threads = [threading.Thread(target=play, args=pair) for pair in zip(clips, together, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for wanted, got in zip(alone, together, strict=True):
        assert all(
            np.array_equal(a, b) for w, g in zip(wanted, got, strict=True) for a, b in zip(w, g, strict=True)
        )


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [8, 10])
def test_int8_takes_every_size_and_depth(quantised, size, bits):
    shape = FrameShape(*size, bits)
    session, state = quantised.prepare(shape), None
    for seed in range(2):
        planes = random_planes(shape, seed)
        clean, state = session.run(planes, Noise.white(20.0), state)
        assert [(p.shape, p.dtype) for p in clean] == [(p.shape, p.dtype) for p in planes]


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.5, 10, 25])
def test_int8_stays_near_float_while_its_own_state_is_fed_back(openvino, quantised, sigma):
    source, rng = SyntheticSource(24, (160, 96)), np.random.default_rng(0)
    sessions = [backend.prepare(FrameShape(160, 96)) for backend in (openvino, quantised)]
    states, errors, shifts = [None, None], [[], []], []
    for index in range(24):
        truth = source.clean(index).planes
        noisy = [np.clip(np.rint(p + rng.normal(0, sigma, p.shape)), 0, 255).astype(np.uint8) for p in truth]
        luma = []
        for which, session in enumerate(sessions):
            (y, _, _), states[which] = session.run(tuple(noisy), Noise.white(sigma), states[which])
            luma.append(y[INDEX_ROWS:].astype(float))
            errors[which].append(np.square(luma[-1] - truth[0][INDEX_ROWS:]).mean())
        shifts.append(luma[1] - luma[0])
    lost = 10 * np.log10(np.mean(errors[1][12:]) / np.mean(errors[0][12:]))
    # Measured 0.05 dB at most, 0.6 codes and 0.05 codes. Room for other instruction sets, whose sums round
    # differently; sums that overflow, or a zero point that is lost, cost 2 dB and more.
    assert lost < 0.2
    assert np.std(shifts) < 1.0
    assert np.abs(np.mean(shifts[12:], axis=(1, 2))).max() < 0.25, "brightness drifts"


@pytest.mark.parametrize(
    ("flags", "pays"),
    [("sse4_2 avx2", False), ("avx2 avx512f avx512_vnni", True), ("avx2 avx_vnni", True), ("amx_int8", True)],
)
def test_int8_pays_where_the_cpu_multiplies_bytes(tmp_path, flags, pays):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} rdtscp\n")
    assert int8_pays(cpuinfo) is pays


def test_int8_does_not_pay_where_it_cannot_be_told(tmp_path):
    assert not int8_pays(tmp_path / "nothing")


def test_frames_are_padded_as_the_network_wants_them():
    assert MalleNetRT.multiple == MULTIPLE


@pytest.mark.parametrize(
    ("size", "padded"), [((640, 360), (360, 640)), ((1280, 720), (720, 1288)), ((353, 239), (240, 360))]
)
def test_planes_do_not_lie_whole_pages_apart(size, padded):
    assert FrameShape(*size).padded(MULTIPLE) == padded


def test_info_says_what_runs(openvino):
    assert str(openvino.info) == "openvino rt-s fp32 on CPU (2 threads)"
    assert len(openvino.info.weights) == 12


def test_info_tells_int8_from_float(openvino, quantised):
    assert str(quantised.info) == "openvino rt-s int8 on CPU (2 threads)"
    assert quantised.info.weights != openvino.info.weights


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigError, match=r"no model 'nope'.*rt-s"):
        OpenVinoBackend("nope")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of the graphs and weights of an untrained network of the second generation."""
    torch.manual_seed(0)
    net = rt2.MalleNetRT(rt2.RTConfig(widths=(8, 8, 8), tail=8, hidden=3)).eval()
    folder = tmp_path_factory.mktemp("engines")
    for precision in ("fp32", "fp16"):
        write_checked(net, "rt-y", precision, folder)
    save_network(net, folder / "rt-y.safetensors")
    return folder


@pytest.fixture
def second_generation(exported, monkeypatch):
    monkeypatch.setattr("malle_rt.models.engines_folder", lambda: exported)


def moving(shape, index):
    """Planes of a picture that moves by 3 rows and 5 columns a frame, of any size."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.random((60, 80)).astype(np.float32), (640, 480), interpolation=cv2.INTER_CUBIC)
    top, left = 60 - 3 * index, 80 - 5 * index
    luma = scene[top : top + shape.height, left : left + shape.width].clip(0, 1)
    small = (-(-shape.height // 2), -(-shape.width // 2))
    values = (luma, *(cv2.resize(part, small[::-1]) for part in (luma, 1 - luma)))
    return tuple(
        np.rint(each * shape.largest).astype(np.uint8 if shape.bits == 8 else np.uint16) for each in values
    )


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 10])
def test_the_second_generation_follows_what_moves(second_generation, bits):
    shape = FrameShape(200, 120, bits)
    sessions = [
        each.prepare(shape)
        for each in (OpenVinoBackend("rt-y", threads=2), TorchBackend("rt-y", device="cpu"))
    ]
    states, told, clean = [None, None], Noise(4.0, 9.0, 3.0, 0.4), None
    for index in range(4):
        planes, results = moving(shape, index), []
        if clean is not None:
            codes = (torch.from_numpy(each[0] / shape.largest)[None, None] for each in (planes, clean))
            motion = find_motion(*(each.mul(255).round().byte() for each in codes))
            assert (motion != 0).any(1).float().mean() > 0.5
        for number, session in enumerate(sessions):
            clean, states[number] = session.run(planes, told, states[number])
            results.append(clean)
        for got, wanted in zip(*results, strict=True):
            assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.slow
def test_without_the_fused_operators_motion_is_not_followed_and_that_is_said(second_generation, monkeypatch):
    monkeypatch.setattr("malle_rt.ops.native.extension_path", lambda: None)
    backend = OpenVinoBackend("rt-y", threads=2)
    assert "motion not followed" in backend.info.notes
    shape = FrameShape(64, 48)
    clean, _ = backend.prepare(shape).run(moving(shape, 0), Noise.white(5.0), None)
    assert [each.shape for each in clean] == [(48, 64), (24, 32), (24, 32)]
