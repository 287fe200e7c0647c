"""The contract of the driver seam, kept by both adapters on the host implementation of CUDA."""

from __future__ import annotations

import ctypes
import logging
import threading

import numpy as np
import pytest
from helpers.fakecuda import IMAGE, arithmetic_kernels, fake_cuda
from helpers.ring import EXPECTED, run_ring

from malle_rt.cuda.opening import open_driver
from malle_rt.errors import BackendUnavailable, KernelError, OutOfDeviceMemory

LAUNCH_FAILED = 719


@pytest.fixture
def fake():
    with fake_cuda(arithmetic_kernels()) as cuda:
        yield cuda


def require(adapter):
    module = "cuda.bindings.driver" if adapter == "cuda-bindings" else "pycuda.driver"
    pytest.importorskip(module, reason=f"{adapter} is not installed")


@pytest.fixture(params=["cuda-bindings", "pycuda"])
def adapter(request, fake):
    require(request.param)
    return request.param


@pytest.fixture
def driver(adapter):
    opened = open_driver(adapter)
    yield opened
    opened.close()


@pytest.fixture
def graphs(fake):
    """A driver that has CUDA graphs."""
    require("cuda-bindings")
    opened = open_driver("cuda-bindings")
    yield opened
    opened.close()


def add(driver, data, value, count, stream):
    arguments = ctypes.c_uint64(data), ctypes.c_float(value), ctypes.c_int(count)
    driver.launch(driver.load(IMAGE)("add"), (1, 1, 1), (32, 1, 1), arguments, stream.handle)


def pinned(driver, value, count=16):
    memory = driver.pinned((count,), np.float32)
    memory.array[:] = value
    return memory


def in_thread(work):
    """Run ``work`` on another thread and raise here what it raises there."""
    failures = []

    def body():
        try:
            work()
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_describes_the_device(driver, adapter):
    assert driver.name == adapter
    device = driver.device
    assert (device.index, device.capability, device.sm) == (0, (8, 9), "sm_89")
    assert (device.driver, device.memory) == (13000, 8 << 30)
    assert device.name == "Host implementation of CUDA 0"


def test_carries_an_array_there_and_back(driver):
    source = np.arange(24, dtype=np.uint16).reshape(2, 12)
    stream, up, down = driver.stream(), driver.pinned((2, 12), np.uint16), driver.pinned((2, 12), np.uint16)
    first, second = driver.allocate(48), driver.allocate(48)
    assert first.pointer % 256 == 0 and first.nbytes == 48
    up.array[:] = source
    driver.upload(first.pointer, up.array, stream)
    driver.copy(second.pointer, first.pointer, 48, stream)
    driver.clear(second.pointer, 24, stream)
    driver.download(down.array, second.pointer, stream)
    stream.synchronize()
    assert np.array_equal(down.array[0], np.zeros(12)) and np.array_equal(down.array[1], source[1])


def test_launches_kernels_in_the_order_of_the_stream(driver):
    stream, data, memory = driver.stream(), driver.allocate(64), pinned(driver, 1)
    driver.upload(data.pointer, memory.array, stream)
    for value in (2, 3):
        add(driver, data.pointer, value, 16, stream)
    driver.download(memory.array, data.pointer, stream)
    stream.synchronize()
    assert np.all(memory.array == 6)


def test_refuses_the_default_stream(driver):
    with pytest.raises(KernelError, match="add on the default stream"):
        driver.launch(driver.load(IMAGE)("add"), (1, 1, 1), (1, 1, 1), (), 0)


def test_says_which_kernel_is_missing(driver):
    with pytest.raises(KernelError, match=r"cuModuleGetFunction nothing: CUDA_ERROR_NOT_FOUND"):
        driver.load(IMAGE)("nothing")


@pytest.mark.parametrize("broken", ["source", "target"])
def test_copies_only_whole_arrays(driver, broken):
    stream, memory = driver.stream(), driver.allocate(64)
    every_second = np.zeros(32, np.float32)[::2]
    with pytest.raises(KernelError, match=r"shape \(16,\) and strides \(8,\) is not C-contiguous"):
        if broken == "source":
            driver.upload(memory.pointer, every_second, stream)
        else:
            driver.download(every_second, memory.pointer, stream)


