"""Pictures as files: a frame as PNG, and a picture that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from malle_rt.config import PICTURES
from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import Frame
from malle_rt.media.output_file import OutputFile
from malle_rt.media.rgb import to_bgr
from malle_rt.opencv import opencv

__all__ = ["check_suffix", "encode_png", "write_picture"]

# Of 9: pictures saved in passing must not take the processor from the live one.
_EFFORT = 1


def encode_png(frame: Frame) -> bytes:
    """A PNG as a screen would show the frame: full size, 8-bit RGB."""
    cv2 = opencv()
    return bytes(cv2.imencode(".png", to_bgr(frame), [cv2.IMWRITE_PNG_COMPRESSION, _EFFORT])[1])


def check_suffix(path: Path, what: str) -> None:
    """Check that ``write_picture`` knows this kind of file.

    Args:
        path: the file to be written.
        what: what it will show, for the error: "comparison".

    Raises:
        ConfigError: it does not.
    """
    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f"the {what} must be a {', '.join(PICTURES)} file, got {path}")


def write_picture(output: OutputFile, picture: npt.NDArray[np.uint8], what: str) -> None:
    """Write a picture and put it in place.

    Args:
        output: where; its suffix chooses the format.
        picture: (rows, columns, 3) BGR.
        what: what it shows, for the error.

    Raises:
        SinkError: the file cannot be written.
    """
    encoded, data = opencv().imencode(output.target.suffix, picture)
    try:
        if not encoded:
            raise OSError("it could not be encoded")
        output.claim()
        output.partial.write_bytes(data.tobytes())
    except OSError as exc:
        output.discard()
        raise SinkError(f"{output.target}: the {what} cannot be written ({exc})") from exc
    output.commit()
