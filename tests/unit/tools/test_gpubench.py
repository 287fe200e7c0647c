"""The measurements for GPUs, run on the host implementation of the driver: what they call must be there and agree."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from gpubench import every_kernel, measurements
from helpers import cuda_host
from helpers.fakecuda import SOURCES, build_library, fake_cuda
from helpers.host_network import HostNetwork

from malle_rt.backends.base import BackendInfo
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.cuda.kernels import COMPILED, Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.cuda.opening import open_driver
from malle_rt.models import model_file
from malle_rt.net.weights import load_rt

SIZES = {"tiny": (64, 32)}


@pytest.fixture
def fake():
    with fake_cuda(cuda_host.build()) as fake:
        yield fake


class HostBackend:
    """The network on the host, behind the whole GPU path."""

    info = BackendInfo("host", "rt-s", "fp32", "no GPU", "")

    def __init__(self, fake) -> None:
        self._fake = fake
        self._driver = open_driver("cuda-bindings")
        self._net = load_rt(model_file("rt-s", ".safetensors"))

    def prepare(self, shape):
        size = padded_size(shape.width, shape.height)
        network = HostNetwork(self._net, *size, "f32", self._fake.library)
        return GpuSession(self._driver, Kernels(self._driver), network, shape, capture=self._driver.capture)

    def close(self) -> None:
        self._driver.close()


@pytest.mark.slow
def test_sessions_are_measured_and_prove_that_the_network_ran(fake):
    (row,) = measurements.measure_sessions(lambda: HostBackend(fake), SIZES, frames=12)
    assert row["size"] == "tiny" and row["graphs"]
    assert row["pipelined_fps"] > 0
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p99"]
    assert row["gain_db"] > 2


def test_slices_are_measured_beside_a_copy(fake, monkeypatch):
    monkeypatch.setattr(measurements, "_SPREAD", 2**16)
    monkeypatch.setattr(measurements, "milliseconds", ticking(measurements.milliseconds))
    driver = open_driver("cuda-bindings")
    rows = measurements.measure_slices(driver, SIZES)
    driver.close()
    assert len(rows) == 10
    assert all(row["share_of_copy"] > 0 and row["microseconds"] > 0 for row in rows)


def test_the_sanitizer_sees_every_kernel(fake):
    driver = open_driver("cuda-bindings")
    started = every_kernel.run(driver)
    driver.close()
    assert started == set(json.loads((COMPILED / "manifest.json").read_text())["kernels"])


EVERY_KERNEL = """
import ctypes, sys
fake = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
for name, value in ((b"devices", 1), (b"guard_pages", 1)):
    assert fake.fakecuda_set(name, ctypes.c_longlong(value)) == 0
assert fake.fakecuda_kernels(sys.argv[2].encode()) == 0
from gpubench import every_kernel
every_kernel.main()
if len(sys.argv) > 3:  # a byte past the end
    driver = every_kernel.open_driver("cuda-bindings")
    ctypes.memset(driver.allocate(4096).pointer, 0, 4096 + 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["kernels", "past-the-end"])
def test_every_kernel_stays_within_its_pages_under_the_sanitizers_of_the_processor(broken):
    """Address and undefined behaviour, in poisoned memory whose next page is out of reach."""
    pytest.importorskip("cuda.bindings")
    runtime = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    if not runtime.stdout.startswith("/"):
        pytest.skip("g++ has no AddressSanitizer here")
    library = build_library(sorted(SOURCES.glob("*.cpp")), "libcuda.so.1", "-Wl,-soname,libcuda.so.1")
    command = [sys.executable, "-c", EVERY_KERNEL, str(library), str(cuda_host.build(sanitized=True))]
    done = subprocess.run(
        [*command, *(["broken"] if broken else [])],
        env={
            **os.environ,
            "LD_PRELOAD": runtime.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    kernels = len(json.loads((COMPILED / "manifest.json").read_text())["kernels"])
    assert f"{kernels} kernels ran on Host implementation" in done.stdout, done.stderr[-2000:]
    assert (done.returncode != 0) == broken
    assert ("AddressSanitizer: SEGV" in done.stderr) == broken


@pytest.mark.parametrize(("cases", "inputs"), [("_slice_cases", 2), ("_plane_cases", 4)])
def test_the_sanitizer_gets_nothing_written_that_a_kernel_does_not_read(fake, cases, inputs):
    """Else a result that a kernel leaves out would look as if it was there: inputs are x and grid; sigma and planes."""
    driver = open_driver("cuda-bindings")
    stream = driver.stream()
    with ExitStack() as undo:
        undo.callback(driver.close)
        undo.callback(stream.close)
        case = next(getattr(every_kernel, cases)())
        launches = list(case.launches(every_kernel.DeviceMemory(driver, stream, undo)))
        stream.synchronize()
    assert launches
    assert fake.calls("cuMemsetD8Async") == inputs


def ticking(milliseconds):
    """The host's events may show no time at all between them."""
    return lambda *args, **options: max(milliseconds(*args, **options), 1e-3)


def test_the_machine_is_described_without_saying_whose_it_is(fake):
    driver = open_driver("cuda-bindings")
    found = measurements.describe(driver)
    driver.close()
    assert found["architecture"] == "sm_89"
    assert found["cuda_of_the_driver"] == "13.0"
    assert not {"host", "hostname", "user", "node"} & set(found)