def test_does_not_write_what_is_read_only(driver):
    target = np.zeros(16, np.float32)
    target.flags.writeable = False
    with pytest.raises(KernelError, match="read-only"):
        driver.download(target, driver.allocate(64).pointer, driver.stream())


def test_a_copy_past_the_end_is_an_error(driver):
    with pytest.raises(
        KernelError, match=r"cuMemcpyHtoDAsync: CUDA_ERROR_INVALID_VALUE \(invalid argument\)"
    ):
        driver.upload(driver.allocate(63).pointer, pinned(driver, 0).array, driver.stream())


@pytest.mark.parametrize("omit", ["uploaded", "computed", "downloaded"])
def test_a_missing_event_shows_for_some_seed(driver, fake, omit):
    wrong = 0
    for seed in range(50):
        fake.set(seed=seed)
        wrong += run_ring(driver, omit=omit) != EXPECTED
    assert wrong > 0


def test_a_ring_ordered_by_events_is_right_for_every_seed(driver, fake):
    for seed in range(50):
        fake.set(seed=seed)
        assert run_ring(driver) == EXPECTED, f"seed {seed}"
    assert fake.calls("pageable copy") == 0
    assert fake.calls("cuCtxSynchronize") == 0


def test_events_tell_what_was_passed_and_when(driver):
    stream, before, after = driver.stream(), driver.event(timing=True), driver.event(timing=True)
    assert after.done()  # never recorded
    before.record(stream)
    data = driver.allocate(64)
    for _ in range(30):
        add(driver, data.pointer, 1, 16, stream)
    after.record(stream)
    assert not after.done()
    after.wait()
    assert after.done() and before.done()
    assert 0 <= after.milliseconds_since(before) < 10_000


def test_events_without_timing_have_no_time(driver):
    stream, before, after = driver.stream(), driver.event(), driver.event()
    before.record(stream)
    after.record(stream)
    after.wait()
    with pytest.raises(KernelError, match="cuEventElapsedTime: CUDA_ERROR_INVALID_HANDLE"):
        after.milliseconds_since(before)


def test_waits_end(driver):
    stream, event, data = driver.stream(), driver.event(), driver.allocate(64)
    for _ in range(200):
        add(driver, data.pointer, 1, 16, stream)
    event.record(stream)
    with pytest.raises(KernelError, match="waited 0 s for a CUDA event, and the GPU is not done"):
        event.wait(seconds=0)
    with pytest.raises(KernelError, match="waited 0 s for a CUDA stream"):
        stream.synchronize(seconds=0)


def test_says_what_memory_there_is(driver, fake):
    fake.set(memory=1000)
    assert driver.free_memory() == 1000
    buffer = driver.allocate(600)
    assert driver.free_memory() == 400
    with pytest.raises(OutOfDeviceMemory, match=r"cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY \(out of memory\)"):
        driver.allocate(401)
    buffer.close()
    driver.allocate(1000)


def test_a_failed_kernel_is_heard_of_at_the_next_wait(driver, caplog):
    stream = driver.stream()
    driver.launch(driver.load(IMAGE)("broken"), (1, 1, 1), (1, 1, 1), (), stream.handle)
    with pytest.raises(KernelError, match=r"CUDA_ERROR_LAUNCH_FAILED \(unspecified launch failure\)"):
        stream.synchronize()
    with caplog.at_level(logging.WARNING):
        driver.close()
    assert len(caplog.records) == 1 and "CUDA_ERROR_LAUNCH_FAILED" in caplog.text


