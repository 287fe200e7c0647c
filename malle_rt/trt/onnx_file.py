"""The portable graph's file as TensorRT shall see it, without the ``onnx`` package, which users need not have."""

from __future__ import annotations

from collections.abc import Iterator

from malle_rt.errors import BackendError

__all__ = ["without_functions"]

# Of ModelProto in onnx.proto; the wire format: https://protobuf.dev/programming-guides/encoding
_FUNCTIONS = 25
_VARINT, _BYTES = 0, 2


def without_functions(model: bytes) -> bytes:
    """The model less its local functions.

    Some versions of TensorRT's parser prefer the body that our node carries for other runtimes to our plugin, and
    some prefer the plugin; without a body there is no choice.

    Raises:
        BackendError: this is no ONNX file.
    """
    try:
        return b"".join(model[start:end] for number, start, end in _fields(model) if number != _FUNCTIONS)
    except (IndexError, ValueError) as exc:
        raise BackendError(
            f"this graph is no ONNX file ({exc}); reinstall malle-rt or export it again"
        ) from exc


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
