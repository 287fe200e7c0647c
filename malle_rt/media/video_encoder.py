"""The encoded video track of an output: opened from what the source is, fed with frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer
from av.video.frame import PictureType

from malle_rt.errors import ConfigError, SinkError
from malle_rt.fields import by_field
from malle_rt.frame import Frame, Plane, Surface, VideoInfo, pixel_layout
from malle_rt.media.carrying import is_mov
from malle_rt.media.encode_config import EncodeConfig, needed_hardware
from malle_rt.media.hardware import NotOnGpu, SurfaceEncoding
from malle_rt.media.hdr import add_hdr, can_write_hdr
from malle_rt.media.interlacing import FieldMarker, FieldOrder
from malle_rt.media.picture_plan import PicturePlan
from malle_rt.media.pixel_formats import (
    alpha_format,
    has_alpha,
    is_full_range_name,
    nearest_planar,
    plain_name,
)
from malle_rt.media.planes import (
    alpha_of,
    fill_planes,
    new_video_frame,
    pad_to_size,
    padded,
    rescaled,
    with_alpha,
)
from malle_rt.media.scheduling import kept_scheduling
from malle_rt.media.side_data import has_captions
from malle_rt.media.template import Template
from malle_rt.media.upright import rotatable, turn_planes

__all__ = ["VideoEncoder", "wants_avx2"]

log = logging.getLogger(__name__)

_FULL_RANGE = 2
_X264_SMALL = 640 * 360  # pixels below which x264's AVX-512 code is not reproducible
# AV_CODEC_FLAG_FRAME_DURATION, _INTERLACED_DCT, _INTERLACED_ME: older PyAV has no names for them.
_FRAME_DURATION, _INTERLACED = 1 << 8, 1 << 18 | 1 << 29
# Parts of the names of encoders whose bitstream says what shape pixels have.
_ASPECT_IN_BITSTREAM = ("264", "265", "hevc", "mpeg")
# Encoders that write into the bitstream, when these flags are set, that pictures hold two fields.
_FIELD_ENCODERS = frozenset(
    {
        "libx264",
        "mpeg2video",
        "mpeg4",
        "ffv1",
        "prores",
        "prores_aw",
        "prores_ks",
        "dnxhd",
        "dvvideo",
        "h264_nvenc",
    }
)
# Encoders that write closed captions.
_CAPTION_ENCODERS = frozenset(
    {"libx264", "libx264rgb", "libx265", "mpeg2video", "h264_nvenc", "hevc_nvenc", "h264_qsv"}
    | {f"{codec}_{system}" for codec in ("h264", "hevc") for system in ("vaapi", "videotoolbox")}
)
# Numbers of H.264 for two views in one picture.
_H264_PACKINGS = {
    "checkerboard": 0,
    "column by column": 1,
    "line by line": 2,
    "side by side": 3,
    "top and bottom": 4,
    "frame by frame": 5,
}
# AVFieldOrder by what FFmpeg's own program writes: woven fields, and for MJPEG, which codes one after the other, those.
_WOVEN: dict[FieldOrder, str] = {"top": "tb", "bottom": "bt"}
_SEPARATE: dict[FieldOrder, str] = {"top": "tt", "bottom": "bb"}
_Y4M = "yuv4mpegpipe"
# Containers that say the field order of a track.
_FIELD_CONTAINERS = frozenset({"matroska", "mov", "mp4", "mxf", "nut", _Y4M})
# Decoded as the container says.
_UNMARKED = frozenset({"rawvideo", "v210"})

# Ticks of a second that MPEG-4's 16 bits can count.
_FINEST_MPEG4 = 65535


def wants_avx2(width: int, height: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether x264 has to be kept from AVX-512 to give the same frames in every run.

    With it, the first frame of a picture smaller than 640x360 depends on what the heap held before: by up to 33 codes
    between two runs. With AVX2 it does not, and for such pictures that costs nothing.

    Args:
        width: of the picture.
        height: of the picture.
        cpuinfo: what Linux says about the processor.
    """
    if width * height >= _X264_SMALL:
        return False
    try:
        flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    except OSError:
        return False
    return {"avx2", "avx512f"} <= set(flags.split())


