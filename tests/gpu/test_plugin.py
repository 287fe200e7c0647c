"""The TensorRT plugin's ``enqueue`` on a real GPU: torch's pointers, alone and in a captured graph."""

import pytest
import torch

from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import open_driver
from malle_rt.ops.reference import slice_in_torch
from malle_rt.trt.flavour import FLAVOURS, load_flavour
from malle_rt.trt.plugin import plugin_library

pytestmark = pytest.mark.gpu


class Description:
    """What the plugin reads of TensorRT's tensor descriptions."""

    def __init__(self, tensor, kind) -> None:
        self.dims, self.type = tuple(tensor.shape), kind


@pytest.fixture(params=FLAVOURS)
def library(request):
    pytest.importorskip({"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}[request.param])
    flavour = load_flavour(request.param)
    driver = open_driver()
    library = plugin_library(flavour)
    library.slicer = Kernels(driver)
    yield flavour.module, library
    library.slicer = None
    driver.close()


def test_enqueue_alone_and_captured(library):
    trt, library = library
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.rand(1, 1, 96, 160, generator=generator, device="cuda").half()
    grid = torch.randn(1, 26, 48, 80, generator=generator, device="cuda").half()
    y = torch.empty_like(x)
    plugin = library.plugin(5, "slice")
    inputs, outputs = [Description(each, trt.float16) for each in (x, grid)], [Description(y, trt.float16)]
    plugin.on_shape_change(inputs, outputs)

    def enqueue():
        stream = torch.cuda.current_stream().cuda_stream
        plugin.enqueue(inputs, outputs, [x.data_ptr(), grid.data_ptr()], [y.data_ptr()], 0, stream)

    def error():
        torch.cuda.synchronize()
        exact = slice_in_torch(x.double(), grid.double(), 5)
        floor = (slice_in_torch(x, grid, 5).double() - exact).abs().max()
        return float((y.double() - exact).abs().max() / (2 * floor + 1e-6))

    stream = torch.cuda.Stream()  # the default one is refused
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        enqueue()
    assert error() <= 1
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        enqueue()
    x.copy_(torch.rand(x.shape, generator=generator, device="cuda"))
    y.fill_(float("nan"))
    graph.replay()
    assert error() <= 1
