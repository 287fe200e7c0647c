"""A picture that shows some frames of a video before and after: noisy on the left, denoised on the right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Frame
from malle_rt.media.output_file import OutputFile
from malle_rt.media.png import check_suffix, write_picture
from malle_rt.media.rgb import to_rgb
from malle_rt.opencv import opencv
from malle_rt.protocols import Denoiser

__all__ = ["SideBySide"]

WIDEST = 960  # pixels of one picture; larger frames are shown smaller
_PLACES = (0.2, 0.5, 0.8)  # of the video's length
_FALLBACK = (10, 60, 240)  # frame numbers, where the length is unknown


class SideBySide:
    """A denoiser around another one that keeps three pairs of frames.

    Args:
        inner: the denoiser that works.
        path: the picture to write: .png, .jpg or .webp.
        expected: number of frames of the video, None when unknown.
        overwrite: whether an existing picture may be replaced.
        source: path of the video, which must never be replaced.

    Raises:
        ConfigError: for a path with another suffix.
        SinkError: the picture may not or cannot be written there.
    """

    def __init__(
        self,
        inner: Denoiser,
        path: Path,
        *,
        expected: int | None,
        overwrite: bool = False,
        source: str | None = None,
    ) -> None:
        check_suffix(path, "comparison")
        self._inner = inner
        opencv()  # where it does not load, better now than at the end
        self._output = OutputFile(path, overwrite=overwrite, source=source)
        self._wanted = {int(expected * place) for place in _PLACES} if expected else set(_FALLBACK)
        self._seen = 0
        self._rows: dict[int, npt.NDArray[np.uint8]] = {}

    @property
    def ahead(self) -> int:
        """As the inner denoiser's."""
        return self._inner.ahead

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Let the inner denoiser work; keep the pair if it is one of the wanted, or the first as a fallback."""
        number, self._seen = self._seen, self._seen + 1
        result = self._inner.start(frame)
        if number not in self._wanted and number != 0:
            return result

        def finish() -> Frame:
            clean = result()
            self._rows[number] = _row(frame, clean)
            return clean

        return finish

    def close(self) -> None:
        """Close the inner denoiser."""
        self._inner.close()

    def save(self) -> bool:
        """Write the kept pairs, one row each; False when there was no frame.

        Raises:
            SinkError: the file cannot be written.
        """
        rows = [row for number, row in sorted(self._rows.items()) if number in self._wanted]
        rows = rows or list(self._rows.values())
        if not rows:
            return False
        widest = max(row.shape[1] for row in rows)
        sheet = np.concatenate([np.pad(row, ((0, 4), (0, widest - row.shape[1]), (0, 0))) for row in rows])
        write_picture(self._output, sheet[:-4], "comparison")
        return True


def _row(noisy: Frame, clean: Frame) -> npt.NDArray[np.uint8]:
    """Both pictures in one, (rows, columns, 3) BGR, with a white line between."""
    left, right = (_picture(frame) for frame in (noisy, clean))
    line = np.full((left.shape[0], 2, 3), 255, np.uint8)
    return np.concatenate((left, line, right), axis=1)


def _picture(frame: Frame) -> npt.NDArray[np.uint8]:
    rgb = to_rgb(frame)
    if rgb.shape[1] > WIDEST:
        size = (WIDEST, max(1, rgb.shape[0] * WIDEST // rgb.shape[1]))
        cv2 = opencv()
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return np.ascontiguousarray(rgb[..., ::-1])
