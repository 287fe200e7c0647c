"""Decoders and encoders of an NVIDIA GPU whose pictures stay in its memory (PyAV 18 and newer)."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any, cast

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import CudaContext

from malle_rt.frame import Surface
from malle_rt.media.compat import can_keep_on_gpu
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.opening import open_file
from malle_rt.media.picture_plan import PicturePlan
from malle_rt.media.pixel_formats import nearest_planar
from malle_rt.media.planes import view_planes
from malle_rt.media.side_data import has_captions

__all__ = [
    "NotOnGpu",
    "SurfaceEncoding",
    "decoder_into_memory",
    "in_memory",
    "on_gpu",
    "open_on_gpu",
    "pixel_name",
    "require_on_gpu",
    "surface_of",
]

log = logging.getLogger(__name__)

_CUDA = "cuda"  # FFmpeg's name of a format that holds only addresses on a GPU
_SURFACE_FORMATS = ("nv12", "p010le")
# What such a surface holds, by the format an encoder would be given otherwise.
_ENCODED = {"yuv420p": "nv12", "nv12": "nv12", "p010le": "p010le"}


class NotOnGpu(Exception):
    """Why pictures cannot stay on the GPU; one line. Never leaves ``media``."""


def open_on_gpu(path: str, gpu: int) -> InputContainer:
    """Open a file whose video is decoded by NVDEC, as far as FFmpeg can tell at this point.

    FFmpeg copies each picture out of the decoder's own surfaces, on the device. So any number of them may wait
    in the pipeline, and no more surfaces (``extra_hw_frames``) have to be asked for.

    Args:
        path: of a file that can be read.
        gpu: number of the GPU.

    Raises:
        NotOnGpu: no such GPU, or PyAV cannot do it.
    """
    acceleration = _acceleration(gpu)
    try:
        return open_file(path, hwaccel=acceleration)
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as exc:
        raise NotOnGpu(f"FFmpeg cannot use the GPU ({_reason(exc)})") from exc


def decoder_into_memory(gpu: int) -> HWAccel | None:
    """For streams that NVDEC decodes and whose pictures are wanted in host memory; None, and logged, where it cannot.

    What NVDEC does not take, such as another codec, FFmpeg decodes on the processor.

    Args:
        gpu: number of the GPU.
    """
    acceleration = HWAccel(_CUDA, device=str(gpu), options={"primary_ctx": "1"})  # the one of our kernels
    try:
        acceleration.create(av.Codec("h264", "r"))  # now, not when a connection has been made
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError) as exc:
        log.info("streams are decoded on the processor: FFmpeg cannot use GPU %d (%s)", gpu, _reason(exc))
        return None
    return acceleration


def require_on_gpu(picture: av.VideoFrame, context: av.VideoCodecContext) -> None:
    """See to it that the first picture is one that can stay where it is.

    Raises:
        NotOnGpu: the decoder is none of the GPU's, or the picture must be carried to the encoder with its side data.
    """
    name = pixel_name(picture)
    if not getattr(context, "is_hwaccel", False):
        raise NotOnGpu(f"FFmpeg has no NVDEC decoder for {context.name}")
    if not on_gpu(picture):
        raise NotOnGpu(f"NVDEC of this GPU does not take this {context.name} video ({name})")
    if name not in _SURFACE_FORMATS:
        raise NotOnGpu(f"only 4:2:0 of 8 or 10 bits can stay on the GPU, this is {name}")
    if picture.width % 2 or picture.height % 2:
        raise NotOnGpu(f"{picture.width}x{picture.height} is not even, as NV12 must be")
    if picture.interlaced_frame:
        raise NotOnGpu("the video is interlaced, and fields are denoised from host memory")
    if has_captions(picture):
        raise NotOnGpu("the video has captions, which only pictures in host memory can carry along")


def on_gpu(picture: av.VideoFrame) -> bool:
    """Whether the picture holds addresses on a GPU instead of pixels."""
    return picture.format.name == _CUDA


def pixel_name(picture: av.VideoFrame) -> str:
    """The format of the pixels, wherever they are."""
    return str(cast(Any, picture).sw_format.name if on_gpu(picture) else picture.format.name)


def in_memory(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture in host memory; itself where it is there."""
    return picture.reformat(format=pixel_name(picture)) if on_gpu(picture) else picture


