"""A file that begins in the middle of a live stream."""

from __future__ import annotations

import os
from pathlib import Path

from malle_rt.errors import SinkError
from malle_rt.frame import Frame, Packet
from malle_rt.live.outlets.beginning import Beginning, live_template
from malle_rt.live.outlets.naming import free_stem
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.output_file import OutputFile
from malle_rt.media.output_streams import create_container
from malle_rt.media.template import Template

__all__ = ["Recording"]


class Recording:
    """A sink for shots and sound, each at its own instant. The file begins at 0, with the first frame.

    Satisfies ``Sink``. What was recorded is kept whatever happens: it cannot be filmed again.

    Attributes:
        path: of the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        template: Template,
        config: EncodeConfig | None = None,
        *,
        overwrite: bool = False,
        folder: Path = Path(),
    ) -> None:
        """Check what can be checked; the file is opened by the first frame.

        Args:
            path: of the file; its extension chooses the container. None: a new name in ``folder``.
            template: the source, for its sound and its colours.
            config: encoder settings; None for the defaults.
            overwrite: whether an existing file may be replaced.
            folder: for files without a name.

        Raises:
            ConfigError: no such container format.
            SinkError: a file may not or cannot be written there.
        """
        self.path = folder / f"{free_stem(folder, ['.mkv'])}.mkv" if path is None else Path(path)
        self._template = live_template(template)
        self._config = config
        self._overwrite = overwrite
        self._sink: FileSink | None = None
        self._beginning: Beginning | None = None
        self._seconds = 0.0
        partial = OutputFile(self.path, overwrite=overwrite, source=template.location).partial
        create_container(partial, self.path, {}).close()  # nothing is on the disk before a header is written

    @property
    def recorded_seconds(self) -> float:
        """From the first frame to the newest."""
        return self._seconds

    def write(self, item: Frame | Packet) -> None:
        """Write a frame, or copy a packet of sound; sound before the first frame is left out.

        Raises:
            ConfigError: the container, the encoder and the settings do not fit together.
            SinkError: the disk is full, or the muxer refuses.
        """
        if isinstance(item, Frame):
            self._write_frame(item)
        elif self._sink is not None and self._beginning is not None:
            packet = self._beginning.packet(item)
            if packet is not None:
                self._write(self._sink, packet)

    def finish(self) -> None:
        """Close the file and let it appear; takes no longer for a long recording.

        Raises:
            SinkError: no frame came, or the file does not hold what was written.
        """
        if self._sink is None:
            raise SinkError(f"{self.path}: no picture came, so nothing was recorded")
        self._sink.finish()

    def abort(self) -> None:
        """Close the file; what was written of it stays. May be called twice."""
        if self._sink is not None:
            self._sink.abort()

    def _write_frame(self, frame: Frame) -> None:
        if self._sink is None or self._beginning is None:
            self._beginning = Beginning(frame)
            self._sink = FileSink(
                self.path, self._template, self._config, overwrite=self._overwrite, live=True
            )
        moved = self._beginning.frame(frame)
        self._write(self._sink, moved)
        self._seconds = float(moved.seconds)

    def _write(self, sink: FileSink, item: Frame | Packet) -> None:
        try:
            sink.write(item)
        except SinkError as exc:
            raise SinkError(f"{exc}. The seconds until then are kept") from exc
