"""Network streams, files and FFmpeg's source graphs, read as if each were a camera."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from malle_rt.errors import SourceError
from malle_rt.frame import Packet, VideoInfo
from malle_rt.live.capture.device import CaptureRequest, DeviceAddress
from malle_rt.live.capture.splice import HeldTracks
from malle_rt.live.capture.stream_input import StreamInput, Timeouts
from malle_rt.live.frame import LiveFrame
from malle_rt.media.compat import exact
from malle_rt.media.conversion import color_tags, planes_of
from malle_rt.media.deinterlace import Deinterlacer
from malle_rt.media.interlacing import FieldReader
from malle_rt.media.pixel_formats import nearest_planar
from malle_rt.media.side_data import has_captions
from malle_rt.media.template import Template, describe
from malle_rt.media.timeline import FrameClock
from malle_rt.media.window import Window, instant_of

__all__ = ["Pace", "StreamCapture"]

log = logging.getLogger(__name__)

# Seconds between the two fields of a live picture, at most.
_MOST_APART = 0.05
# Seconds before its announced end at which a file over the network may end without being called cut off.
_EARLY = 1.0
# Seconds that timestamps and the clock may be apart. Further behind, a slow reader would play in bursts for ever;
# further ahead, nobody could tell a gap in a file from a source that hangs.
_FARTHEST = 1.0


class StreamCapture:
    """A stream that comes at its own pace, or a file that is held to its timestamps.

    Attributes:
        description: name and mode, one line, without passwords.
        template: for a recording; its streams outlive this capture.
    """

    def __init__(self, request: CaptureRequest, *, timeouts: Timeouts | None = None) -> None:
        """Open the input and decode one picture.

        Args:
            request: ``device`` is a URL, a path, or "lavfi:" and a graph; of the rest only ``loop``,
                ``deinterlace`` and ``gpu`` matter.
            timeouts: when the input counts as gone.

        Raises:
            SourceError: it cannot be opened, has no video, or gives no picture in time.
        """
        self._address = DeviceAddress.parse(request.device)
        self._timeouts, self._gpu = timeouts or Timeouts(), request.gpu
        self._input = StreamInput(self._address, self._timeouts, self._gpu)
        try:
            self._start(request)
        except BaseException:
            self.close()
            raise

    def _start(self, request: CaptureRequest) -> None:
        opened = self._input
        ends = self._address.kind != "url" or (not self._address.self_paced and opened.duration is not None)
        self._pace = Pace() if ends else None
        self._loops = request.loop and ends
        self._shift = Fraction(0)
        self._captions = False
        self._opened = time.monotonic()
        self._begin = self._end = self._instant(opened.first)
        self._clock = FrameClock(opened.demuxed.frame_ticks)
        self._field_reader = FieldReader()
        rate = request.deinterlace
        self._deinterlacer = Deinterlacer(rate) if rate is not None else None
        self._tracks = HeldTracks(opened.container, opened.video, self._address.shown)
        self.template = self._describe()
        where = ", decoded by NVDEC" if opened.on_gpu else ""
        self.description = f"{self._address.shown}, {_mode(self.template.info)}{where}"

    description: str
    template: Template

    def __iter__(self) -> Iterator[LiveFrame | Packet]:
        """Frames and packets of sound, once; for ever where the file loops.

        Raises:
            SourceError: the stream stalled, broke, or ended although it has no end of its own.
        """
        yield from self._pass()
        while self._loops:
            self._shift += self._end - self._begin
            self._input.close()
            self._input = StreamInput(self._address, self._timeouts, self._gpu)
            yield from self._pass()
        self._check_end()

    def close(self) -> None:
        """Release the input. May be called twice, by the reading thread."""
        self._input.close()

    def _pass(self) -> Iterator[LiveFrame | Packet]:
        """The input from where it is to its end."""
        for item in self._input.items():
            if isinstance(item, av.VideoFrame):
                # The picture's own instant: converting it takes time that is part of the delay.
                captured = time.monotonic()
                item.pts = self._clock.stamp(self._timestamp(item, captured), item.duration)
                item.time_base = self._input.demuxed.unit(item)  # the last ones have none
                yield from self._frames(item, captured)
            elif (packet := self._tracks.packet(item, self._shift)) is not None:
                self._note_end(instant_of(item), (item.duration or 0) * exact(item.time_base or 1))
                yield packet
        if self._deinterlacer is not None:
            for picture in self._deinterlacer.drain():
                yield self._frame(picture, time.monotonic())

    def _frames(self, picture: av.VideoFrame, captured: float) -> Iterator[LiveFrame]:
        """What becomes of a decoded picture, at its pace."""
        if self._deinterlacer is None:
            yield self._frame(picture, captured)
            return
        for number, each in enumerate(self._deinterlacer.pictures(picture)):
            if number and self._pace is None:
                # Both fields come at once, and the newest picture wins: the first one would never be seen.
                time.sleep(min(_MOST_APART, float(each.duration * self._input.demuxed.unit(each))))
            yield self._frame(each, captured if not number else time.monotonic())

    def _frame(self, picture: av.VideoFrame, captured: float) -> LiveFrame:
        """The frame of a picture whose pts is right."""
        unit, duration = self._input.demuxed.unit(picture), picture.duration
        pts = picture.pts or 0
        self._note_end(pts * unit - self._shift, (duration or self._input.demuxed.frame_ticks) * unit)
        planes = planes_of(picture)
        if not self._captions and has_captions(picture):
            self._captions = True
            log.warning("%s: closed captions are neither shown nor recorded live", self._address.shown)
        if self._pace is not None:
            captured = self._pace.wait(pts * unit)
        return LiveFrame(
            planes=planes,
            pix_fmt=nearest_planar(picture.format.name),
            pts=pts,
            time_base=unit,
            duration=duration,
            color=color_tags(picture, self._input.video.codec_context),
            fields=self._field_reader.order(picture),
            captured=captured,
        )

    def _timestamp(self, picture: av.VideoFrame, captured: float) -> int | None:
        """The pts on the timeline of all passes; by the clock where a live stream has none, as raw H.264."""
        unit, found = self._input.demuxed.unit(picture), self._input.demuxed.timestamp(picture)
        if found is not None:
            return found + round(self._shift / unit)
        return (
            None
            if self._pace is not None
            else round((self._begin + Fraction(captured - self._opened)) / unit)
        )

    def _instant(self, picture: av.VideoFrame) -> Fraction:
        return (self._input.demuxed.timestamp(picture) or 0) * self._input.demuxed.unit(picture)

    def _note_end(self, instant: Fraction | None, duration: Fraction) -> None:
        if instant is not None:
            self._end = max(self._end, instant + duration)

    def _check_end(self) -> None:
        """Whether this input may end here.

        Raises:
            SourceError: no.
        """
        if self._pace is None:
            raise SourceError(f"{self._address.shown}: the stream has ended. Check that the server is up")
        whole = self._input.duration
        if self._address.kind == "url" and whole and self._end - self._begin < whole - Fraction(_EARLY):
            raise SourceError(f"{self._address.shown}: cut off before its end. Check the network")

    def _describe(self) -> Template:
        opened = self._input
        color = color_tags(opened.first, opened.video.codec_context)
        whole = Window(None, None, Fraction(0))
        template = describe(
            self._address.shown, opened.container, opened.video, opened.first, color, whole, ()
        )
        if self._deinterlacer is not None:
            info = self._deinterlacer.described(template.info, interlaced=template.interlaced)
            template = replace(template, info=info, fields=None)
        return replace(
            template,
            # How much of it a session will see, nobody knows.
            info=replace(template.info, duration=None, frames=None),
            container=None,
            video=self._tracks.video,
            others=self._tracks.others,
        )


def _mode(info: VideoInfo) -> str:
    rate = f" at {float(info.frame_rate):.4g} fps" if info.frame_rate else ""
    return f"{info.width}x{info.height}{rate}, {info.codec}"


class Pace:
    """Holds each frame back until it is due.

    A frame that comes late goes at once and does not delay the next one. Where timestamps and clock have drifted
    apart by more than a second, they start anew from there.
    """

    def __init__(self) -> None:
        self._zero: float | None = None

    def wait(self, instant: Fraction) -> float:
        """Wait for the frame at ``instant`` seconds of its own timeline, for a second at most.

        Returns:
            When it was due, on the clock of ``time.monotonic``.
        """
        now = time.monotonic()
        due = now if self._zero is None else self._zero + float(instant)
        if due < now - _FARTHEST:
            due = now
        due = min(due, now + _FARTHEST)
        self._zero = due - float(instant)
        if due > now:
            time.sleep(due - now)
        return due