def test_memory_freed_under_a_kernel_is_an_illegal_address(driver, caplog):
    stream, data = driver.stream(), driver.allocate(64)
    add(driver, data.pointer, 1, 16, stream)
    data.close()
    with pytest.raises(KernelError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        stream.synchronize()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            IMAGE.replace(b"7.0", b"9.1"),
            r"PTX is newer than .* supports CUDA 13\.0 .*UNSUPPORTED.*: update the driver",
        ),
        (
            IMAGE.replace(b"sm_75", b"sm_90"),
            r"not compiled for Host .*, sm_89 \(CUDA_ERROR_NO_BINARY_FOR_GPU\)",
        ),
    ],
)
def test_says_why_the_driver_takes_no_image(driver, image, message):
    with pytest.raises(BackendUnavailable, match=message):
        driver.load(image)


def test_what_is_no_image_is_an_error(driver):
    with pytest.raises(KernelError, match="cuModuleLoadData: CUDA_ERROR_INVALID_IMAGE"):
        driver.load(b"nothing of the kind")


def test_every_thread_uses_the_driver_and_any_closes_it(driver, fake):
    memory = pinned(driver, 5)

    def work():
        driver.make_current()
        stream, data = driver.stream(), driver.allocate(64)
        driver.upload(data.pointer, memory.array, stream)
        add(driver, data.pointer, 2, 16, stream)
        driver.download(memory.array, data.pointer, stream)
        stream.synchronize()
        data.close()

    in_thread(work)
    assert np.all(memory.array == 7)
    in_thread(driver.close)
    assert fake.live() == {}


def test_a_thread_without_the_context_hears_it(driver):
    stream, data = driver.stream(), driver.allocate(4)
    with pytest.raises(KernelError, match="CUDA_ERROR_INVALID_CONTEXT"):
        in_thread(lambda: driver.clear(data.pointer, 4, stream))


def test_closes_what_was_left_open_even_with_work_in_flight(adapter, fake):
    driver = open_driver(adapter)
    stream, data, memory = driver.stream(), driver.allocate(64), pinned(driver, 1)
    driver.event().record(stream)
    driver.upload(data.pointer, memory.array, stream)
    add(driver, data.pointer, 1, 16, stream)
    driver.close()
    driver.close()
    for closed in (stream, data, memory):
        closed.close()
    assert fake.live() == {} and fake.problems() == []
    with pytest.raises(KernelError, match="this CUDA driver was closed"):
        driver.make_current()


@pytest.mark.parametrize(
    "call", ["cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuDeviceGetName", "cuDeviceTotalMem"]
)
def test_nothing_is_left_of_a_driver_that_does_not_open(adapter, fake, call):
    fake.fail(call, LAUNCH_FAILED)
    with pytest.raises(KernelError, match=f"{call}: CUDA_ERROR_LAUNCH_FAILED"):
        open_driver(adapter)
    assert fake.live() == {}


@pytest.mark.parametrize(
    ("call", "make"),
    [
        ("cuStreamCreate", lambda driver: driver.stream()),
        ("cuEventCreate", lambda driver: driver.event()),
        ("cuMemHostAlloc", lambda driver: driver.pinned((1,), np.uint8)),
        ("cuMemAlloc", lambda driver: driver.allocate(1)),
        ("cuModuleLoadData", lambda driver: driver.load(IMAGE)),
    ],
)
def test_what_could_not_be_made_is_not_given_back(driver, fake, call, make):
    fake.fail(call, LAUNCH_FAILED)
    with pytest.raises(KernelError, match=f"{call}: CUDA_ERROR_LAUNCH_FAILED"):
        make(driver)
    driver.close()
    assert fake.live() == {}


@pytest.mark.parametrize("closes_first", [0, 1])
def test_two_drivers_share_a_gpu_and_either_may_close_first(adapter, fake, closes_first):
    opened = [open_driver(adapter), open_driver(adapter)]
    memories = [driver.allocate(64) for driver in opened]
    opened[closes_first].close()
    left, data = opened[1 - closes_first], memories[1 - closes_first]
    left.make_current()  # as before every frame: who closes leaves the thread without a context
    stream, memory = left.stream(), pinned(left, 1)
    left.upload(data.pointer, memory.array, stream)
    add(left, data.pointer, 2, 16, stream)
    left.download(memory.array, data.pointer, stream)
    stream.synchronize()
    assert np.all(memory.array == 3)
    left.close()
    assert fake.live() == {} and fake.problems() == []


