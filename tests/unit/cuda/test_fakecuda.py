"""The host implementation of CUDA must find mistakes, or tests on it prove nothing: here are the mistakes."""

from __future__ import annotations

import ctypes
import struct
import threading

import numpy as np
import pytest
from helpers.fakecuda import IMAGE, arithmetic_kernels, fake_cuda

SUCCESS, INVALID_VALUE, NO_DEVICE, INVALID_CONTEXT, NO_BINARY = 0, 1, 100, 201, 209
INVALID_HANDLE, NOT_FOUND, NOT_READY, ILLEGAL_ADDRESS, NOT_SUPPORTED = 400, 500, 600, 700, 801
CAPTURE_UNSUPPORTED, CAPTURE_UNMATCHED, UNJOINED, ISOLATION, IMPLICIT, CAPTURED_EVENT = (
    900,
    903,
    904,
    905,
    906,
    907,
)
THREAD_LOCAL = 1


class Raw:
    """The driver API by name, with integers for pointers; a function whose first argument is filled returns it."""

    def __init__(self, fake):
        self.library = fake.library

    def code(self, name, *arguments):
        values = [ctypes.c_size_t(value) if isinstance(value, int) else value for value in arguments]
        return self.library[name](*values)

    def ok(self, name, *arguments):
        assert self.code(name, *arguments) == SUCCESS, name

    def make(self, name, *arguments):
        made = ctypes.c_size_t()
        self.ok(name, ctypes.byref(made), *arguments)
        return made.value


@pytest.fixture
def fake():
    with fake_cuda(arithmetic_kernels(), check=False) as cuda:
        yield cuda


@pytest.fixture
def raw(fake):
    api = Raw(fake)
    api.ok("cuInit", 0)
    api.ok("cuCtxSetCurrent", api.make("cuDevicePrimaryCtxRetain", 0))
    yield api
    api.code("cuCtxSetCurrent", 0)


@pytest.fixture
def stream(raw):
    return raw.make("cuStreamCreate", 1)


def launch(raw, name, arguments, stream, *, threads=1):
    kernel = raw.make("cuModuleGetFunction", raw.make("cuModuleLoadData", IMAGE), name)
    pointers = (ctypes.c_void_p * max(len(arguments), 1))(*map(ctypes.addressof, arguments))
    return raw.code("cuLaunchKernel", kernel, 1, 1, 1, threads, 1, 1, 0, stream, pointers, None)


def add_one(data, count):
    return ctypes.c_uint64(data), ctypes.c_float(1), ctypes.c_int(count)


def floats(address, count):
    return np.frombuffer((ctypes.c_float * count).from_address(address), np.float32)


def test_has_no_device_until_a_test_asks(fake):
    fake.reset()
    assert fake.library.cuInit(0) == NO_DEVICE


def test_needs_a_context_on_the_thread(raw):
    codes = []
    pointer = ctypes.c_size_t()
    thread = threading.Thread(
        target=lambda: codes.append(raw.code("cuMemAlloc_v2", ctypes.byref(pointer), 8))
    )
    thread.start()
    thread.join()
    assert codes == [INVALID_CONTEXT]


def test_fresh_memory_is_poison(raw):
    assert np.isnan(floats(raw.make("cuMemAlloc_v2", 64), 16)).all()
    assert np.isnan(floats(raw.make("cuMemHostAlloc", 64, 1), 16)).all()


def test_nothing_runs_before_somebody_waits(raw, stream):
    data = raw.make("cuMemAlloc_v2", 64)
    raw.ok("cuMemsetD8Async", data, 0, 64, stream)
    assert np.isnan(floats(data, 16)).all()
    raw.ok("cuStreamSynchronize", stream)
    assert not floats(data, 16).any()


def test_pinned_memory_is_read_when_the_copy_runs_and_other_memory_at_once(raw, fake, stream):
    data, pinned = raw.make("cuMemAlloc_v2", 4), raw.make("cuMemHostAlloc", 4, 1)
    pageable = np.array([1], np.float32)
    for source, memory, expected in ((pinned, floats(pinned, 1), 2), (pageable.ctypes.data, pageable, 1)):
        memory[:] = 1
        raw.ok("cuMemcpyHtoDAsync_v2", data, source, 4, stream)
        memory[:] = 2
        raw.ok("cuStreamSynchronize", stream)
        assert floats(data, 1)[0] == expected
    assert fake.calls("pageable copy") == 1


