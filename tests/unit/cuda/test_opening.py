from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from helpers.fakecuda import fake_cuda

from malle_rt.cuda import opening
from malle_rt.cuda.libcuda import device_count
from malle_rt.cuda.opening import cuda_problem, open_driver
from malle_rt.errors import BackendUnavailable, ConfigError


def needs(adapter):
    there = opening._installed(opening.ADAPTERS[adapter])
    return pytest.mark.skipif(not there, reason=f"{adapter} is not installed")


needs_bindings, needs_pycuda = needs("cuda-bindings"), needs("pycuda")


@pytest.fixture
def fake():
    with fake_cuda() as cuda:
        yield cuda


def install(monkeypatch, *modules):
    """Make the choice believe that of the adapters only these are installed."""
    monkeypatch.setattr(opening, "_installed", lambda module: module in modules)


@needs_bindings
def test_prefers_cuda_bindings_and_says_so(fake, caplog):
    with caplog.at_level(logging.INFO):
        driver = open_driver()
    assert driver.name == "cuda-bindings"
    assert (
        "CUDA through cuda-bindings (the default) on GPU 0: Host implementation of CUDA 0, sm_89"
        in caplog.text
    )
    driver.close()


@needs_pycuda
def test_takes_pycuda_where_cuda_bindings_is_missing(fake, caplog, monkeypatch):
    install(monkeypatch, "pycuda.driver")
    with caplog.at_level(logging.INFO):
        driver = open_driver()
    assert driver.name == "pycuda"
    assert "CUDA through pycuda (cuda-bindings is not installed) on GPU 0" in caplog.text
    driver.close()


@needs_pycuda
def test_takes_the_adapter_that_was_asked_for(fake, caplog):
    with caplog.at_level(logging.INFO):
        open_driver("pycuda").close()
    assert "CUDA through pycuda (asked for)" in caplog.text


def test_opens_the_gpu_of_that_number(fake):
    pytest.importorskip("cuda.bindings.driver")
    fake.set(devices=2)
    driver = open_driver("cuda-bindings", device=1)
    assert (driver.device.index, driver.device.name) == (1, "Host implementation of CUDA 1")
    driver.close()


@pytest.mark.parametrize("device", [2, -1])
def test_says_which_gpus_there_are(fake, device):
    fake.set(devices=2)
    with pytest.raises(BackendUnavailable, match=f"no GPU {device}: the NVIDIA driver has GPUs 0 to 1"):
        open_driver(device=device)


def test_counts_the_gpus_that_the_process_sees(fake):
    fake.set(devices=3)
    assert device_count() == 3
    assert "no GPU 3: the NVIDIA driver has GPUs 0 to 2" in str(cuda_problem(3))


def test_knows_only_its_adapters():
    with pytest.raises(ConfigError, match="no CUDA adapter 'cupy'; there are: auto, cuda-bindings, pycuda"):
        open_driver("cupy")


def test_says_what_to_install_without_any_adapter(fake, monkeypatch):
    install(monkeypatch)
    message = "no CUDA adapter is installed (cuda-bindings or pycuda). pip install 'malle-rt[cuda]'"
    with pytest.raises(BackendUnavailable) as failed:
        open_driver()
    assert str(failed.value) == message == str(cuda_problem())


@pytest.mark.parametrize(
    ("adapter", "module", "message"),
    [
        ("cuda-bindings", "cuda.bindings", "CUDA adapter 'cuda-bindings' is not installed"),
        ("pycuda", "pycuda.driver", "CUDA adapter 'pycuda' does not load"),
    ],
)
def test_a_named_adapter_runs_or_fails(fake, monkeypatch, adapter, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "cuda.bindings.driver", raising=False)
    with pytest.raises(BackendUnavailable, match=f"{message} .*pip install 'malle-rt"):
        open_driver(adapter)


def test_says_that_the_driver_is_too_old(fake):
    fake.set(driver=11080)
    message = "the NVIDIA driver supports CUDA 11.8, malle-rt needs 12.0 or newer. Update the driver"
    with pytest.raises(BackendUnavailable) as failed:
        open_driver()
    assert str(failed.value) == message == str(cuda_problem())


def test_says_that_there_is_no_gpu(fake):
    fake.set(devices=0)
    with pytest.raises(
        BackendUnavailable, match=r"finds no GPU \(CUDA_ERROR_NO_DEVICE\)\. Look at nvidia-smi"
    ):
        open_driver()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (803, r"differ in version \(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\)\. Restart the machine"),
        (999, r"the NVIDIA driver does not start: CUDA error 999"),
    ],
)
def test_says_why_the_driver_does_not_start(fake, code, message):
    fake.fail("cuInit", code)
    with pytest.raises(BackendUnavailable, match=message):
        open_driver()


@needs_bindings
def test_the_probe_makes_no_context(fake):
    assert cuda_problem() is None
    assert fake.calls("cuDevicePrimaryCtxRetain") == 0


def test_says_that_there_is_no_nvidia_driver():
    # In a process of its own: in this one a driver may be loaded already.
    code = "from malle_rt.cuda.opening import cuda_problem; print(cuda_problem())"
    environment = {**os.environ, "LD_LIBRARY_PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    if "libcuda" not in done.stdout:
        pytest.skip("this machine has an NVIDIA driver")
    assert "no NVIDIA driver on this machine (libcuda.so.1 not found). Install it" in done.stdout


def test_the_probe_imports_no_adapter():
    code = (
        "import sys; from malle_rt.cuda.opening import cuda_problem; cuda_problem()\n"
        "sys.exit(', '.join({'pycuda', 'cuda.bindings.driver', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
