"""The portable graph's file as TensorRT shall see it, without the ``onnx`` package, which users need not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from malle_rt.errors import BackendError

__all__ = ["input_names", "widened", "without_function"]

# Of ModelProto in onnx.proto; the wire format: https://protobuf.dev/programming-guides/encoding
_FUNCTIONS = 25
_VARINT, _BYTES = 0, 2
# ModelProto.graph; of it initializers, and the inputs, outputs and other values that have a type.
_GRAPH, _INITIALIZER, _INPUTS, _VALUES = 7, 5, 11, (11, 12, 13)
_NAME = 1  # of ValueInfoProto, and of FunctionProto
_DATA_TYPE, _RAW = 2, 9  # of TensorProto
_TYPE, _TENSOR_TYPE, _ELEMENT = 2, 1, 1  # ValueInfoProto.type, TypeProto.tensor_type, its elem_type
_FLOAT, _FLOAT16 = 1, 10  # of TensorProto.DataType


def without_function(model: bytes, name: str) -> bytes:
    """The model less one of its local functions.

    Some versions of TensorRT's parser prefer the body that our node carries for other runtimes to our plugin, and
    some prefer the plugin; without a body there is no choice. Nodes that have no plugin are what their body says.

    Raises:
        BackendError: this is no ONNX file.
    """
    try:
        return b"".join(
            model[start:end]
            for number, start, end in _fields(model)
            if number != _FUNCTIONS or name.encode() not in _parts(_content(model[:end], start), _NAME)
        )
    except (IndexError, ValueError) as exc:
        raise _no_onnx(exc) from exc


def input_names(model: bytes) -> list[str]:
    """Names of the graph's inputs, weights excepted.

    Raises:
        BackendError: this is no ONNX file.
    """
    try:
        return [
            name.decode()
            for graph in _parts(model, _GRAPH)
            for each in _parts(graph, _INPUTS)
            for name in _parts(each, _NAME)
        ]
    except (IndexError, ValueError) as exc:
        raise _no_onnx(exc) from exc


def _no_onnx(exc: Exception) -> BackendError:
    return BackendError(f"this graph is no ONNX file ({exc}); reinstall malle-rt or export it again")


def _parts(message: bytes, wanted: int) -> Iterator[bytes]:
    """Contents of the fields of a message that have a length, by number."""
    for number, start, end in _fields(message):
        if number == wanted:
            yield _content(message[:end], start)


def _content(message: bytes, start: int) -> bytes:
    """What the field that begins there holds; it is the last one."""
    _, start = _varint(message, start)  # number and type
    _, start = _varint(message, start)  # length
    return message[start:]


def widened(model: bytes) -> bytes:
    """The model with float32 wherever it has float16: what is computed in float32 need not be shipped twice.

    Raises:
        BackendError: this is no ONNX file.
    """
    try:
        return _changed(model, {_GRAPH: _wide_graph})
    except (IndexError, ValueError) as exc:
        raise _no_onnx(exc) from exc


def _wide_graph(graph: bytes) -> bytes:
    def value(message: bytes) -> bytes:
        return _changed(message, {_TYPE: lambda kind: _changed(kind, {_TENSOR_TYPE: tensor})})

    def tensor(message: bytes) -> bytes:
        return _typed(message, _ELEMENT)

    return _changed(graph, {_INITIALIZER: _wide_tensor, **dict.fromkeys(_VALUES, value)})


def _wide_tensor(tensor: bytes) -> bytes:
    wide = _typed(tensor, _DATA_TYPE)
    if wide == tensor:
        return tensor
    return _changed(wide, {_RAW: lambda raw: np.frombuffer(raw, "<f2").astype("<f4").tobytes()})


def _typed(message: bytes, field: int) -> bytes:
    """The message with float32 where its ``field`` says float16."""
    half, single = (bytes((field << 3, kind)) for kind in (_FLOAT16, _FLOAT))
    return b"".join(
        single if message[start:end] == half else message[start:end] for _, start, end in _fields(message)
    )


def _changed(message: bytes, changes: dict[int, Callable[[bytes], bytes]]) -> bytes:
    """The message with the contents of some of its fields, by their numbers, made anew."""
    parts = []
    for number, start, end in _fields(message):
        if number not in changes:
            parts.append(message[start:end])
            continue
        _, at = _varint(message, start)
        _, begin = _varint(message, at)
        content = changes[number](message[begin:end])
        parts.append(message[start:at] + _as_varint(len(content)) + content)
    return b"".join(parts)


def _as_varint(value: int) -> bytes:
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*groups, value))


def _fields(message: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and end of each field of a message."""
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        if key & 7 == _VARINT:
            _, position = _varint(message, position)
        elif key & 7 == _BYTES:
            length, position = _varint(message, position)
            position += length
        else:
            raise ValueError(f"unexpected wire type {key & 7}")
        if position > len(message):
            raise ValueError("it ends within a field")
        yield key >> 3, start, position


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
