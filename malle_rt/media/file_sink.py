"""Write a video file: encode the frames, copy the other tracks, and let the result appear only when it is whole."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from malle_rt.errors import SinkError
from malle_rt.frame import Frame, Packet, Surface, VideoInfo
from malle_rt.media.carrying import aac_description, is_bare_aac
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.mp4_boxes import insert_boxes, remove_tracks
from malle_rt.media.output_file import OutputFile
from malle_rt.media.output_streams import Keeping, OutputStreams, create_container
from malle_rt.media.own_outputs import Mark, put_mark, write_mark_beside
from malle_rt.media.standard_output import StandardOutput, is_standard_output
from malle_rt.media.template import Template
from malle_rt.media.verify import Written, verify_end, verify_file
from malle_rt.protocols import Source

__all__ = ["FileSink"]

log = logging.getLogger(__name__)


class FileSink:
    """Encodes frames and copies packets into a file beside the target, renamed onto it by ``finish``.

    Attributes:
        path: the target.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: Source | VideoInfo | Template,
        config: EncodeConfig | None = None,
        overwrite: bool = False,
        surface: Surface | None = None,
        live: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        keep_partial: bool = False,
        container_format: str | None = None,
        mark: Mark | None = None,
        mark_beside: bool = False,
    ) -> None:
        """Open the output and its encoder, and write its header.

        Args:
            path: target; its extension chooses the container. "-" is standard output.
            source: where the frames come from. From a ``FileSource`` or a template everything else is copied too.
            config: encoder settings; None for the defaults.
            overwrite: whether ``finish`` may replace an existing file.
            surface: a picture of the source on a GPU: the encoder is tried with it, and ``no_surfaces`` says why
                it does not take such.
            live: whether the frames cannot be had again: the partial file is playable at any moment, is kept where
                it breaks off, and finishing takes no longer for a long one.
            stopped: asked by ``finish`` whether the frames are only a part of what was asked for.
            keep_partial: whether such a part may have the target's name; else it keeps the partial one.
            container_format: one of ``PIPE_FORMATS``, whatever the target is called; None: Y4M on standard output.
            mark: what the file says of its making.
            mark_beside: whether a small file beside it says so where its container cannot.

        Raises:
            ConfigError: the container, the encoder and the settings do not fit together.
            SinkError: the target may not or cannot be written.
        """
        template = _template_of(source)
        piped = is_standard_output(path)
        if piped and container_format is None:
            container_format = "yuv4mpegpipe"
        self._output = (
            StandardOutput()
            if piped
            else OutputFile(path, overwrite=overwrite, source=template.location, spare=live)
        )
        self.path = self._output.target
        self._written = Written()
        self._encoded = False
        self._live = live
        self._stopped = stopped
        self._keep_partial = keep_partial
        metadata = template.container.metadata if template.container else {}
        self._container: OutputContainer | None = None
        try:
            self._output.claim()
            keeping = _keeping(self._output, template, live=live)
            self._container = create_container(
                self._output.partial,
                self.path,
                metadata,
                keeping=keeping,
                container_format=container_format,
            )
            self._streams = OutputStreams(
                self._container,
                template,
                config or EncodeConfig(),
                surface,
                in_fragments=keeping == "fragments",
            )
            self._mark = None
            if mark is not None and not put_mark(self._container, self._streams.encoder.stream, mark):
                self._mark = mark if mark_beside else None
            self._guarded(self._container.start_encoding)
        except BaseException:
            self.abort()
            raise

    @property
    def no_surfaces(self) -> str | None:
        """Why pictures on a GPU are brought to host memory for the encoder, one line; None where they are not."""
        return self._streams.encoder.no_surfaces

    @property
    def is_pipe(self) -> bool:
        """Whether the target is read by another program as it is written."""
        return self._output.is_pipe

    @property
    def size(self) -> int | None:
        """Bytes of the file so far; None of a pipe."""
        if self._output.is_pipe:
            return None
        try:
            return self._output.partial.stat().st_size
        except OSError:  # it has its name already, or none any more
            return None

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._written.frames

    def write(self, item: Frame | Packet) -> None:
        """Encode a frame, or copy a packet of a carried track.

        Raises:
            SinkError: the disk is full, or the muxer refuses.
        """
        container = self._opened()
        if isinstance(item, Frame):
            frame = self._moved(item)
            self._guarded(lambda: container.mux(self._streams.encoder.encode(frame)))
            self._written.add(frame.seconds)
        elif isinstance(item.payload, av.Packet):
            packet = item.payload
            track = self._streams.tracks.get(item.track)
            if track is not None:
                self._guarded(lambda: container.mux(track.packets(packet, self._streams.shift)))

    @property
    def shift(self) -> Fraction:
        """Seconds that are taken off every timestamp of the source."""
        return self._streams.shift

    def write_encoded(self, packet: av.Packet[Any], instants: Iterable[Fraction] = ()) -> None:
        """Copy a packet of the picture that an encoder of the same settings gave; instead of frames.

        Args:
            packet: on the output's clock.
            instants: of the frames that come with it, in seconds and in their order.

        Raises:
            SinkError: the disk is full, or the muxer refuses.
        """
        container = self._opened()
        self._encoded = True
        packet.stream = self._streams.encoder.stream
        self._guarded(lambda: container.mux(packet))
        for instant in instants:
            self._written.add(instant)

    @property
    def extradata(self) -> bytes:
        """What the encoder says once for all of its packets."""
        return bytes(self._streams.encoder.stream.codec_context.extradata or b"")

    def finish(self) -> None:
        """Flush, close, verify, and let the file appear under its name.

        A part, see ``stopped``, is left under its partial name, and ``path`` names it; nothing where there is no frame.

        Raises:
            SinkError: no frame was written, the disk is full, or the file does not hold what was written.
        """
        container = self._opened()
        part = self._stopped()
        if part and not self.frames:
            self.abort()
            return
        try:
            if not self.frames:
                raise SinkError(f"{self.path}: no frame was written, so there is no file")
            self._guarded(lambda: container.mux(self._streams.flush(encoder=not self._encoded)))
            self._guarded(container.close)
            self._container = None
            self._complete_index()
            if not self._output.is_pipe:
                verify = verify_end if self._live else verify_file
                verify(self._output.partial, self.path, self._streams.position, self._written)
            if part and not self._keep_partial:
                self._leave_part()
            else:
                self._output.commit()
                self._say_beside()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up: nothing is left behind, and an existing target is as it was. May be called twice.

        Of a live recording that has a frame, what was written appears as the target.
        """
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError, ValueError):
                log.debug("closing an abandoned output failed", exc_info=True)
        if self._live and self.frames and self._output.partial.exists():
            self._keep()
        else:
            self._output.discard()

    def leave(self) -> bool:
        """What is on the disk stays as it is, from any thread of a process that ends at once; False: nothing is there.

        It is not whole, but plays as far as it goes: see ``create_container``.
        """
        try:
            if not self.frames or not self._output.partial.stat().st_size:
                self._output.discard()
                return False
            if self._keep_partial:
                self._output.commit()
            else:
                self._leave_part()
        except (SinkError, OSError):
            log.debug("leaving an unfinished output failed", exc_info=True)
        return True

    def _complete_index(self) -> None:
        """What FFmpeg does not write into an MP4's index, or writes in vain."""
        streams, kept = self._streams, True
        try:
            if streams.covers:
                remove_tracks(self._output.partial, streams.covers)
            if not streams.boxes.empty:
                kept = insert_boxes(self._output.partial, streams.number, streams.boxes)
        except OSError:
            kept = False
        if not kept:
            log.warning("%s: what shape the picture has (clean aperture, 3D, sphere) is not kept", self.path)

    def _say_beside(self) -> None:
        """What the container could not say of the film's making: without it, only the film is made again."""
        if self._mark is None or self._output.is_pipe:
            return
        try:
            write_mark_beside(self.path, self._mark)
        except OSError as exc:
            log.warning("%s: how it was made cannot be noted beside it (%s)", self.path, exc.strerror)

    def _leave_part(self) -> None:
        self._output.keep()
        if not self._output.is_pipe:
            self.path = self._output.partial

    def _keep(self) -> None:
        try:
            self._output.commit()
        except SinkError as exc:
            log.warning("%s. What was recorded is in %s", exc, self._output.partial)
            self._output.keep()

    def _opened(self) -> OutputContainer:
        if self._container is None:
            raise SinkError(f"{self.path}: already finished or given up")
        return self._container

    def _moved(self, frame: Frame) -> Frame:
        """The frame at its instant on the output's clock."""
        shift = self._streams.shift
        return replace(frame, pts=frame.pts - round(shift / frame.time_base)) if shift else frame

    def _guarded(self, step: Callable[[], object]) -> None:
        """Do one step of encoding or muxing; its failure becomes a SinkError."""
        try:
            step()
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            if getattr(exc, "errno", None) == errno.ENOSPC:
                raise SinkError(
                    f"{self.path}: the disk is full. Free some space, or choose another folder"
                ) from exc
            reason = getattr(exc, "strerror", None) or str(exc)
            raise SinkError(
                f"{self.path}: cannot be written ({reason}). Try another container, such as .mkv"
            ) from exc


def _keeping(output: OutputFile | StandardOutput, template: Template, *, live: bool) -> Keeping:
    """What must become of the file where it breaks off."""
    if live or output.is_pipe:
        return "fragments"
    others = (template.late.get(stream.index, stream) for stream in template.others)
    return "nothing" if any(map(_needs_the_end, others)) else "both"


def _needs_the_end(stream: Any) -> bool:
    """Whether the muxer knows a track's description only with its packets: some AAC as broadcasts carry it."""
    return is_bare_aac(stream) and aac_description(stream) is None


def _template_of(source: Source | VideoInfo | Template) -> Template:
    """What to write a file like: all of an input file, or a bare video track."""
    if isinstance(source, Template):
        return source
    if isinstance(source, VideoInfo):
        return Template(info=source)
    template = getattr(source, "template", None)
    return template if isinstance(template, Template) else Template(info=source.info)