def surface_of(picture: av.VideoFrame) -> Surface | None:
    """The picture's planes where they are, or None where they are no surface that a session could take."""
    even = picture.width % 2 == 0 and picture.height % 2 == 0
    if not on_gpu(picture) or not even or pixel_name(picture) not in _SURFACE_FORMATS:
        return None
    y, uv = picture.planes
    planar = nearest_planar(pixel_name(picture))
    return Surface(
        (cast(Any, y), cast(Any, uv)),
        (y.line_size, uv.line_size),
        (picture.width, picture.height),
        lambda: view_planes(picture.reformat(format=planar)),
    )


class SurfaceEncoding:
    """How an NVENC encoder is given surfaces.

    Args:
        gpu: number of the GPU.
        pix_fmt: of the surfaces, "nv12" or "p010le".

    Attributes:
        pix_fmt: what the codec context must be told.
        acceleration: the argument ``hwaccel`` for the codec context.
    """

    def __init__(self, gpu: int, pix_fmt: str) -> None:
        self.pix_fmt = pix_fmt
        self.acceleration = _acceleration(gpu)
        self._context = CudaContext(device_id=gpu, primary_ctx=True)
        self._newest: Surface | None = None

    @classmethod
    def proven(
        cls, config: EncodeConfig, plan: PicturePlan, surface: Surface, rate: Fraction
    ) -> SurfaceEncoding:
        """The same, after a real picture went through an encoder that is then thrown away.

        Args:
            config: encoder settings.
            plan: what the encoder is given.
            surface: a picture on the GPU.
            rate: frames per second.

        Raises:
            NotOnGpu: the picture must be changed on its way, or the encoder does not take it there.
        """
        rows, columns = surface.shapes[0]
        if not config.codec.endswith("_nvenc"):
            raise NotOnGpu(
                f"{config.codec} encodes in host memory (h264_nvenc, hevc_nvenc and av1_nvenc do not)"
            )
        if plan.rotation or plan.size != (columns, rows) or plan.pix_fmt not in _ENCODED:
            raise NotOnGpu(f"the picture is turned, resized or converted to {plan.pix_fmt} in host memory")
        _, gpu = surface.device[0].__dlpack_device__()
        try:
            encoding = cls(gpu, _ENCODED[plan.pix_fmt])
            encoding._try(config, plan, surface, rate)
        except (
            av.error.FFmpegError,
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            NotImplementedError,
        ) as exc:
            raise NotOnGpu(
                f"{config.codec} does not take pictures from the GPU's memory ({_reason(exc)})"
            ) from exc
        return encoding

    def picture(self, surface: Surface) -> av.VideoFrame:
        """The surface as a frame for the encoder; its memory is used as it is."""
        # The encoder knows the addresses of all surfaces it has seen: while one is kept, none of them is freed.
        self._newest = surface
        return av.VideoFrame.from_dlpack(surface.device, format=self.pix_fmt, cuda_context=self._context)

    def _try(self, config: EncodeConfig, plan: PicturePlan, surface: Surface, rate: Fraction) -> None:
        context = cast(Any, av.CodecContext).create(config.codec, "w", hwaccel=self.acceleration)
        context.width, context.height = plan.size
        context.pix_fmt = self.pix_fmt
        context.time_base = 1 / rate
        context.options = config.encoder_options()
        picture = self.picture(surface)
        picture.pts = 0
        picture.time_base = 1 / rate
        if not [*context.encode(picture), *context.encode(None)]:
            raise ValueError("a picture went in and nothing came out")


def _acceleration(gpu: int) -> HWAccel:
    if not can_keep_on_gpu():
        raise NotOnGpu(
            f"PyAV {av.__version__} cannot leave NVDEC's pictures on the GPU; PyAV 18, for Python 3.11 and newer, can"
        )
    return HWAccel(_CUDA, device=str(gpu), is_hw_owned=True)


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
