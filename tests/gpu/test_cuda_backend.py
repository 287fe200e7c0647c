"""The ``cuda`` backend on a real GPU against the torch backend on the CPU: sizes, precisions, graphs, adapters."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from malle_rt.backends.base import FrameShape
from malle_rt.backends.cuda import CudaBackend
from malle_rt.backends.gpu.trial import agreement, trial_frames
from malle_rt.backends.torch import TorchBackend
from malle_rt.contract import Noise
from malle_rt.errors import BackendError

pytestmark = pytest.mark.gpu

SHAPES = [FrameShape(320, 180), FrameShape(331, 181), FrameShape(320, 180, bits=10), FrameShape(1280, 720)]
ADAPTERS = ["cuda-bindings", "pycuda"]


@pytest.fixture(params=ADAPTERS)
def adapter(request):
    module = {"cuda-bindings": "cuda.bindings", "pycuda": "pycuda"}[request.param]
    if importlib.util.find_spec(module.split(".")[0]) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 60), ("fp16", 45)])
@pytest.mark.parametrize("graphs", [True, False])
def test_gives_the_frames_of_the_torch_backend(adapter, shape, precision, least, graphs):
    backend = CudaBackend("rt-s", precision=precision, adapter=adapter, graphs=graphs)
    session = backend.prepare(shape)
    assert session.graphs == graphs
    reference = TorchBackend("rt-s", device="cpu").prepare(shape)
    assert agreement(session, reference, shape) >= least
    session.close()
    backend.close()


def test_frames_in_flight_are_those_of_one_at_a_time():
    shape = FrameShape(640, 360)
    random = np.random.default_rng(0)
    small = (180, 320)
    frames = [
        tuple(random.integers(0, 256, size, np.uint8) for size in ((360, 640), small, small))
        for _ in range(40)
    ]
    backend = CudaBackend("rt-s")
    session = backend.prepare(shape)
    state, single = None, []
    for planes in frames:
        clean, state = session.run(planes, Noise.white(20.0), state)
        single.append(clean)
    state, results = None, []
    for planes in frames:
        result, state = session.start(planes, Noise.white(20.0), state)
        results.append(result)
    for result, wanted in zip(results, single, strict=True):
        for ours, theirs in zip(result(), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    session.close()
    backend.close()


def test_results_are_read_on_another_thread():
    shape = FrameShape(320, 180)
    planes = trial_frames(shape)[0]
    backend = CudaBackend("rt-s")
    session = backend.prepare(shape)
    result, _ = session.start(planes, Noise.white(20.0), None)
    with ThreadPoolExecutor(1) as pool:
        ours = pool.submit(result).result()
    theirs, _ = session.run(planes, Noise.white(20.0), None)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    session.close()
    backend.close()


def test_backends_follow_each_other_in_one_process():
    shape = FrameShape(320, 180)
    reference = TorchBackend("rt-s", device="cpu").prepare(shape)
    for _ in range(2):
        backend = CudaBackend("rt-s", precision="fp32")
        session = backend.prepare(shape)
        assert agreement(session, reference, shape) >= 60
        session.close()
        backend.close()
    assert agreement(TorchBackend("rt-s", device="cuda").prepare(shape), reference, shape) >= 60


@pytest.mark.parametrize("graphs", [True, False])
def test_a_closed_session_leaves_its_memory_to_others(graphs):
    backend = CudaBackend("rt-s", graphs=graphs)
    shape = FrameShape(1920, 1080)
    backend.prepare(shape).close()  # what libraries load at first use stays
    before, _ = torch.cuda.mem_get_info()
    session = backend.prepare(shape)
    taken = before - torch.cuda.mem_get_info()[0]
    session.close()
    after, _ = torch.cuda.mem_get_info()
    assert before - after < max(taken // 10, 64 * 2**20)
    backend.close()


def test_a_picture_beyond_the_memory_is_refused_in_one_line():
    backend = CudaBackend("rt-s")
    with pytest.raises(BackendError, match="no memory left for 262144x65536"):
        backend.prepare(FrameShape(262144, 65536))
    backend.close()
