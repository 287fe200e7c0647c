"""A GPU that is really the host: the driver, and both ways to reach it."""

import pytest
from helpers import cuda_host
from helpers.fakecuda import fake_cuda
from helpers.surfaces import wait_for_release

from malle_rt.cuda.opening import open_driver

MODULES = {"cuda-bindings": "cuda.bindings", "pycuda": "pycuda"}


@pytest.fixture
def fake():
    with fake_cuda(cuda_host.build()) as fake:
        yield fake


@pytest.fixture(params=sorted(MODULES))
def driver(request, fake):
    pytest.importorskip(MODULES[request.param])
    driver = open_driver(request.param)
    yield driver
    wait_for_release()
    driver.close()
