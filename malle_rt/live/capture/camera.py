"""A camera through OpenCV."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from malle_rt.errors import SourceError
from malle_rt.frame import ColorTags, VideoInfo
from malle_rt.live.capture.camera_modes import Camera, Mode
from malle_rt.live.capture.camera_opening import (
    ask_for_mode,
    obtained_mode,
    open_camera,
    open_pipeline,
    quiet,
    release,
    take_packed,
)
from malle_rt.live.capture.cameras import find_camera, is_there
from malle_rt.live.capture.device import CaptureRequest, DeviceAddress
from malle_rt.live.frame import LiveFrame
from malle_rt.media.template import Template
from malle_rt.opencv import opencv

__all__ = ["CameraCapture", "planes_of_bgr"]

log = logging.getLogger(__name__)

_TIME_BASE = Fraction(1, 1_000_000)
# Waits for the first frame, of READ_SECONDS each: some cameras take seconds to wake up.
_FIRST_TRIES = 3
# Seconds of pictures that cannot be decoded, after which there is no use in going on.
_DAMAGED_SECONDS = 2.0
# Rates that differ by less are the same: 30 and 29.97.
_SAME_RATE = 0.01
# FFmpeg's numbers: AVCOL_RANGE_MPEG, AVCOL_SPC_SMPTE170M; the colours themselves are what the camera makes of them.
_BT601 = ColorTags(color_range=1, colorspace=6)
_Bytes = npt.NDArray[np.uint8]


class CameraCapture:
    """A camera, or a pipeline of GStreamer's, as frames in yuv420p; see ``Capture``.

    The first picture is taken on opening: only then is it certain that any come, and their size.
    """

    def __init__(self, request: CaptureRequest) -> None:
        """Open the camera.

        Raises:
            ConfigError: a name that several cameras have; "gst:" and nothing.
            SourceError: it is not there, cannot be used, or gives no pictures.
        """
        self._camera: Camera | None = None
        self._capture = self._open(request)
        self._begin: float | None = None  # instant of the first picture
        self._damaged: float | None = None  # of the first damaged one since the last good one
        self._shape: tuple[int, ...] | None = None
        try:
            mode = obtained_mode(self._capture)
            self._packed = take_packed(self._capture, self._camera, mode)
            self._first: LiveFrame | None = self._next(_FIRST_TRIES)
        except BaseException:
            self.close()
            raise
        self._info = VideoInfo(
            width=self._first.width,
            height=self._first.height,
            pix_fmt=self._first.pix_fmt,
            time_base=_TIME_BASE,
            frame_rate=mode.frame_rates[0] if mode.frame_rates else None,
            color=_BT601,
        )
        self._description = self._describe(mode, request)

    @property
    def description(self) -> str:
        """Camera and mode obtained, and what was asked for where that is something else."""
        return self._description

    @property
    def template(self) -> Template:
        """Size and rate of the pictures; there is no file behind them."""
        return Template(info=self._info)

    def __iter__(self) -> Iterator[LiveFrame]:
        """Frames until the capture is closed; pictures that cannot be decoded are left out.

        Raises:
            SourceError: the camera was unplugged, or gives no more pictures.
        """
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        while self._capture is not None:
            yield self._next()

    def close(self) -> None:
        """Give the camera back. May be called twice, by the reading thread."""
        capture, self._capture = self._capture, None
        if capture is not None:
            release(capture)

    def _open(self, request: CaptureRequest) -> Any:
        address = DeviceAddress.parse(request.device.strip())
        if address.kind == "pipeline":
            pipeline = address.target
            self._label = f"pipeline {pipeline.partition(' ')[0]}"
            return open_pipeline(pipeline)
        self._camera = find_camera(address.target)
        self._label = self._camera.label
        capture = open_camera(self._camera)
        ask_for_mode(capture, self._camera, request)
        return capture

    def _next(self, tries: int = 1) -> LiveFrame:
        """The next picture that can be decoded.

        Args:
            tries: waits for a frame before giving up.
        """
        while True:
            with quiet():
                grabbed = any(self._capture.grab() for _ in range(tries))
            # Now, before it is decoded: that is no part of the picture's age.
            captured = time.monotonic()
            if not grabbed:
                raise SourceError(self._why_none())
            picture = self._retrieve()
            if picture is not None:
                self._damaged = None
                return self._frame(picture, captured)
            if self._damaged is None:
                self._damaged = captured
            if captured - self._damaged > _DAMAGED_SECONDS:
                raise SourceError(
                    f"{self._label} gives pictures that cannot be decoded. Try another --fourcc"
                )
            log.debug("%s: a picture is damaged and left out", self._label)

    def _retrieve(self) -> _Bytes | None:
        """The grabbed picture, (rows, columns, 3), uint8; None where it is damaged: of no or of another shape."""
        try:
            with quiet():
                taken, picture = self._capture.retrieve()
                if taken and self._packed:
                    picture = _unpacked(picture)
        except opencv().error:
            return None
        if not taken or picture is None or picture.ndim != 3 or picture.shape[2] != 3:
            return None
        if self._shape is None:
            self._shape = picture.shape
        return picture if picture.shape == self._shape else None

    def _frame(self, picture: _Bytes, captured: float) -> LiveFrame:
        if self._begin is None:
            self._begin = captured
        pts = round((captured - self._begin) / _TIME_BASE)
        return LiveFrame(planes_of_bgr(picture), "yuv420p", pts, _TIME_BASE, color=_BT601, captured=captured)

    def _why_none(self) -> str:
        if self._camera is None:
            return f"{self._label} gives no more pictures: it ended or broke"
        if not is_there(self._camera):
            return f"{self._label} was unplugged"
        if self._begin is not None:
            return f"{self._label} gives no more pictures"
        return (
            f"{self._label} opened, but gives no pictures. "
            "Try --fourcc MJPG, a smaller --size or another USB port: it may lack bandwidth"
        )

    def _describe(self, mode: Mode, request: CaptureRequest) -> str:
        """One line; a warning is logged where the mode is not the one asked for."""
        got = f"{self._info.width}x{self._info.height}"
        if mode.frame_rates:
            got += f" at {float(mode.frame_rates[0]):.4g} fps"
        if mode.fourcc:
            got += f", {mode.fourcc}"
        missed = self._missed(mode, request)
        if not missed:
            return f"{self._label}, {got}"
        log.warning("%s: asked for %s, got %s", self._label, missed, got)
        return f"{self._label}, {got} (asked for {missed})"

    def _missed(self, mode: Mode, request: CaptureRequest) -> str:
        """What was asked for and not obtained, such as "1920x1080, 60 fps"; "" where all was."""
        missed = []
        if request.size not in (None, (self._info.width, self._info.height)):
            missed.append("{}x{}".format(*request.size))
        wanted = request.frame_rate
        if wanted is not None and mode.frame_rates and abs(mode.frame_rates[0] / wanted - 1) > _SAME_RATE:
            missed.append(f"{wanted:g} fps")
        if request.fourcc is not None and mode.fourcc not in ("", request.fourcc.strip()):
            missed.append(request.fourcc)
        return ", ".join(missed)


def planes_of_bgr(picture: _Bytes) -> tuple[_Bytes, _Bytes, _Bytes]:
    """Y, U, V with chroma at half size, rounded up.

    Taking YUYV from the camera undecoded instead was tried: OpenCV converts to BGR and back in a third of the time
    that numpy and OpenCV need to take its planes apart, and the luma comes back the same.

    Args:
        picture: (rows, columns, 3), uint8, blue first, any size.

    Returns:
        Planes in the limited range of BT.601, in memory of their own.
    """
    cv2 = opencv()
    rows, columns = picture.shape[:2]
    if rows % 2 or columns % 2:
        picture = cv2.copyMakeBorder(picture, 0, rows % 2, 0, columns % 2, cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    samples: _Bytes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    luma, quarter, half = height * width, height * width // 4, (height // 2, width // 2)
    return (
        samples[:luma].reshape(height, width)[:rows, :columns],
        samples[luma : luma + quarter].reshape(half),
        samples[luma + quarter :].reshape(half),
    )


def _unpacked(data: _Bytes) -> _Bytes | None:
    """A JPEG picture as (rows, columns, 3), uint8, blue first; None where it is too damaged to be one."""
    cv2 = opencv()
    picture: _Bytes | None = cv2.imdecode(data.reshape(-1), cv2.IMREAD_COLOR)
    return picture