def test_writes_past_the_end_are_seen(raw, fake, stream):
    source, data = raw.make("cuMemAlloc_v2", 64), raw.make("cuMemAlloc_v2", 60)
    raw.ok("cuMemsetD8Async", source, 0, 64, stream)
    arguments = (*map(ctypes.c_uint64, (data, source, source)), ctypes.c_int(16))
    assert launch(raw, b"average", arguments, stream) == SUCCESS
    raw.ok("cuStreamSynchronize", stream)
    assert fake.problems() == ["written past the end of a device block of 60 bytes"]


def test_writes_into_freed_memory_are_seen(raw, fake):
    data = raw.make("cuMemHostAlloc", 64, 1)
    raw.ok("cuMemFreeHost", data)
    floats(data, 1)[:] = 1
    assert fake.problems() == ["written into a freed page-locked block of 64 bytes"]


def test_memory_is_freed_once(raw):
    data = raw.make("cuMemAlloc_v2", 64)
    raw.ok("cuMemFree_v2", data)
    assert raw.code("cuMemFree_v2", data) == INVALID_VALUE


def test_a_kernel_cannot_read_host_memory(raw, stream):
    host = np.zeros(16, np.float32)
    assert launch(raw, b"add", add_one(host.ctypes.data, 16), stream) == SUCCESS
    assert raw.code("cuStreamSynchronize", stream) == ILLEGAL_ADDRESS
    assert not host.any()
    assert (
        raw.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_size_t()), 8) == ILLEGAL_ADDRESS
    )  # the context is lost


def test_arguments_are_copied_at_the_launch(raw, stream):
    data = raw.make("cuMemAlloc_v2", 4)
    raw.ok("cuMemsetD8Async", data, 0, 4, stream)
    arguments = add_one(data, 1)
    launch(raw, b"add", arguments, stream)
    arguments[1].value = 100
    raw.ok("cuStreamSynchronize", stream)
    assert floats(data, 1)[0] == 1


@pytest.mark.parametrize("threads", [0, 1025])
def test_a_block_has_1_to_1024_threads(raw, stream, threads):
    assert launch(raw, b"broken", (), stream, threads=threads) == INVALID_VALUE


def test_the_default_stream_is_refused(raw):
    assert raw.code("cuMemsetD8Async", raw.make("cuMemAlloc_v2", 4), 0, 4, 0) == NOT_SUPPORTED


def test_handles_are_checked(raw, stream):
    event = raw.make("cuEventCreate", 2)
    raw.ok("cuEventDestroy_v2", event)
    assert raw.code("cuEventRecord", event, stream) == INVALID_HANDLE
    assert raw.code("cuStreamSynchronize", event) == INVALID_HANDLE


def test_queries_let_work_through_bit_by_bit(raw, stream):
    data = raw.make("cuMemAlloc_v2", 4)
    for _ in range(20):
        raw.ok("cuMemsetD8Async", data, 0, 4, stream)
    assert raw.code("cuStreamQuery", stream) == NOT_READY
    assert SUCCESS in [raw.code("cuStreamQuery", stream) for _ in range(200)]


def test_a_seed_stands_for_one_order(raw, fake):
    def order(seed):
        fake.set(seed=seed)
        streams = [raw.make("cuStreamCreate", 1) for _ in range(3)]
        seen = []
        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda number: seen.append(number))
        for number in range(1, 13):
            raw.ok("cuLaunchHostFunc", streams[number % 3], callback, number)
        raw.ok("cuCtxSynchronize")
        for number in range(3):  # within a stream nothing is swapped
            assert sorted(mine := [n for n in seen if n % 3 == number]) == mine
        return tuple(seen)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(20)}) > 10


def test_a_host_function_may_wait_for_another_thread(raw, stream):
    reached, go = threading.Event(), threading.Event()

    def wait(_data):
        reached.set()
        assert go.wait(5)

    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(wait)
    raw.ok("cuLaunchHostFunc", stream, callback, 0)
    thread = threading.Thread(target=lambda: raw.library.cuInit(0) or (reached.wait(5), go.set()))
    thread.start()
    raw.ok("cuStreamSynchronize", stream)
    thread.join()


def test_the_nth_call_fails_on_demand(raw, fake):
    fake.fail("cuMemAlloc", NOT_FOUND, nth=2)
    pointer = ctypes.c_size_t()
    assert [raw.code("cuMemAlloc_v2", ctypes.byref(pointer), 8) for _ in range(3)] == [
        SUCCESS,
        NOT_FOUND,
        SUCCESS,
    ]
    assert fake.calls("cuMemAlloc") == 3


