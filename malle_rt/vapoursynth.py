"""A filter for VapourSynth scripts: ``malle_rt.vapoursynth.denoise(clip)``.

The network remembers the frames before; VapourSynth asks for frames in any order, several at once. A frame is given
with its predecessors (``clips`` of ``ModifyFrame``), as many as may be overtaken; results of frames that were passed
on the way are kept for whoever asks next. So a clip that is read from its beginning gives what ``transcode`` gives,
whatever the number of threads. Elsewhere the frames before are run first, to warm the network's memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import vapoursynth as vs

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig, Strength
from malle_rt.denoiser import FrameDenoiser, PassThrough
from malle_rt.errors import ConfigError
from malle_rt.frame import Frame
from malle_rt.protocols import Denoiser

__all__ = ["WARM_UP", "denoise"]

WARM_UP = 8  # frames, after which the network knows what the past can tell
_FIELDS = {1: "bottom", 2: "top"}  # of the property _FieldBased: which field comes first


def denoise(
    clip: vs.VideoNode,
    strength: Strength = "auto",
    model: str = "rt-s",
    *,
    mix: float = 1.0,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> vs.VideoNode:
    """Remove noise from a clip; its properties, format and length stay.

    Frames with ``_SceneChangePrev`` begin a shot, as those do that are found to. Of frames with ``_FieldBased`` each
    field is denoised by itself.

    Args:
        clip: YUV or gray, of 8 to 16 bits, of constant format.
        strength: standard deviation of the luma's noise on the 8-bit scale, 0 to 75, whatever the clip's depth;
            "auto" finds it; "light", "medium" and "strong" are shares of that.
        model: "rt-s", "rt-m" or "rt-l", small to large.
        mix: share of the clean picture in the result, 0 to 1.
        backend: "auto", or the one that must run.
        precision: "auto", or the one it must run in.
        threads: of the processor, for backend "openvino"; None: as many as there are.

    Raises:
        ConfigError: a format, or an option, that cannot be.
        BackendError: the backend asked for cannot run here.
    """
    pix_fmt = _pix_fmt(clip)
    config = DenoiseConfig(
        strength=strength, model=model, mix=mix, backend=backend, precision=precision, threads=threads
    )
    denoiser, _ = open_denoiser(config)
    if isinstance(denoiser, PassThrough):
        return clip
    reach = WARM_UP + vs.core.num_threads
    past = [clip]
    for _ in range(min(reach, clip.num_frames - 1)):
        # The frame before, for every frame; the first one stands for what is before it, and is not looked at.
        past.append((past[-1][0] + past[-1])[: clip.num_frames])
    return vs.core.std.ModifyFrame(clip, past, _InOrder(denoiser, pix_fmt, len(past) - 1).result)


class _InOrder:
    """Runs a denoiser in the order of time, whatever is asked for.

    Args:
        denoiser: closed with this.
        pix_fmt: of the frames, by FFmpeg's name.
        reach: how many predecessors come with a frame.
    """

    def __init__(self, denoiser: Denoiser, pix_fmt: str, reach: int) -> None:
        self._denoiser, self._pix_fmt, self._reach = denoiser, pix_fmt, reach
        self._lock = threading.Lock()
        self._last = -1  # number of the last frame that the denoiser has seen
        self._results: OrderedDict[int, Any] = OrderedDict()
        self._kept = 2 * (reach + 1)

    def __del__(self) -> None:
        """The script has gone."""
        self._denoiser.close()

    def result(self, n: int, f: Any) -> Any:
        """The clean frame ``n``, of ``f``: itself and those before it, the nearest first."""
        given: Sequence[Any] = f if isinstance(f, list | tuple) else [f]
        with self._lock:
            if n not in self._results:
                begin = self._last + 1
                if not n - self._reach <= begin <= n:
                    begin = max(0, n - self._reach)
                    if isinstance(self._denoiser, FrameDenoiser):
                        self._denoiser.restart()
                for number in range(begin, n + 1):
                    self._keep(number, self._clean(number, given[n - number]))
                    self._last = number
            return self._results[n]

    def _clean(self, number: int, noisy: Any) -> Any:
        if noisy.props.get("_SceneChangePrev") and isinstance(self._denoiser, FrameDenoiser):
            self._denoiser.forget()
        frame = Frame(
            planes=tuple(np.asarray(noisy[plane]) for plane in range(noisy.format.num_planes)),
            pix_fmt=self._pix_fmt,
            pts=number,
            time_base=Fraction(1, 25),  # nobody looks at it: VapourSynth keeps the times
            fields=_FIELDS.get(int(noisy.props.get("_FieldBased", 0))),  # type: ignore[arg-type]
        )
        clean = self._denoiser.start(frame)()
        made = noisy.copy()
        for plane, samples in enumerate(clean.planes):
            np.copyto(np.asarray(made[plane]), samples)
        return made

    def _keep(self, number: int, frame: Any) -> None:
        self._results[number] = frame
        while len(self._results) > self._kept:
            self._results.popitem(last=False)


def _pix_fmt(clip: vs.VideoNode) -> str:
    """FFmpeg's name of the clip's format.

    Raises:
        ConfigError: none that frames can hold.
    """
    form = clip.format
    if form is None or not clip.width:
        raise ConfigError("the clip's format or size varies: resize it to one format before denoise()")
    bits, chroma = form.bits_per_sample, (form.subsampling_w, form.subsampling_h)
    names = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (2, 0): "411", (0, 1): "440", (2, 2): "410"}
    if form.sample_type != vs.INTEGER or form.color_family not in (vs.YUV, vs.GRAY) or bits > 16:
        raise ConfigError(
            f"expected YUV or gray of 8 to 16 bits, got {form.name}: convert before denoise(), as in "
            'clip.resize.Bicubic(format=vs.YUV444P16, matrix_s="709")'
        )
    if form.color_family == vs.YUV and chroma not in names:
        raise ConfigError(f"expected 4:2:0, 4:2:2 or 4:4:4, got {form.name}: convert before denoise()")
    depth = "" if bits == 8 else f"{bits}le"
    return f"gray{depth}" if form.color_family == vs.GRAY else f"yuv{names[chroma]}p{depth}"
