"""Arrays in, clean arrays out: the denoiser for programs that have pictures in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from malle_rt.api import open_denoiser
from malle_rt.arrays import array_format, host_array
from malle_rt.config import DenoiseConfig, Strength
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import ConfigError, MalleError
from malle_rt.memory import require_memory
from malle_rt.models import photo_model_names
from malle_rt.photo.denoiser import PHOTO_MODEL, denoise_array

__all__ = ["Denoiser", "denoise_image"]

Picture = TypeVar("Picture")
_PHOTO_FORMATS = ("rgb24", "bgr24", "gray", "rgb48", "bgr48", "gray16")


class Denoiser:
    """Clean the pictures of one video, one after the other; a context manager.

    ```python
    with malle_rt.Denoiser(strength="auto") as denoiser:
        for clean in denoiser.stream(frames):
            ...
    ```

    ``denoiser(frame)`` cleans one frame, the next of the video, and waits for it.

    A frame is a numpy array, a CPU tensor of torch, or anything else in the processor's memory that has ``__dlpack__``
    and whose library has ``from_dlpack``. A tensor on a GPU is refused: pass ``tensor.cpu()``. Which array is expected
    is said by ``pixel_format``:

    | pixel_format | dtype | shape |
    |---|---|---|
    | rgb24, bgr24 | uint8 | (H, W, 3), full range |
    | gray | uint8 | (H, W) |
    | yuv420p (I420), nv12 | uint8 | (H * 3 / 2, W), H and W even, as PyAV's ``to_ndarray`` gives them |
    | rgb48, bgr48 | uint16 | (H, W, 3), full range |
    | gray10, gray12, gray16 | uint16 | (H, W), the code values in the low bits |
    | yuv420p10, yuv420p12, yuv420p16 | uint16 | (H * 3 / 2, W), H and W even, the code values in the low bits |
    | p010 | uint16 | (H * 3 / 2, W), H and W even, the 10-bit code values in the high bits |

    What comes back has the frame's type, dtype and shape, is contiguous and new: the caller owns it. The frame is not
    changed. ``yuv420p``, ``nv12`` and ``gray`` frames are read where they are, without a copy (``yuv420p``: if they are
    contiguous); RGB becomes YUV of two bits more and full chroma resolution, and back.

    The network remembers what it has seen: each frame is taken to follow the one before in time, until ``reset``. All
    frames until then have one size. A cut between two shots is found, and the old shot forgotten.

    One thread at a time may use a Denoiser, any one; a second one that comes in between gets a MalleError. For several
    videos at once open a Denoiser for each.

    Attributes:
        backend: what runs, and why, one line.

    Raises:
        ConfigError: by a frame that is not what ``pixel_format`` says, or of another size than those before.
        BackendError: the network cannot take this size, or fails.
        MalleError: another thread or a stream uses this Denoiser, or it is closed.
    """

    def __init__(
        self,
        *,
        strength: Strength = "auto",
        chroma_strength: float | None = None,
        mix: float = 1.0,
        model: str = "rt-s",
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        cuda_adapter: str = "auto",
        gpu: int | None = None,
        engine: str | None = None,
        trust_engine: bool = False,
        pixel_format: str = "rgb24",
    ) -> None:
        """Choose what runs; the network is compiled when the first frame tells the size, which may take a second.

        Args:
            strength: standard deviation of the luma's noise on the 8-bit scale, 0 (nothing is changed) to 75, or
                "auto" to estimate it from the pictures; "light", "medium" and "strong" are shares of that.
            chroma_strength: of the chroma's noise; see ``DenoiseConfig``.
            mix: share of the denoised picture in the result, 0 to 1.
            model: name of a network: "rt-s", "rt-m", "rt-l"; or a path of others, less the suffix.
            backend: "auto", or the one that must run: "tensorrt", "tensorrt-rtx", "cuda", "openvino", "torch"; "none"
                gives copies of the frames.
            precision: "auto", or the one it must run in: "fp32", "fp16", "int8".
            threads: of the processor, for backend "openvino"; None: as many as this process may use.
            cuda_adapter: "auto", "cuda-bindings" or "pycuda".
            gpu: CUDA's number of the NVIDIA GPU that must run; None: the first, where there is one.
            engine: path of a TensorRT engine from outside the user's cache.
            trust_engine: whether the user vouches for ``engine``, which is executable code.
            pixel_format: see above.

        Raises:
            ConfigError: a value outside its range, or a model that is not there.
            BackendUnavailable: the backend asked for cannot run here.
        """
        config = DenoiseConfig(
            model=model,
            strength=strength,
            chroma_strength=chroma_strength,
            mix=mix,
            backend=backend,
            precision=precision,
            threads=threads,
            cuda_adapter=cuda_adapter,
            gpu=gpu,
            engine=engine,
            trust_engine=trust_engine,
        )
        self._format = array_format(pixel_format)
        self._inner, self.backend = open_denoiser(config)
        self._lock = threading.Lock()
        self._size: tuple[int, int] | None = None
        self._frames = 0
        self._stream: object | None = None  # whose frames are under way
        self._closed = False
        self._begin_video()

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the frames' layout."""
        return self._format.name

    @property
    def sigma(self) -> float | None:
        """What the last frame was denoised with, on the 8-bit scale; None where frames are only copied."""
        return self._inner.sigma if isinstance(self._inner, FrameDenoiser) else None

    def __call__(self, frame: Picture) -> Picture:
        """Clean the next frame of the video and wait for it.

        Args:
            frame: see ``Denoiser``; it may be overwritten afterwards.

        Returns:
            A new picture of the same type, dtype and shape.

        Raises:
            ConfigError: not what ``pixel_format`` says, or of another size than the frames before.
            BackendError: the network cannot take this size, or fails.
            MalleError: another thread or a stream uses this Denoiser, or it is closed.
        """
        with self._mine():
            if self._stream is not None:
                raise MalleError(
                    "a stream of this Denoiser is under way: take it to its end, or call reset()"
                )
            return cast(Picture, self._start(frame)())

    def stream(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Clean frames as they come: a generator of as many pictures, in order.

        On a GPU the next frames are already on their way while a result comes back: then a few frames are taken from
        ``frames`` before the first picture is given, and copies are made of what is still needed. On the processor,
        where the network takes all cores, each frame is cleaned before the next is taken. The video goes on after the
        stream: ``reset`` begins another.

        Args:
            frames: see ``Denoiser``; each may be overwritten as soon as the next is asked for.

        Raises:
            ConfigError, BackendError, MalleError: see ``__call__``. Once ``reset`` or ``close`` has been called, the
                generator ends with a MalleError.
        """
        mine = object()
        with self._mine():
            if self._stream is not None:
                raise MalleError(
                    "a Denoiser has one stream at a time: take the other to its end, or call reset()"
                )
            self._stream = mine
        waiting: deque[Callable[[], object]] = deque()
        try:
            for frame in frames:
                with self._mine(mine):
                    waiting.append(self._start(frame, ahead=True))
                    result = waiting.popleft()() if len(waiting) > self._inner.ahead else None
                if result is not None:
                    yield cast(Picture, result)
            while waiting:
                with self._mine(mine):
                    result = waiting.popleft()()
                yield cast(Picture, result)
        finally:
            if self._stream is mine:
                self._stream = None

    def reset(self, *, pixel_format: str | None = None) -> None:
        """Begin another video: nothing of the frames before shows through, and another size may come.

        Args:
            pixel_format: of its frames; None: the same.

        Raises:
            ConfigError: there is no such format.
            MalleError: another thread uses this Denoiser, or it is closed.
        """
        with self._mine():
            if pixel_format is not None:
                self._format = array_format(pixel_format)
            self._stream = self._size = None
            self._begin_video()

    def close(self) -> None:
        """Give the network's memory back. May be called twice.

        Raises:
            MalleError: another thread uses this Denoiser.
        """
        if self._closed:
            return
        with self._mine():
            self._closed, self._stream = True, None
            self._inner.close()

    def __enter__(self) -> Denoiser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _mine(self, stream: object | None = None) -> Iterator[None]:
        """For one thread, while the Denoiser is open, and the stream has not been ended."""
        if not self._lock.acquire(blocking=False):
            raise MalleError(
                "another thread uses this Denoiser: one at a time may. Open a Denoiser for each video"
            )
        try:
            if self._closed:
                raise MalleError("this Denoiser is closed: open another")
            if stream is not None and stream is not self._stream:
                raise MalleError("this stream was ended by reset(): begin another")
            yield
        finally:
            self._lock.release()

    def _begin_video(self) -> None:
        if isinstance(self._inner, FrameDenoiser):
            self._inner.restart()
            self._inner.borrows = self._format.borrows

    def _start(self, picture: object, *, ahead: bool = False) -> Callable[[], object]:
        """Begin to clean a picture; gives what waits for the result.

        Args:
            picture: as the caller has it.
            ahead: whether the caller's memory may be overwritten before the result is asked for.
        """
        form = self._format
        array, back = host_array(picture)
        if ahead and (self._inner.ahead or self._size is None):  # known once a frame has been started
            array = array.copy()
        frame = form.frame(array, self._frames)
        size = (frame.width, frame.height)
        if self._size is None:
            require_memory(*size)
        elif size != self._size:
            raise ConfigError(
                f"frames of one video have one size: {self._size[0]}x{self._size[1]} until now, "
                f"got {size[0]}x{size[1]}. Call reset() before another video"
            )
        result = self._inner.start(frame)
        self._size, self._frames = size, self._frames + 1

        def finish() -> object:
            clean = result()
            return back(array.copy() if clean.planes is frame.planes else form.array(clean))

        return finish


def denoise_image(
    picture: Picture,
    *,
    strength: Strength = "auto",
    mix: float = 1.0,
    model: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    pixel_format: str = "rgb24",
) -> Picture:
    """Clean one photograph.

    RGB, BGR and gray of 8 or 16 bits run through a network for photographs (MalleNet); the other layouts, and any
    other ``model``, through the network for video, on one frame. That one misses the frames before, from which it
    learns most, and reads noise that a camera has smoothed too low: give such a picture a number. The network is
    opened for each call.

    Args:
        picture: see ``Denoiser``, as all that follows.
        strength: sigma of the noise on the 8-bit scale, 0 to 75, or "auto", "light", "medium", "strong".
        mix: share of the denoised picture in the result, 0 to 1.
        model: "auto" as above, or a network: "mallenet-s" and "mallenet-m" are for photographs.
        backend: "auto", or the one that must run; "auto" is "openvino" for MalleNet.
        precision: "auto", or the one it must run in.
        threads: of the processor, for backend "openvino".
        pixel_format: layout of the picture.

    Returns:
        A new picture of the same type, dtype and shape.

    Raises:
        ConfigError: not what ``pixel_format`` says, or a value outside its range.
        BackendError: the backend cannot run here, or fails.
    """
    pixel_format = array_format(pixel_format).name.removesuffix("le")
    if model == "auto":
        model = PHOTO_MODEL if pixel_format in _PHOTO_FORMATS else DenoiseConfig.model
    if model in photo_model_names():
        if pixel_format not in _PHOTO_FORMATS:
            raise ConfigError(f"model {model} takes {', '.join(_PHOTO_FORMATS)}, got {pixel_format}")

        def denoise(rgb: Any) -> Any:
            return denoise_array(
                rgb, strength, model, mix, threads=threads, backend=backend, precision=precision
            )

        return _photograph(picture, denoise, pixel_format)
    with Denoiser(
        strength=strength,
        mix=mix,
        model=model,
        backend=backend,
        precision=precision,
        threads=threads,
        pixel_format=pixel_format,
    ) as denoiser:
        return denoiser(picture)


def _photograph(picture: Picture, denoise: Callable[[Any], Any], pixel_format: str) -> Picture:
    form = array_format(pixel_format)
    array, back = host_array(picture)
    form.check(array)
    reverse = slice(None, None, -1 if pixel_format.startswith("bgr") else 1)
    rgb = array if array.ndim == 2 else array[..., reverse]
    clean = denoise(rgb)
    return cast(Picture, back(clean if clean.ndim == 2 else np.ascontiguousarray(clean[..., reverse])))