def test_work_fails_on_demand_when_it_runs(raw, fake, stream):
    fake.fail("execution", ILLEGAL_ADDRESS)
    raw.ok("cuMemsetD8Async", raw.make("cuMemAlloc_v2", 4), 0, 4, stream)
    assert raw.code("cuStreamSynchronize", stream) == ILLEGAL_ADDRESS


def test_counts_what_is_alive(raw, fake, stream):
    raw.make("cuMemAlloc_v2", 4)
    raw.ok("cuEventRecord", raw.make("cuEventCreate", 0), stream)
    assert fake.live() == {"contexts": 1, "device blocks": 1, "streams": 1, "events": 1, "pending": 1}


def cubin(arch, *, abi):
    """The head of an ELF file for sm_<arch>, as nvcc 12 (ABI 7) and 13 (ABI 8) write it."""
    head = bytearray(64)
    head[:4], head[8] = b"\x7fELF", abi
    head[48:52] = struct.pack("<I", arch << 8 | 4 if abi >= 8 else arch)
    return bytes(head)


@pytest.mark.parametrize("abi", [7, 8])
@pytest.mark.parametrize(("arch", "code"), [(89, SUCCESS), (86, SUCCESS), (75, NO_BINARY), (90, NO_BINARY)])
def test_a_cubin_belongs_to_a_family_of_gpus(raw, fake, abi, arch, code):
    fake.set(capability=89)
    assert raw.code("cuModuleLoadData", ctypes.byref(ctypes.c_size_t()), cubin(arch, abi=abi)) == code


def begin(raw, stream):
    raw.ok("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)


def end(raw, stream):
    return raw.code("cuStreamEndCapture", stream, ctypes.byref(ctypes.c_size_t()))


def test_a_fork_must_be_joined(raw, stream):
    side, event, data = (
        raw.make("cuStreamCreate", 1),
        raw.make("cuEventCreate", 2),
        raw.make("cuMemAlloc_v2", 4),
    )
    begin(raw, stream)
    raw.ok("cuEventRecord", event, stream)
    raw.ok("cuStreamWaitEvent", side, event, 0)
    raw.ok("cuMemsetD8Async", data, 0, 4, side)
    assert end(raw, side) == CAPTURE_UNMATCHED
    assert end(raw, stream) == UNJOINED


def test_a_capture_does_not_wait_for_work_outside_of_it(raw, stream):
    event = raw.make("cuEventCreate", 2)
    raw.ok("cuEventRecord", event, raw.make("cuStreamCreate", 1))
    begin(raw, stream)
    assert raw.code("cuStreamWaitEvent", stream, event, 0) == ISOLATION


def on_another_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(("flags", "code"), [(0, IMPLICIT), (1, SUCCESS)])
def test_the_legacy_stream_breaks_the_capture_of_a_stream_that_waits_for_it(raw, stream, flags, code):
    """The auxiliary stream, forked into the capture, is what counts, on whatever thread the copy is."""
    auxiliary, event = raw.make("cuStreamCreate", flags), raw.make("cuEventCreate", 2)
    source, target = raw.make("cuMemAlloc_v2", 4), raw.make("cuMemAlloc_v2", 4)
    begin(raw, stream)
    raw.ok("cuEventRecord", event, stream)
    raw.ok("cuStreamWaitEvent", auxiliary, event, 0)

    def copy():
        raw.ok("cuCtxSetCurrent", raw.make("cuDevicePrimaryCtxRetain", 0))
        return raw.code("cuMemcpyDtoD_v2", target, source, 4)

    assert on_another_thread(copy) == code


def test_an_event_of_a_capture_is_no_moment(raw, stream):
    event = raw.make("cuEventCreate", 2)
    begin(raw, stream)
    raw.ok("cuEventRecord", event, stream)
    assert raw.code("cuEventQuery", event) == CAPTURED_EVENT


@pytest.mark.parametrize("name", ["cuStreamSynchronize", "cuStreamQuery"])
def test_a_captured_stream_cannot_be_waited_for(raw, stream, name):
    begin(raw, stream)
    assert raw.code(name, stream) == CAPTURE_UNSUPPORTED


def test_the_whole_context_cannot_be_waited_for_while_capturing(raw, stream):
    begin(raw, stream)
    assert raw.code("cuCtxSynchronize") == CAPTURE_UNSUPPORTED