def _with_x264(options: dict[str, str], parameter: str) -> dict[str, str]:
    """The options with one more of x264's own; what the user gave comes last and wins."""
    own = options.get("x264-params")
    return options | {"x264-params": parameter + (f":{own}" if own else "")}


class VideoEncoder:
    """Encodes frames into one stream of an output container.

    Attributes:
        stream: the output stream.
        no_surfaces: why it is given pictures in host memory although some lie on a GPU, one line; None where it
            is given those, or there are none.
        writes_stereo: whether the bitstream says how two views are packed into the picture.
    """

    def __init__(
        self,
        container: OutputContainer,
        template: Template,
        config: EncodeConfig,
        plan: PicturePlan,
        surface: Surface | None = None,
    ) -> None:
        """Add the stream and open its encoder.

        Args:
            container: of the output.
            template: what the source is.
            config: encoder settings.
            plan: what the encoder is given.
            surface: a picture of the source on a GPU, to find out whether the encoder takes such.

        Raises:
            ConfigError: the container cannot hold the codec, or the encoder refuses its settings.
        """
        self._plan = plan
        self._config = config
        self._warned: set[str] = set()
        self.writes_stereo = False
        self.no_surfaces: str | None = None
        self._surfaces = self._prove(surface, template) if surface is not None else None
        self._source_format = template.info.pix_fmt
        self._fields = template.fields if plan.rotation % 180 == 0 else None
        if self._fields is not None:
            self._fields = _turned(self._fields, plan.size[1], plan.rotation)
        self._marker = FieldMarker()
        # Not only in _describe: before 18.1, PyAV writes the rate it is told here into the header.
        more: dict[str, Any] = {"rate": template.info.frame_rate}
        if self._surfaces is not None:
            more["hwaccel"] = self._surfaces.acceleration
        try:
            self.stream = cast(av.VideoStream, cast(Any, container).add_stream(config.codec, **more))
        except ValueError as exc:
            raise ConfigError(_unheld(container, config.codec)) from exc
        self._tick = _coarse_clock(container.format.name, config.codec, template.info)
        self._last_tick: int | None = None
        self._describe(template)
        self._open(template)

    def encode(self, frame: Frame, *, key: bool = False) -> list[av.Packet[Any]]:
        """Packets that are ready after this frame; ``key``: it shall be decodable without others."""
        picture = self._picture(frame)
        if key:
            picture.pict_type = PictureType.I
        picture.pts = frame.pts
        picture.time_base = frame.time_base
        picture.duration = frame.duration
        if self._tick is not None:
            self._place(picture, frame.pts * frame.time_base / self._tick, self._tick)
        return list(self.stream.encode(picture))

    def follow(self, instants: Iterable[Fraction]) -> None:
        """Take frames at these seconds for encoded already: those that come find the places behind theirs."""
        if self._tick is not None:
            for instant in instants:
                self._last_tick = self._place_of(instant / self._tick)

    def flush(self) -> list[av.Packet[Any]]:
        """The packets still held by the encoder."""
        return list(self.stream.encode(None))

    def _place(self, picture: av.VideoFrame, ticks: Fraction, tick: Fraction) -> None:
        """Put a picture on the encoder's own clock, behind the one before."""
        place = self._place_of(ticks)
        if self._last_tick is not None:
            gap = place > self._last_tick + 1 and self.stream.container.format.name == _Y4M
            if gap and "rate" not in self._warned:
                self._warned.add("rate")
                log.warning(
                    "the frame rate changes, which y4m cannot say: it plays at %s. Use .mkv", 1 / tick
                )
        self._last_tick = picture.pts = place
        picture.time_base, picture.duration = tick, 1

    def _place_of(self, ticks: Fraction) -> int:
        return round(ticks) if self._last_tick is None else max(round(ticks), self._last_tick + 1)

    def _prove(self, surface: Surface, template: Template) -> SurfaceEncoding | None:
        rate = template.info.frame_rate or Fraction(25)
        try:
            return SurfaceEncoding.proven(self._config, self._plan, surface, rate)
        except NotOnGpu as exc:
            self.no_surfaces = str(exc)
            return None

    def _describe(self, template: Template) -> None:
        info, plan, stream = template.info, self._plan, self.stream
        context = stream.codec_context
        context.width, context.height = plan.size
        context.pix_fmt = plan.pix_fmt if self._surfaces is None else self._surfaces.pix_fmt
        # 0 is FFmpeg's "unknown": PyAV would write 24 frames per second into the header.
        context.framerate = info.frame_rate or Fraction(0)
        context.sample_aspect_ratio = plan.sample_aspect_ratio
        context.time_base = stream.time_base = info.time_base
        if self._tick is not None:
            context.time_base, context.framerate = self._tick, 1 / self._tick
            if stream.container.format.name == _Y4M:
                stream.time_base = self._tick  # it writes that as the rate
        # Slice threads, PyAV's default, make x264 worse and slower.
        context.thread_type = "AUTO"
        context.flags |= _FRAME_DURATION
        full = is_full_range_name(info.pix_fmt) or info.color.color_range == _FULL_RANGE
        context.color_range = _FULL_RANGE if full else info.color.color_range
        context.colorspace = info.color.colorspace
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        if plan.sample_aspect_ratio != 1 and not self._keeps_aspect_ratio():
            log.warning(
                "%s in a %s file cannot say that its pixels are not square (%s): it will look stretched. Use .mp4",
                self._config.codec,
                stream.container.format.name,
                plan.sample_aspect_ratio,
            )
        if self._fields is not None:
            self._describe_fields()

    def _keeps_aspect_ratio(self) -> bool:
        # Matroska takes the shape of pixels from the stream, where PyAV cannot set it; MP4 from the encoder.
        in_bitstream = any(family in self._config.codec for family in _ASPECT_IN_BITSTREAM)
        return in_bitstream or is_mov(cast(OutputContainer, self.stream.container))

    def _describe_fields(self) -> None:
        codec, container = self._config.codec, self.stream.container.format.name
        if codec in _FIELD_ENCODERS:
            self.stream.codec_context.flags |= _INTERLACED
        elif not (codec in _UNMARKED and container in _FIELD_CONTAINERS):
            log.warning(
                "encoder %s does not mark its pictures as interlaced%s: the output will show combs unless the player "
                "is told to deinterlace (libx264 marks them; deinterlacing avoids it)",
                codec,
                f", only the {container} container will say so" if container in _FIELD_CONTAINERS else "",
            )

    def _open(self, template: Template) -> None:
        options = self._config.encoder_options(self._plan.pix_fmt)
        if template.hdr is not None and can_write_hdr(self._config.codec):
            options = add_hdr(self._config.codec, options, template.hdr)
        elif template.hdr is not None:
            log.warning(
                "encoder %s cannot write HDR light levels; colours stay right (libx265 keeps both)",
                self._config.codec,
            )
        for name in template.dynamic_hdr:
            log.warning("%s metadata is not kept; the output is the base picture", name)
        packing = _H264_PACKINGS.get(template.stereo.packing or "") if template.stereo is not None else None
        if (
            packing is not None
            and self._config.codec in ("libx264", "libx264rgb")
            and not self._plan.rotation
        ):
            options = _with_x264(options, f"frame-packing={packing}")
            self.writes_stereo = True
        if self._config.codec in ("libx264", "libx264rgb") and wants_avx2(*self._plan.size):
            options = _with_x264(options, "asm=avx2")
        if self._fields is not None:
            orders = _SEPARATE if self._config.codec == "mjpeg" else _WOVEN
            options = {"field_order": orders[self._fields]} | options
        context = self.stream.codec_context
        context.options = options
        if self._config.codec == "libsvtav1":  # it prints its whole set-up to stderr by itself otherwise
            os.environ.setdefault("SVT_LOG", "1")
        try:
            with kept_scheduling():
                context.open()
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            raise ConfigError(self._refusal(options, exc)) from exc
        unknown = sorted(set(context.options) & set(self._config.options))
        if unknown:
            raise ConfigError(
                f"encoder {self._config.codec} has no option {', '.join(unknown)}. Check the spelling"
            )

    def _refusal(self, options: dict[str, str], exc: Exception) -> str:
        width, height = self._plan.size
        shown = " ".join(f"{name}={value}" for name, value in options.items())
        reason = getattr(exc, "strerror", None) or str(exc)
        if needs := needed_hardware(self._config.codec):
            return (
                f"encoder {self._config.codec} needs {needs} with its driver, and found none that takes "
                f"{width}x{height} {self._plan.pix_fmt} ({reason}). Use libx264, libx265 or libsvtav1"
            )
        return (
            f"encoder {self._config.codec} refuses {width}x{height} {self._plan.pix_fmt} with {shown or 'no options'} "
            f"({reason}). Change the option, or use another codec"
        )

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The frame as the encoder wants it."""
        plan = self._plan
        unchanged = (frame.width, frame.height, frame.pix_fmt) == (*plan.size, self._source_format)
        if self._surfaces is not None and unchanged and isinstance(frame.planes, Surface):
            return self._surfaces.picture(frame.planes)
        if self._surfaces is not None and frame.fields is not None:
            raise SinkError(
                "the video becomes interlaced on the way, which the GPU's encoder cannot be given any more",
                hint='Decode on the processor instead (hwaccel="none")',
            )
        return self._marked(self._converted(frame), frame.fields)

    def _marked(self, picture: av.VideoFrame, fields: FieldOrder | None) -> av.VideoFrame:
        """The picture with its field order on it; warns of those that the encoder was not opened for."""
        if fields is None and self._fields is not None:
            # Encoders opened for fields code every picture as two: those of a progressive one in the steady order.
            return self._marker.marked(picture, self._fields)
        if fields is None:
            return picture
        if self._fields is None and "fields" not in self._warned:
            self._warned.add("fields")
            why = (
                "turned by a quarter, its lines belong to no field any more"
                if self._plan.rotation % 180
                else "it began without fields"
            )
            log.warning(
                "the video is interlaced, but the output cannot say so: %s. Deinterlace it instead", why
            )
        if self._fields is None:
            return picture
        return self._marker.marked(picture, _turned(fields, picture.height, self._plan.rotation))

    def _converted(self, frame: Frame) -> av.VideoFrame:
        """A new picture in the planned size and format."""
        plan = self._plan
        frame = self._regular(frame)
        target = nearest_planar(plan.pix_fmt)
        if frame.fields is not None and _chroma_rows(target) != _chroma_rows(frame.pix_fmt):
            # FFmpeg's scaler would mix the chroma of both fields.
            frame = by_field(frame, lambda half: rescaled(half, (half.width, half.height), target))
        planes = turn_planes(frame.planes, plan.rotation) if plan.rotation else frame.planes
        height, width = planes[0].shape
        if (width, height) != plan.size:
            planes = pad_to_size(planes, frame.pix_fmt, plan.size)
        picture = self._filled(frame, planes)
        if has_alpha(plan.pix_fmt):
            picture = self._transparent(picture, frame.origin)
        if picture.format.name != plan.pix_fmt:
            picture = picture.reformat(format=plan.pix_fmt)
        return picture

    def _transparent(self, picture: av.VideoFrame, origin: object) -> av.VideoFrame:
        """The picture with the transparency of the decoder's frame; without any where that has none."""
        if not isinstance(origin, av.VideoFrame) or not has_alpha(origin.format.name):
            return picture
        pix_fmt = alpha_format(picture.format.name)
        alpha = alpha_of(origin, self._plan.source_size, pix_fmt)
        if self._plan.rotation:
            (alpha,) = turn_planes([alpha], self._plan.rotation)
        return with_alpha(picture, padded(alpha, (picture.height, picture.width)), pix_fmt)

    def _filled(self, frame: Frame, planes: Sequence[Plane]) -> av.VideoFrame:
        """A picture of these planes; where the decoder's own has captions, that one or one made of it."""
        pix_fmt = plain_name(frame.pix_fmt)
        height, width = planes[0].shape
        origin = frame.origin
        if not isinstance(origin, av.VideoFrame) or not has_captions(origin):
            return new_video_frame(planes, pix_fmt)
        if self._config.codec not in _CAPTION_ENCODERS and "captions" not in self._warned:
            self._warned.add("captions")
            log.warning(
                "closed captions begin at %.1f s, which encoder %s cannot write: they are lost (libx264 keeps them)",
                float(frame.seconds),
                self._config.codec,
            )
        if (origin.width, origin.height, origin.format.name) == (width, height, pix_fmt):
            picture = origin
            picture.make_writable()
        else:
            picture = origin.reformat(width=width, height=height, format=pix_fmt)
        fill_planes(picture, planes)
        # Else the encoder would repeat the source's choice of I, P and B pictures.
        picture.pict_type = 0
        return picture

    def _regular(self, frame: Frame) -> Frame:
        """The frame in the planned size, and in a format that can be turned."""
        plan = self._plan
        pix_fmt = rotatable(plain_name(frame.pix_fmt), plan.rotation)
        if (frame.width, frame.height) == plan.source_size and pix_fmt == plain_name(frame.pix_fmt):
            return frame
        if (frame.width, frame.height) != plan.source_size and "size" not in self._warned:
            self._warned.add("size")
            log.warning(
                "the picture changes from %dx%d to %dx%d on the way; scaled to the first size",
                *plan.source_size,
                frame.width,
                frame.height,
            )
        width, height = plan.source_size
        if height % 2 or frame.fields is None:
            return rescaled(frame, plan.source_size, pix_fmt)
        return by_field(frame, lambda half: rescaled(half, (width, height // 2), pix_fmt))


def _unheld(container: OutputContainer, codec: str) -> str:
    """Why a container cannot be given such video, and what to do."""
    kind = Path(container.name).suffix or container.format.name
    held = container.default_video_codec
    if held == "none":
        return f"{kind} files hold no video. Use .mkv, .mp4, .mov or .webm"
    others = f"or a codec that they hold, such as {held}"
    return f"{kind} files cannot hold {codec} video. Use .mkv, .mp4, .mov or .webm, {others}"


def _coarse_clock(container: str, codec: str, info: VideoInfo) -> Fraction | None:
    """Seconds of a tick for encoders and files that know a frame rate only; None for those that take any instant.

    MPEG-1 and MPEG-2 have a table of rates: the next one that is not slower, so that every frame has a place.
    """
    rate = info.frame_rate or Fraction(25)
    if container == _Y4M:
        return 1 / rate
    if codec in ("mpeg1video", "mpeg2video"):
        known = [Fraction(one.numerator, one.denominator) for one in av.Codec(codec, "w").frame_rates or ()]
        fitting = [one for one in known if one >= rate * Fraction(999, 1000)]
        return 1 / min(fitting, default=max(known, default=rate))
    if codec == "mpeg4" and info.time_base.denominator > _FINEST_MPEG4:
        return 1 / rate.limit_denominator(1001)
    return None


def _chroma_rows(pix_fmt: str) -> int:
    """By how much chroma has fewer rows than luma, as a shift."""
    chroma = pixel_layout(pix_fmt).chroma
    return 0 if chroma is None else chroma[1]


def _turned(fields: FieldOrder, height: int, rotation: int) -> FieldOrder:
    """The field order of a picture that has been turned: upside down, an even number of lines swaps its fields."""
    if rotation % 360 != 180 or height % 2:
        return fields
    return "bottom" if fields == "top" else "top"
