"""Arrays of other libraries, taken in without copying: torch, CuPy, OpenCV, PyAV's planes, numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from malle_rt.cuda import dlpack
from malle_rt.cuda.driver import Host
from malle_rt.errors import ConfigError

__all__ = ["DeviceArray", "host_array"]

LEGACY_DEFAULT_STREAM = 1  # its number in both protocols; 0 is not used, since it could mean "none"


def host_array(source: Any) -> Host:
    """An array in CPU memory, as numpy sees it.

    Args:
        source: numpy array, or anything with DLPack, the array interface or the buffer protocol.

    Returns:
        A view: same memory, shape and strides; it keeps ``source`` alive.

    Raises:
        ConfigError: when the memory is on a GPU, or the source is no array.
    """
    if isinstance(source, np.ndarray):
        return source
    if hasattr(source, "__dlpack__") and hasattr(source, "__dlpack_device__"):
        return _host_from_dlpack(source)
    if hasattr(source, "__cuda_array_interface__"):
        raise ConfigError(
            f"{_kind(source)} lies on a GPU, wanted CPU memory: copy it down, or use DeviceArray"
        )
    if hasattr(source, "__array_interface__"):
        return np.asarray(source)
    try:
        return np.asarray(memoryview(source))
    except TypeError as exc:
        raise ConfigError(
            f"{_kind(source)} is no array: it has neither DLPack nor the buffer protocol"
        ) from exc


@dataclass(frozen=True)
class DeviceArray:
    """An array in GPU memory that belongs to another library; alive as long as this object, or until ``close``.

    Attributes:
        pointer: address on the device of element [0, ..., 0]; 0 when there are no elements.
        shape: elements along each axis.
        strides: bytes from one element to the next along each axis; may be negative.
        dtype: of an element.
        stream: handle of the CUDA stream whose present work makes the data, 1 for the legacy default stream;
            None when the data is ready.
        device: number of the GPU; None when the source does not tell.
        read_only: whether the owner forbids writing.
        owner: keeps the memory alive.
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    device: int | None
    read_only: bool
    owner: Any

    @classmethod
    def of(cls, source: Any, *, stream: int | None = None) -> DeviceArray:
        """Take in an array by DLPack, or by ``__cuda_array_interface__`` (version 2 or 3).

        Args:
            source: the array.
            stream: handle of the CUDA stream that will use it. A DLPack source makes that stream wait for its own
                work; None stands for the legacy default stream.

        Raises:
            ConfigError: when it is not on a GPU, or described in a way we do not understand.
        """
        if hasattr(source, "__dlpack__") and hasattr(source, "__dlpack_device__"):
            return _device_from_dlpack(source, LEGACY_DEFAULT_STREAM if stream is None else stream)
        if hasattr(source, "__cuda_array_interface__"):
            return _from_interface(source, source.__cuda_array_interface__)
        raise ConfigError(
            f"{_kind(source)} is no GPU array: it has neither DLPack nor __cuda_array_interface__"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, without the gaps that strides leave."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def close(self) -> None:
        """Let the owner have its memory back. May be called twice; the pointer is dead afterwards."""
        if isinstance(self.owner, dlpack.Tensor):
            self.owner.release()


def _host_from_dlpack(source: Any) -> Host:
    kind, _index = source.__dlpack_device__()
    if kind not in dlpack.HOST_DEVICES:
        name = dlpack.device_name(int(kind))
        raise ConfigError(
            f"{_kind(source)} lies on {name}, wanted CPU memory: copy it down, or use DeviceArray"
        )
    try:
        return np.from_dlpack(source)
    except (BufferError, RuntimeError, TypeError) as exc:  # bfloat16; tensors that require gradients
        raise ConfigError(f"{_kind(source)} cannot be seen as a numpy array: {exc}") from exc


def _device_from_dlpack(source: Any, stream: int) -> DeviceArray:
    kind, index = source.__dlpack_device__()
    if kind not in dlpack.CUDA_DEVICES:
        raise ConfigError(f"{_kind(source)} lies on {dlpack.device_name(int(kind))}, wanted an NVIDIA GPU")
    tensor = dlpack.take(source.__dlpack__(stream=stream))
    return DeviceArray(
        pointer=tensor.pointer,
        shape=tensor.shape,
        strides=tensor.strides,
        dtype=tensor.dtype,
        stream=stream,
        device=int(index),
        read_only=False,
        owner=tensor,
    )


def _from_interface(source: Any, interface: dict[str, Any]) -> DeviceArray:
    version = interface.get("version", 0)
    if version < 2:
        raise ConfigError(f"{_kind(source)} has __cuda_array_interface__ version {version}, wanted 2 or 3")
    if interface.get("mask") is not None:
        raise ConfigError(f"{_kind(source)} is masked: fill its gaps first")
    stream = interface.get("stream")
    if stream == 0:
        raise ConfigError(
            f"{_kind(source)} names stream 0, which the protocol forbids: 1 is the default stream"
        )
    dtype = np.dtype(interface["typestr"])
    if not dtype.isnative:
        raise ConfigError(f"{_kind(source)} has elements of type {dtype.str}, in foreign byte order")
    shape = tuple(int(size) for size in interface["shape"])
    strides = interface.get("strides")
    pointer, read_only = interface["data"]
    if not pointer and 0 not in shape:
        raise ConfigError(f"{_kind(source)} of shape {shape} has no memory (address 0)")
    return DeviceArray(
        pointer=int(pointer or 0),
        shape=shape,
        strides=dlpack.contiguous_strides(shape, dtype.itemsize)
        if strides is None
        else tuple(map(int, strides)),
        dtype=dtype,
        stream=None if stream is None else int(stream),
        device=None,
        read_only=bool(read_only),
        owner=source,
    )


def _kind(source: Any) -> str:
    return type(source).__module__.partition(".")[0] + "." + type(source).__qualname__