def test_pycuda_says_that_it_has_no_graphs(fake):
    require("pycuda")
    driver = open_driver("pycuda")
    assert driver.no_graphs == "PyCUDA has no CUDA graphs: use cuda-bindings"
    with pytest.raises(BackendUnavailable, match="use cuda-bindings"):
        driver.capture(driver.stream(), lambda: None)
    driver.close()


def test_a_graph_repeats_what_was_captured(graphs, fake):
    assert graphs.no_graphs == ""
    stream, data, memory = graphs.stream(), graphs.allocate(64), pinned(graphs, 1)
    kernel = graphs.load(IMAGE)("add")
    arguments = ctypes.c_uint64(data.pointer), ctypes.c_float(1), ctypes.c_int(16)

    def body():
        graphs.upload(data.pointer, memory.array, stream)
        graphs.launch(kernel, (1, 1, 1), (1, 1, 1), arguments, stream.handle)
        graphs.download(memory.array, data.pointer, stream)

    graph = graphs.capture(stream, body)
    stream.synchronize()
    assert np.all(memory.array == 1)  # captured, not executed
    for _ in range(3):
        graph.launch(stream)
    stream.synchronize()
    assert np.all(memory.array == 4)
    graph.close()
    graph.close()


def test_a_graph_spans_streams_that_events_tie_together(graphs, fake):
    main, side, fork, join = graphs.stream(), graphs.stream(), graphs.event(), graphs.event()
    data, memory, kernel = graphs.allocate(64), pinned(graphs, 1), graphs.load(IMAGE)("add")
    arguments = ctypes.c_uint64(data.pointer), ctypes.c_float(1), ctypes.c_int(16)

    def body():
        graphs.upload(data.pointer, memory.array, main)
        fork.record(main)
        side.wait_for(fork)
        graphs.launch(kernel, (1, 1, 1), (1, 1, 1), arguments, side.handle)
        join.record(side)
        main.wait_for(join)
        graphs.download(memory.array, data.pointer, main)

    graph = graphs.capture(main, body)
    for seed in range(20):
        fake.set(seed=seed)
        graph.launch(main)
        main.synchronize()
        assert np.all(memory.array == seed + 2), f"seed {seed}"


def test_a_failing_body_ends_the_capture(graphs, fake):
    stream, data = graphs.stream(), graphs.allocate(4)

    def body():
        graphs.clear(data.pointer, 4, stream)
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        graphs.capture(stream, body)
    assert "graphs" not in fake.live()
    stream.synchronize()


@pytest.mark.parametrize(
    ("forbidden", "message"),
    [
        (lambda driver, stream: driver.allocate(4), "cuMemAlloc: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
        (lambda driver, stream: stream.synchronize(), "cuStreamQuery: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
    ],
)
def test_what_cannot_be_captured_is_an_error(graphs, fake, forbidden, message):
    stream = graphs.stream()
    with pytest.raises(KernelError, match=message):
        graphs.capture(stream, lambda: forbidden(graphs, stream))
    stream.synchronize()
    assert "graphs" not in fake.live()


def test_a_capture_that_was_spoilt_in_silence_is_an_error(graphs, fake):
    stream = graphs.stream()

    def body():
        with pytest.raises(KernelError):
            stream.synchronize()

    with pytest.raises(KernelError, match="cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        graphs.capture(stream, body)
    assert "graphs" not in fake.live()


def test_a_graph_that_cannot_be_made_leaves_nothing(graphs, fake):
    fake.fail("cuGraphInstantiate", 2)
    with pytest.raises(OutOfDeviceMemory, match="cuGraphInstantiate: CUDA_ERROR_OUT_OF_MEMORY"):
        graphs.capture(graphs.stream(), lambda: None)
    assert "graphs" not in fake.live()


def test_other_threads_allocate_while_one_captures(graphs):
    stream = graphs.stream()

    def beside():
        graphs.make_current()
        graphs.allocate(4).close()

    graphs.capture(stream, lambda: in_thread(beside)).close()
