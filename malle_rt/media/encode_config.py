"""How to encode: what the user may choose, and what the encoders call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import av
from av.codec.codec import UnknownCodecError

from malle_rt.errors import ConfigError
from malle_rt.media.pixel_formats import has_alpha
from malle_rt.media.standard_output import output_suffix

__all__ = ["ALPHA_BESIDE", "EncodeConfig", "default_codec", "needed_hardware"]

# Encoders with a constant-quality scale, and a value of it that keeps what a denoiser leaves.
_CRF = {
    "libx264": 18,
    "libx264rgb": 18,
    "libx265": 20,
    "libsvtav1": 25,
    "libvpx": 10,
    "libvpx-vp9": 24,
    "libaom-av1": 24,
}
# What is written where H.264 cannot be, or is not looked for.
_BY_SUFFIX = {
    ".webm": "libvpx-vp9",
    ".y4m": "rawvideo",
    ".ogv": "libvpx",
    ".ogg": "libvpx",
    ".ivf": "libsvtav1",
    ".apng": "apng",
} | dict.fromkeys((".mpg", ".mpeg", ".vob", ".m2v"), "mpeg2video")
# The worst quality of each scale; finer ones of 10-bit x264 end at 51 too.
_WORST = {"libx264": 51, "libx264rgb": 51, "libx265": 51}
_WORST_OF_OTHERS = 63
# Other names of encoders; FFmpeg gives its own default of such a name instead of ours.
_SAME = {
    "h264": "libx264",
    "avc": "libx264",
    "x264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "x265": "libx265",
}
_SAME |= {"av1": "libsvtav1", "vp9": "libvpx-vp9", "vp8": "libvpx"}
# What makes encoders with a name of a piece of hardware work.
_HARDWARE = {"nvenc": "an NVIDIA GPU", "qsv": "an Intel GPU", "vaapi": "an Intel or AMD GPU (Linux)"}
_HARDWARE |= {"amf": "an AMD GPU", "videotoolbox": "a Mac", "v4l2m2m": "a board with a V4L2 encoder"}
# Encoders with speed presets, and one that leaves the machine to the network.
_PRESET = {"libx264": "veryfast", "libx264rgb": "veryfast", "libx265": "veryfast", "libsvtav1": "9"}
_PRESET |= {f"{codec}_nvenc": "p4" for codec in ("h264", "hevc", "av1")}
# What else these need for constant quality; the user's own options come after and win.
_FIXED: dict[str, dict[str, str]] = {
    # It prints to stderr by itself otherwise, and drops closed captions, which the others keep by themselves.
    "libx265": {"x265-params": "log-level=error", "a53cc": "1"},
    "mjpeg": {"strict": "unofficial"},  # limited range, which it marks in a comment
    "libvpx": {"b": "0", "deadline": "realtime", "cpu-used": "4"},
    "libvpx-vp9": {"b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
    "libaom-av1": {"b": "0", "cpu-used": "8", "row-mt": "1"},
    "h264_nvenc": {"rc": "vbr", "cq": "19", "b": "0"},
    "hevc_nvenc": {"rc": "vbr", "cq": "21", "b": "0"},
    "av1_nvenc": {"rc": "vbr", "cq": "25", "b": "0"},
}
# Encoders whose transparency is a second video beside the first: players look for it where they are told to.
ALPHA_BESIDE = ("libvpx", "libvpx-vp9")
# Options that ask for another kind of rate control; encoders would let the default crf win over them.
_OTHER_RATES = frozenset({"b", "qp", "cq", "q", "qscale", "global_quality", "rc"})
# Encoders of a fixed quantiser, and a good one: 3, on FFmpeg's scale of 118 a step.
_QUANTISED = frozenset({"mjpeg", "mpeg1video", "mpeg2video", "mpeg4"})
_QUANTISER = {"flags": "+qscale", "global_quality": str(3 * 118)}
_SUGGESTED = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "h264_nvenc", "hevc_nvenc")


def default_codec(path: str | os.PathLike[str], container_format: str | None = None) -> str:
    """The encoder for a container when none is asked for: H.264, and for those that cannot hold it, what they hold."""
    suffix = output_suffix(path, container_format).lower()
    return _BY_SUFFIX.get(suffix, "libx264")


def needed_hardware(codec: str) -> str:
    """What an encoder needs beside a processor, by its name: "an NVIDIA GPU" of hevc_nvenc; "" of libx265."""
    return _HARDWARE.get(codec.rpartition("_")[2], "")


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Encoder settings, checked at construction.

    Attributes:
        codec: FFmpeg's name of the encoder, or of a codec, such as "hevc": then its software encoder.
        crf: constant quality on the encoder's own scale, lower is better; None: a good value for the encoder.
            Refused for encoders that have no such scale.
        preset: speed preset by the encoder's own name; None: a fast one where the encoder has presets.
        pix_fmt: format to encode in; None: the source's, or what the encoder supports that loses least.
        options: further options by FFmpeg's names, such as {"x264-params": "keyint=60"}; they win over the above.
    """

    codec: str = "libx264"
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        same = _SAME.get(self.codec)
        if same in av.codecs_available:
            object.__setattr__(self, "codec", same)
        encoder = self._encoder()
        if self.crf is not None:
            self._check("crf", self.codec in _CRF, "crf", sorted(_CRF))
            worst = _WORST.get(self.codec, _WORST_OF_OTHERS)
            if not 0 <= self.crf <= worst:
                raise ConfigError(f"crf of {self.codec} must be 0 to {worst}, got {self.crf}")
        if self.preset is not None:
            self._check("preset", self.codec in _PRESET, "presets", sorted(_PRESET))
        supported = [form.name for form in encoder.video_formats or ()]
        if self.pix_fmt is not None and supported and self.pix_fmt not in supported:
            raise ConfigError(
                f"encoder {self.codec} cannot take pix_fmt {self.pix_fmt!r}; it takes {', '.join(supported)}"
            )

    def supported_formats(self) -> list[str]:
        """Names of the pixel formats the encoder takes; empty when it does not say."""
        return [form.name for form in self._encoder().video_formats or ()]

    def encoder_options(self, pix_fmt: str | None = None) -> dict[str, str]:
        """All options for the encoder, by FFmpeg's names; ``pix_fmt``: what it will be given, where that is known."""
        chosen = dict(_FIXED.get(self.codec, {}))
        if pix_fmt is not None and self.codec in ALPHA_BESIDE and has_alpha(pix_fmt):
            chosen["auto-alt-ref"] = "0"  # it cannot have hidden pictures of transparency
        crf = self.crf
        if self.codec in _QUANTISED and not _OTHER_RATES & set(self.options):
            chosen |= _QUANTISER
        if crf is None and not _OTHER_RATES & set(self.options):
            crf = _CRF.get(self.codec)
        preset = _PRESET.get(self.codec) if self.preset is None else self.preset
        if crf is not None:
            chosen["crf"] = str(crf)
        if preset is not None:
            chosen["preset"] = preset
        return chosen | dict(self.options)

    def _encoder(self) -> av.Codec:
        try:
            encoder = av.Codec(self.codec, "w")
        except UnknownCodecError as exc:
            if needs := needed_hardware(self.codec):
                raise ConfigError(
                    f"this PyAV has no encoder {self.codec!r}, which needs {needs} and an FFmpeg built "
                    f"with it. Use one of: {', '.join(name for name in _SUGGESTED if name in av.codecs_available)}"
                ) from exc
            known = ", ".join(name for name in _SUGGESTED if name in av.codecs_available)
            raise ConfigError(f"no encoder named {self.codec!r} here. Try one of: {known}") from exc
        if encoder.type != "video":
            raise ConfigError(
                f"{self.codec!r} encodes {encoder.type}, not video. Try one of: {', '.join(_SUGGESTED)}"
            )
        return encoder

    def _check(self, name: str, has_it: bool, what: str, with_it: list[str]) -> None:
        if not has_it:
            raise ConfigError(
                f"encoder {self.codec} has no {what}: leave {name} unset, or use one of {', '.join(with_it)}"
            )
