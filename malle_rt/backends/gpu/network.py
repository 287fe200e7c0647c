"""What a network on the device is to the session that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from malle_rt.cuda.driver import Graph, Stream
from malle_rt.cuda.launches import Storage

__all__ = ["Capture", "DeviceNetwork", "TensorSizes"]

# Runs the function, which puts work into the stream, and returns that work; nothing is executed.
Capture = Callable[[Stream, Callable[[], None]], Graph]


class DeviceNetwork(Protocol):
    """A network ready for one size, all its tensors in device memory that others own.

    Attributes:
        storage: element type of every tensor.
        hidden: channels of the hidden state.
        told: which of ``malle_rt.contract.TOLD`` it takes; with "noise" its past is to be aligned with the frame.
    """

    storage: Storage
    hidden: int
    told: str

    def enqueue(self, tensors: Mapping[str, int], stream: int) -> None:
        """Put one frame's work into a stream; allocates nothing and waits for nothing after its first call.

        Args:
            tensors: device addresses by the portable graph's names: y, uv, ``told``, y_before, uv_before,
                hidden_before are read; y_clean, uv_clean, hidden are written. Sizes are ``TensorSizes``'.
            stream: handle of a CUDA stream, which may be in capture.

        Raises:
            KernelError: when the runtime refuses.
        """
        ...

    def close(self) -> None:
        """Release the runtime's own memory. May be called twice."""
        ...


@dataclass(frozen=True)
class TensorSizes:
    """Bytes of the network's tensors for one frame.

    Attributes:
        y: (1, 1, rows, columns).
        uv: (1, 2, rows / 2, columns / 2).
        hidden: (1, hidden, rows / 2, columns / 2).
    """

    y: int
    uv: int
    hidden: int

    @classmethod
    def of(cls, rows: int, columns: int, hidden: int, storage: Storage) -> TensorSizes:
        """Sizes for padded luma of ``rows`` x ``columns``."""
        pixels = rows * columns * (2 if storage == "f16" else 4)
        return cls(y=pixels, uv=pixels // 2, hidden=pixels // 4 * hidden)
