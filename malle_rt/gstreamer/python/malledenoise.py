"""``malledenoise``: takes noise away from raw video in a GStreamer pipeline.

    gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! malledenoise ! autovideosink

GStreamer's scanner loads this file to learn of the element: what is heavy is imported when it starts.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # noqa: E402

Gst.init(None)

# GStreamer's names of formats, and FFmpeg's.
FORMATS = {
    "I420": "yuv420p",
    "Y42B": "yuv422p",
    "Y444": "yuv444p",
    "GRAY8": "gray",
    "I420_10LE": "yuv420p10le",
    "I422_10LE": "yuv422p10le",
    "Y444_10LE": "yuv444p10le",
    "I420_12LE": "yuv420p12le",
    "I422_12LE": "yuv422p12le",
    "Y444_12LE": "yuv444p12le",
    "GRAY16_LE": "gray16le",
}
_CAPS = Gst.Caps.from_string(
    f"video/x-raw, format=(string){{ {', '.join(FORMATS)} }}, width=[1,2147483647], height=[1,2147483647], "
    "framerate=[0/1,2147483647/1]"
)
_FAILED = 4  # GStreamer's number for a library that cannot be initialised
_WRITABLE = GObject.ParamFlags.READWRITE


class MalleDenoise(GstBase.BaseTransform):  # type: ignore[misc]
    """Denoises each buffer in its place; late ones are dropped where a sink sends QoS events."""

    __gstmetadata__ = (
        "Malleable denoiser",
        "Filter/Effect/Video",
        "Removes noise from video with a small recurrent network",
        "malle-rt",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = {  # noqa: RUF012  GObject reads it from the class
        "strength": (
            str,
            "Strength",
            "auto, light, medium, strong, or the noise's sigma on the 8-bit scale, 0 to 75; may change on the way",
            "auto",
            _WRITABLE,
        ),
        "mix": (float, "Mix", "share of the clean picture; may change on the way", 0.0, 1.0, 1.0, _WRITABLE),
        "model": (str, "Model", "rt-s, rt-m or rt-l, small to large", "rt-s", _WRITABLE),
        "backend": (str, "Backend", "what runs the network; auto chooses", "auto", _WRITABLE),
        "precision": (str, "Precision", "what it runs in; auto chooses", "auto", _WRITABLE),
    }

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {
            "strength": "auto",
            "mix": 1.0,
            "model": "rt-s",
            "backend": "auto",
            "precision": "auto",
        }
        self._denoiser: Any = None
        self._info: Any = None
        self._changed = False
        self.set_in_place(True)
        self.set_qos_enabled(True)

    def do_get_property(self, prop: Any) -> Any:
        """Of GObject."""
        return self._values[prop.name]

    def do_set_property(self, prop: Any, value: Any) -> None:
        """Of GObject; strength and mix hold from the next buffer on."""
        self._values[prop.name] = value
        self._changed = prop.name in ("strength", "mix")

    def do_start(self) -> bool:
        """Open what runs the network."""
        from malle_rt.api import open_denoiser
        from malle_rt.backends.select import select_backend
        from malle_rt.config import DenoiseConfig
        from malle_rt.denoiser import FrameDenoiser
        from malle_rt.errors import MalleError

        try:
            config = DenoiseConfig(**{**self._values, "strength": self._strength()})
            if config.backend == "none":
                self._denoiser, line = open_denoiser(config)
            else:  # also where the strength is 0, which may change
                selection = select_backend(config)
                self._denoiser, line = FrameDenoiser(selection.backend, config), str(selection)
                # A buffer is overwritten with its result.
                self._denoiser.borrows = True
        except (MalleError, ValueError) as error:
            return self._fail(str(error))
        self._changed = False
        Gst.info(f"malledenoise: {line}")
        return True

    def do_stop(self) -> bool:
        """Release it."""
        if self._denoiser is not None:
            self._denoiser.close()
            self._denoiser = None
        return True

    def do_set_caps(self, incaps: Any, _: Any) -> bool:
        """Another format begins: what was before has nothing to do with it."""
        self._info = GstVideo.VideoInfo.new_from_caps(incaps)
        self._forget()
        return self._info is not None

    def do_transform_ip(self, buffer: Any) -> Any:
        """Clean one buffer."""
        from malle_rt.errors import MalleError

        try:
            if self._changed and hasattr(self._denoiser, "adjust"):
                self._denoiser.adjust(strength=self._strength(), mix=self._values["mix"])
            self._changed = False
            if buffer.has_flags(Gst.BufferFlags.DISCONT):
                self._forget()
            with buffer.map(Gst.MapFlags.READ | Gst.MapFlags.WRITE) as mapped:
                self._clean(buffer, mapped.data)
        except (MalleError, ValueError) as error:
            self._fail(str(error))
            return Gst.FlowReturn.ERROR
        return Gst.FlowReturn.OK

    def _clean(self, buffer: Any, memory: Any) -> None:
        import numpy as np

        from malle_rt.frame import Frame, pixel_layout

        pix_fmt = FORMATS[self._info.finfo.name]
        layout = pixel_layout(pix_fmt)
        # Decoders pad their rows, and tell so in a buffer's meta data.
        meta = GstVideo.buffer_get_video_meta(buffer) or self._info
        planes = []
        for number, (rows, columns) in enumerate(layout.plane_shapes(self._info.width, self._info.height)):
            size = np.dtype(layout.dtype).itemsize
            planes.append(
                np.ndarray(
                    (rows, columns), layout.dtype, memory, meta.offset[number], (meta.stride[number], size)
                )
            )
        frame = Frame(
            planes=tuple(planes),
            pix_fmt=pix_fmt,
            pts=int(buffer.pts),
            time_base=Fraction(1, Gst.SECOND),
            fields=self._fields(buffer),
        )
        clean = self._denoiser.start(frame)()
        if clean is not frame:
            for plane, samples in zip(planes, clean.planes, strict=True):
                np.copyto(plane, samples)

    def _fields(self, buffer: Any) -> Any:
        """Which field of an interlaced picture comes first."""
        mode = self._info.interlace_mode
        flags = int(buffer.get_flags())
        mixed = GstVideo.VideoInterlaceMode.MIXED
        marked = flags & int(GstVideo.VideoBufferFlags.INTERLACED)
        if mode == GstVideo.VideoInterlaceMode.INTERLEAVED or (mode == mixed and marked):
            return "top" if flags & int(GstVideo.VideoBufferFlags.TFF) else "bottom"
        return None

    def _forget(self) -> None:
        if hasattr(self._denoiser, "restart"):
            self._denoiser.restart()

    def _strength(self) -> Any:
        text = self._values["strength"]
        try:
            return float(text)
        except ValueError:
            return text  # a word, or what DenoiseConfig refuses

    def _fail(self, text: str) -> bool:
        domain = GLib.quark_from_string("gst-library-error-quark")
        error = GLib.Error.new_literal(domain, f"malledenoise: {text}", _FAILED)
        self.post_message(Gst.Message.new_error(self, error, ""))
        return False


GObject.type_register(MalleDenoise)
__gstelementfactory__ = ("malledenoise", Gst.Rank.NONE, MalleDenoise)
