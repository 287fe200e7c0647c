"""The denoiser of a live session: takes its settings from the controls, keeps the raw picture beside the clean one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from malle_rt.denoiser import FrameDenoiser
from malle_rt.frame import Frame
from malle_rt.live.control import Controls
from malle_rt.live.frame import LiveFrame

__all__ = ["LiveDenoiser"]


class LiveDenoiser:
    """Denoises frames as the controls say at that moment.

    Args:
        inner: what denoises; None: pictures pass through, to see what the rest costs.
        controls: where strength and mix come from.
    """

    def __init__(self, inner: FrameDenoiser | None, controls: Controls) -> None:
        self._inner = inner
        self._controls = controls
        self._connection: int | None = None

    @property
    def ahead(self) -> int:
        """As the inner denoiser's."""
        return self._inner.ahead if self._inner is not None else 0

    @property
    def untouched(self) -> int:
        """Frames that strength "auto" left as they were, for it found next to no noise."""
        return self._inner.untouched if self._inner is not None else 0

    def start(self, frame: Frame) -> Callable[[], LiveFrame]:
        """Begin to clean one frame; errors as ``FrameDenoiser.start``."""
        live = cast(LiveFrame, frame)
        inner = self._inner
        if inner is None:
            return lambda: replace(live, raw=live)
        if live.connection != self._connection:
            # Behind a gap the old picture has nothing to do with the new one.
            inner.forget()
            self._connection = live.connection
        tuning = self._controls.tuning
        inner.adjust(strength=tuning.strength, mix=tuning.mix)
        finish = inner.start(live)
        sigma, estimated = inner.sigma, inner.estimated
        if tuning.mix > 0:  # else nothing was used, and a change by hand begins where it was before
            self._controls.note_used(sigma)
        return lambda: replace(cast(LiveFrame, finish()), raw=live, sigma=sigma, estimated=estimated)

    def close(self) -> None:
        """Close the inner denoiser. May be called twice."""
        if self._inner is not None:
            self._inner.close()
