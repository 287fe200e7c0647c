"""Pictures as arrays: the layouts that callers use, and the frames that the network's side of the house uses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import av
import numpy as np

from malle_rt.errors import ConfigError
from malle_rt.frame import ColorTags, Frame, Plane, pixel_layout
from malle_rt.media.conversion import planes_of
from malle_rt.media.rgb import to_order

__all__ = ["PIXEL_FORMATS", "ArrayFormat", "array_format", "host_array"]

_HOST = (1, 3)  # DLPack's numbers of memory that the processor reads: its own, and what CUDA has pinned of it
_LIMITED_BT709 = ColorTags(color_range=1, colorspace=1)  # what ``planes_of`` makes of RGB


@dataclass(frozen=True)
class ArrayFormat:
    """How an array holds a picture of H rows and W columns.

    Attributes:
        name: FFmpeg's name of it.
        kind: "rgb" is (H, W, 3), in the order that the name says; "gray" is (H, W). "i420" and "nv12" are
            (H * 3 / 2, W), as PyAV's ``to_ndarray`` gives them: Y, then U and V one after the other, or in turn.
        bits: significant bits of a sample: 8 in uint8, more in uint16.
        shift: bits of a sample below them.
        pix_fmt: of the frames made of such arrays.
    """

    name: str
    kind: Literal["rgb", "gray", "i420", "nv12"]
    bits: int
    shift: int
    pix_fmt: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def shape(self) -> str:
        """Of the array, for people."""
        return {"rgb": "(H, W, 3)", "gray": "(H, W)"}.get(self.kind, "(H * 3 / 2, W), H and W even")

    @property
    def borrows(self) -> bool:
        """Whether frames are views of the array."""
        return self.kind != "rgb" and not self.shift

    def frame(self, array: np.ndarray, number: int) -> Frame:
        """A frame of the array's picture. Of ``yuv420p`` arrays that are not contiguous a copy is made.

        Args:
            array: dtype and shape as this format has them.
            number: of the frame in its video; becomes its pts.

        Raises:
            ConfigError: it is no such array.
        """
        self.check(array)
        if self.kind == "rgb":
            planes = planes_of(av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=self.name))
        else:
            planes = self._planes(array >> self.shift if self.shift else array)
        color = _LIMITED_BT709 if self.kind == "rgb" else ColorTags()
        return Frame(planes, self.pix_fmt, number, Fraction(1), color=color)

    def array(self, frame: Frame) -> np.ndarray:
        """A new, contiguous array with the frame's picture."""
        if self.kind == "rgb":
            return np.ascontiguousarray(to_order(frame, self.name))
        rows = frame.height if self.kind == "gray" else frame.height * 3 // 2
        made = np.empty((rows, frame.width), self.dtype)
        for view, plane in zip(self._planes(made), frame.planes, strict=True):
            np.copyto(view, plane)
        if self.shift:
            made <<= self.shift
        return made

    def _planes(self, array: np.ndarray) -> tuple[Plane, ...]:
        """Views of the array, each (rows, columns)."""
        if self.kind == "gray":
            return (cast(Plane, array),)
        rows, columns = array.shape[0] * 2 // 3, array.shape[1]
        luma, chroma = array[:rows], array[rows:]
        if self.kind == "nv12":
            planes = luma, chroma[:, ::2], chroma[:, 1::2]
        else:
            u, v = np.ascontiguousarray(chroma).reshape(2, rows // 2, columns // 2)
            planes = luma, u, v
        return cast("tuple[Plane, ...]", planes)

    def check(self, array: np.ndarray) -> None:
        """See that an array is of this format.

        Raises:
            ConfigError: it is not.
        """
        expected = f"{self.name} arrays are {self.dtype} of shape {self.shape}"
        if array.dtype != self.dtype:
            raise ConfigError(f"{expected}, got {array.dtype}. {self._advice_on(array.dtype)}")
        flat = array.ndim == 2 and self.kind != "rgb"
        if not (flat or (array.ndim == 3 and self.kind == "rgb" and array.shape[2] == 3)):
            raise ConfigError(f"{expected}, got {_shown(array)}. {_advice_on_shape(array.shape, self.kind)}")
        if not array.size:
            raise ConfigError(f"{expected}, got {_shown(array)}, which is empty")
        if self.kind in ("i420", "nv12") and (array.shape[0] % 3 or array.shape[1] % 2):
            raise ConfigError(f"{expected}, got {_shown(array)}. Pad odd sizes, or use rgb24, bgr24 or gray")
        if 8 < self.bits < 16 and not self.shift and (largest := int(array.max())) >> self.bits:
            raise ConfigError(
                f"{self.name} has samples up to {(1 << self.bits) - 1}, got {largest}. "
                f"Shift samples that fill all 16 bits: frame >> {16 - self.bits}"
            )

    def _advice_on(self, dtype: np.dtype[Any]) -> str:
        if dtype.kind == "f":
            return (
                f"Scale and round it: (frame * {(1 << self.bits) - 1} + 0.5).astype({self.dtype}), for 0 to 1"
            )
        if dtype.newbyteorder("=") == self.dtype:
            return "Swap its bytes: frame.astype(frame.dtype.newbyteorder('='))"
        return "pixel_format says what the samples are: rgb48, gray16, p010 and others are uint16"


def _make(
    name: str, kind: Literal["rgb", "gray", "i420", "nv12"], pix_fmt: str, shift: int = 0
) -> ArrayFormat:
    bits = 16 if kind == "rgb" and name.endswith("48le") else pixel_layout(pix_fmt).bits
    return ArrayFormat(name, kind, 8 if name in ("rgb24", "bgr24") else bits, shift, pix_fmt)


_FORMATS = (
    _make("rgb24", "rgb", "yuv444p10le"),
    _make("bgr24", "rgb", "yuv444p10le"),
    _make("rgb48le", "rgb", "yuv444p16le"),
    _make("bgr48le", "rgb", "yuv444p16le"),
    *(_make(name, "gray", name) for name in ("gray", "gray10le", "gray12le", "gray16le")),
    *(_make(f"yuv420p{bits}", "i420", f"yuv420p{bits}") for bits in ("", "10le", "12le", "16le")),
    _make("nv12", "nv12", "yuv420p"),
    _make("p010le", "nv12", "yuv420p10le", shift=6),
)
PIXEL_FORMATS: dict[str, ArrayFormat] = {each.name.removesuffix("le"): each for each in _FORMATS}


def array_format(name: str) -> ArrayFormat:
    """The format of that name, with or without FFmpeg's "le" at its end.

    Raises:
        ConfigError: there is none.
    """
    found = PIXEL_FORMATS.get(name.removesuffix("le")) if isinstance(name, str) else None
    if found is None:
        raise ConfigError(f"pixel_format must be one of {', '.join(PIXEL_FORMATS)}, got {name!r}")
    return found


def host_array(picture: object) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """The picture as an array of the same memory, and what makes the picture's type of another array.

    Args:
        picture: a numpy array, or anything with ``__dlpack__`` whose memory the processor can read.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(picture, np.ndarray):
        return picture, lambda array: array
    kind = type(picture)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not (hasattr(picture, "__dlpack__") and hasattr(picture, "__dlpack_device__")):
        raise ConfigError(
            f"a frame must be a numpy array, a torch tensor or another type with __dlpack__, got {name}. "
            "numpy.asarray(frame) makes an array of many types"
        )
    device, number = picture.__dlpack_device__()
    if device not in _HOST:
        raise ConfigError(
            f"a frame must be in the processor's memory, got a {name} on device {number} of DLPack's type {device:d}. "
            "Bring it there first, with frame.cpu(); denoise_video keeps a file's frames on the GPU"
        )
    back = _from_dlpack_of(picture, kind)
    if back is None:
        raise ConfigError(
            f"{name} has no from_dlpack to give a result back by. Pass numpy.from_dlpack(frame)"
        )
    try:
        return np.from_dlpack(cast(Any, picture)), back
    except (BufferError, RuntimeError, TypeError, ValueError) as exc:
        raise ConfigError(f"numpy.from_dlpack does not take this {name}: {exc}") from exc


def _from_dlpack_of(picture: object, kind: type) -> Callable[[np.ndarray], Any] | None:
    if hasattr(picture, "__array_namespace__"):
        library = picture.__array_namespace__()
    else:
        library = sys.modules.get(kind.__module__.partition(".")[0])
    return getattr(library, "from_dlpack", None)


def _shown(array: np.ndarray) -> str:
    return f"shape {array.shape}"


def _advice_on_shape(shape: tuple[int, ...], kind: str) -> str:
    if len(shape) == 4:
        return "Pass the frames one by one: denoiser.stream(frames)"
    if len(shape) == 3 and kind != "rgb":
        return "pixel_format says which layout it is: rgb24 and bgr24 are (H, W, 3)"
    if len(shape) == 3 and shape[0] == 3:
        return "Colours come last: frame.permute(1, 2, 0) of a tensor, frame.transpose(1, 2, 0) of an array"
    if len(shape) == 3 and shape[2] == 4:
        return "Leave alpha out: frame[..., :3]"
    return "pixel_format says which layout it is: gray, yuv420p and nv12 have two axes"
