"""Without a GPU a network does not get far; what it says about it is what can be tested here."""

import shutil

import pytest
from helpers.trt import NotedSlices

from malle_rt.errors import BackendUnavailable
from malle_rt.models import graph_file
from malle_rt.trt.build import BuildRequest, build_engine
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.network import TensorRTNetwork
from malle_rt.trt.profiles import load_profile

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU here")
def test_says_that_there_is_no_gpu():
    request = BuildRequest(
        flavour="tensorrt-rtx", graph=graph_file("rt-s", "fp16"), profile=load_profile("64x64")
    )
    engine = build_engine(request).data
    with pytest.raises(
        BackendUnavailable, match=r"finds no NVIDIA GPU with a driver it can use: .*cudaError"
    ):
        TensorRTNetwork(load_flavour("tensorrt-rtx"), engine, 64, 64, NotedSlices())
