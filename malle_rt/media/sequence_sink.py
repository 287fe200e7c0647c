"""Frames as numbered picture files, each of which appears whole or not at all."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import Frame, Packet
from malle_rt.media.output_file import OutputFile
from malle_rt.media.pixel_formats import bits_of
from malle_rt.media.rgb import to_order
from malle_rt.media.sequences import PictureSequence, number_pattern
from malle_rt.media.template import Template
from malle_rt.opencv import opencv

__all__ = ["SUFFIXES", "SequenceSink", "are_pictures"]

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
_DEEP = (".png", ".tif", ".tiff")  # hold 16 bits
_QUALITY = 95  # of JPEG; above 100, WebP is without loss
_EFFORT = 3  # of PNG's compression, of 9: the disk takes what the processor has no time for


def are_pictures(output: str | os.PathLike[str]) -> bool:
    """Whether an output is a sequence of pictures: a number in its name, as ``frame_%04d.png`` has it."""
    path = Path(output)
    return path.suffix.lower() in SUFFIXES and number_pattern(path) is not None and not path.exists()


class SequenceSink:
    """Writes each frame as a picture file.

    Attributes:
        path: the pattern.
        frames: written so far.
        no_surfaces: why pictures come to host memory.
    """

    no_surfaces = "pictures are encoded on the processor"

    def __init__(
        self,
        path: str | os.PathLike[str],
        template: Template,
        *,
        overwrite: bool = False,
        sequence: PictureSequence | None = None,
        rate: Fraction | None = None,
    ) -> None:
        """Check that the pictures may be written; nothing is created.

        Args:
            path: with one number, such as ``out/frame_%04d.png``; its suffix chooses the format.
            template: of the source.
            overwrite: whether existing pictures may be replaced.
            sequence: the source, if it is one itself: its pictures are not replaced, and lend their numbers.
            rate: frames a second of that sequence.

        Raises:
            ConfigError: no such format, or no number in the name.
            SinkError: the pictures may not or cannot be written.
        """
        self.path = Path(path)
        names = number_pattern(self.path)
        if names is None:
            raise ConfigError(f"{path}: a sequence needs one number in its name, such as frame_%04d.png")
        if self.path.suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"pictures of a sequence are {', '.join(SUFFIXES)}, got {self.path.suffix or 'no suffix'}"
            )
        self.frames = 0
        self._template, self._overwrite = template, overwrite
        self._sequence, self._rate = sequence, rate
        self._inputs = {_identity(file) for file in sequence.files} if sequence is not None else set()
        self._cv2 = opencv()
        stored = template.video.codec_context.pix_fmt if template.video is not None else template.info.pix_fmt
        self._deep = bits_of(stored or template.info.pix_fmt) > 8 and self.path.suffix.lower() in _DEEP
        for number in sequence.numbers if sequence is not None else ():
            self._refuse_input(self._target(number))
        self._file(
            sequence.numbers[0] if sequence is not None else 1
        )  # its folder is there and can be written
        present = sum(bool(names.fullmatch(each.name)) for each in self.path.parent.iterdir())
        if present and not overwrite:
            raise SinkError(
                f"{path}: {present} such pictures exist already",
                hint="Choose another name, or pass overwrite=True to replace them",
            )
        self._older = present
        dropped = {"transparency": template.alpha, "sound and other tracks": bool(template.others)}
        lost = [what for what, there in dropped.items() if there]
        if lost:
            log.warning("%s: pictures do not keep %s", path, " and ".join(lost))

    def write(self, item: Frame | Packet) -> None:
        """Write a frame's picture; packets of other tracks have no place here.

        Raises:
            SinkError: the file cannot be written.
        """
        if not isinstance(item, Frame):
            return
        file = self._file(self._number(item))
        order = "bgr48le" if self._deep else "bgr24"
        picture = np.ascontiguousarray(np.rot90(to_order(item, order), self._template.info.rotation // 90))
        suffix = self.path.suffix.lower()
        options = {".png": [self._cv2.IMWRITE_PNG_COMPRESSION, _EFFORT]}.get(suffix, [])
        if suffix in (".jpg", ".jpeg"):
            options = [self._cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        elif suffix == ".webp":
            options = [self._cv2.IMWRITE_WEBP_QUALITY, 101]
        done, data = self._cv2.imencode(suffix, picture, options)
        if not done:
            raise SinkError(f"{file.target}: cannot be encoded as {suffix[1:]}")
        file.claim()
        try:
            file.partial.write_bytes(data.tobytes())
            file.commit()
        except OSError as exc:
            raise SinkError(f"{file.target}: cannot be written ({exc.strerror or exc})") from exc
        finally:
            file.discard()
        self.frames += 1

    def finish(self) -> None:
        """All are there already.

        Raises:
            SinkError: no frame was written.
        """
        if not self.frames:
            raise SinkError(f"{self.path}: no frame was written, so there are no pictures")
        if self._older > self.frames:
            log.warning("%s: %d older pictures are still there", self.path, self._older - self.frames)

    def abort(self) -> None:
        """Pictures that are whole stay."""

    def leave(self) -> bool:
        """Whether there are pictures, which stay."""
        return bool(self.frames)

    def _number(self, frame: Frame) -> int:
        if self._sequence is not None and self._rate is not None:
            index = round(frame.seconds * self._rate)
            if 0 <= index < len(self._sequence.numbers):
                return self._sequence.numbers[index]
        return self.frames + 1

    def _file(self, number: int) -> OutputFile:
        target = self._target(number)
        self._refuse_input(target)
        return OutputFile(target, overwrite=self._overwrite, source=self._template.location)

    def _target(self, number: int) -> Path:
        return self.path.with_name(self.path.name % number)

    def _refuse_input(self, target: Path) -> None:
        if (found := _identity(target)) is not None and found in self._inputs:
            raise SinkError(
                f"{target}: this is one of the input's pictures. Choose another name for the output"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from others, whatever its name; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
