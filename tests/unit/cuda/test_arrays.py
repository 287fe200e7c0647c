from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
from helpers.fakecuda import fake_cuda

from malle_rt.cuda.arrays import DeviceArray, host_array
from malle_rt.cuda.dlpack import _DLManagedTensor
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import ConfigError

CPU, GPU, AMD = 1, 2, 10


@pytest.fixture
def driver():
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    with fake_cuda():
        opened = open_driver("cuda-bindings")
        yield opened
        opened.close()


class Producer:
    """An array of another library that speaks DLPack; counts how often it gets its memory back."""

    def __init__(self, pointer, shape, *, kind=GPU, code=2, bits=32, lanes=1, strides=None, offset=0):
        self.kind, self.returned, self.stream = kind, 0, "never asked"
        self._managed = managed = _DLManagedTensor()
        tensor = managed.tensor
        tensor.data, tensor.device_type, tensor.device_id, tensor.byte_offset = pointer, kind, 3, offset
        tensor.code, tensor.bits, tensor.lanes, tensor.ndim = code, bits, lanes, len(shape)
        self._shape = tensor.shape = (ctypes.c_int64 * len(shape))(*shape)
        if strides is not None:
            self._strides = tensor.strides = (ctypes.c_int64 * len(strides))(*strides)
        managed.deleter = type(managed.deleter)(self._take_back)

    def _take_back(self, address):
        assert address == ctypes.addressof(self._managed)
        self.returned += 1

    def __dlpack_device__(self):
        return self.kind, 3

    def __dlpack__(self, *, stream=None):
        self.stream = stream
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self._managed), b"dltensor", None)


class Described:
    """An array of another library that describes itself as CuPy and Numba do."""

    def __init__(self, **interface):
        base = {"shape": (2, 3), "typestr": "<f2", "data": (4096, False), "version": 3}
        self.__cuda_array_interface__ = {**base, **interface}


def test_numpy_arrays_are_taken_as_they_are():
    array = np.zeros((2, 3), np.uint8)[:, ::2]
    assert host_array(array) is array


def test_cpu_tensors_share_their_memory():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6, dtype=torch.int16).reshape(2, 3)
    array = host_array(tensor.t())
    assert array.shape == (3, 2) and array.strides == (2, 6) and array.dtype == np.int16
    tensor[1, 2] = 77
    assert array[2, 1] == 77


def test_tensors_numpy_cannot_see_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(ConfigError, match=r"torch\.Tensor cannot be seen as a numpy array"):
        host_array(torch.zeros(2, requires_grad=True))


def test_buffers_share_their_memory():
    memory = bytearray(b"abc")
    array = host_array(memory)
    memory[0] = 7
    assert array.dtype == np.uint8 and array.tolist() == [7, 98, 99]


def test_what_is_no_array_is_refused():
    with pytest.raises(
        ConfigError, match=r"builtins\.list is no array: it has neither DLPack nor the buffer"
    ):
        host_array([1, 2, 3])
    with pytest.raises(ConfigError, match=r"builtins\.list is no GPU array"):
        DeviceArray.of([1, 2, 3])


@pytest.mark.parametrize("source", [Producer(4096, (4,)), Described()])
def test_gpu_arrays_are_no_host_arrays(source):
    with pytest.raises(ConfigError, match=r"lies on (an NVIDIA|a) GPU, wanted CPU memory: copy it down"):
        host_array(source)


def test_host_arrays_are_no_gpu_arrays():
    with pytest.raises(ConfigError, match=r"numpy\.ndarray lies on the CPU, wanted an NVIDIA GPU"):
        DeviceArray.of(np.zeros(3))
    with pytest.raises(ConfigError, match="lies on an AMD GPU, wanted an NVIDIA GPU"):
        DeviceArray.of(Producer(4096, (4,), kind=AMD))


def test_reads_the_cuda_array_interface():
    source = Described()
    array = DeviceArray.of(source)
    assert (array.pointer, array.shape, array.strides) == (4096, (2, 3), (6, 2))
    assert (array.dtype, array.stream, array.device, array.nbytes) == (np.float16, None, None, 12)
    assert not array.read_only and array.owner is source
    array.close()


def test_reads_strides_streams_and_locks_of_the_cuda_array_interface():
    array = DeviceArray.of(Described(strides=(64, 2), stream=77, data=(4096, True), typestr="|u1"))
    assert (array.strides, array.stream, array.read_only, array.dtype) == ((64, 2), 77, True, np.uint8)


def test_an_empty_array_needs_no_memory():
    array = DeviceArray.of(Described(shape=(0, 3), data=(None, False)))
    assert (array.pointer, array.nbytes) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"version": 1}, "__cuda_array_interface__ version 1, wanted 2 or 3"),
        ({"mask": np.zeros(6)}, "is masked"),
        ({"stream": 0}, "names stream 0, which the protocol forbids"),
        ({"typestr": ">f2"}, "elements of type >f2, in foreign byte order"),
        ({"data": (0, False)}, r"of shape \(2, 3\) has no memory"),
    ],
)
def test_refuses_what_the_cuda_array_interface_should_not_say(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DeviceArray.of(Described(**wrong))


def test_reads_a_dlpack_tensor_on_the_gpu_and_gives_it_back_once(driver):
    buffer, memory, stream = driver.allocate(24 * 4), driver.pinned((24,), np.float32), driver.stream()
    memory.array[:] = np.arange(24)
    driver.upload(buffer.pointer, memory.array, stream)
    producer = Producer(buffer.pointer, (2, 3), strides=(12, 2), offset=16)
    array = DeviceArray.of(producer, stream=stream.handle)
    assert (array.shape, array.strides, array.dtype, array.device) == ((2, 3), (48, 8), np.float32, 3)
    assert array.stream == producer.stream == stream.handle
    driver.download(memory.array[:1], array.pointer + array.strides[0], stream)
    stream.synchronize()
    assert memory.array[0] == 16
    array.close()
    array.close()
    assert producer.returned == 1


@pytest.mark.slow
def test_a_dlpack_tensor_goes_back_with_its_array():
    producer = Producer(4096, (2, 3))
    array = DeviceArray.of(producer)
    assert (array.strides, array.stream, producer.stream) == ((12, 4), 1, 1)
    del array
    gc.collect()
    assert producer.returned == 1


@pytest.mark.parametrize(
    ("code", "bits", "dtype"),
    [(0, 16, "i2"), (1, 8, "u1"), (1, 16, "u2"), (2, 16, "f2"), (5, 64, "c8"), (6, 8, "?")],
)
def test_knows_the_types_of_dlpack(code, bits, dtype):
    assert DeviceArray.of(Producer(4096, (4,), code=code, bits=bits)).dtype == np.dtype(dtype)


@pytest.mark.parametrize("kind", [{"code": 4, "bits": 16}, {"bits": 4}, {"lanes": 4}])
def test_refuses_types_numpy_does_not_have(kind):
    producer = Producer(4096, (4,), **kind)
    with pytest.raises(ConfigError, match=r"GPU array of DLPack type code .*numpy has none such"):
        DeviceArray.of(producer)
    gc.collect()
    assert producer.returned == 1


def test_a_capsule_is_taken_once():
    producer = Producer(4096, (4,))
    capsule = producer.__dlpack__()
    again = type(
        "Again", (), {"__dlpack__": lambda self, stream: capsule, "__dlpack_device__": lambda self: (GPU, 0)}
    )
    DeviceArray.of(again()).close()
    with pytest.raises(ConfigError, match="holds no DLPack tensor: it was taken already"):
        DeviceArray.of(again())
    assert producer.returned == 1
