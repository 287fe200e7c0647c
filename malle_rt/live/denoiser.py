"""The denoiser of a live session: takes its settings from the controls, keeps the raw picture beside the clean one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from malle_rt.denoiser import FrameDenoiser
from malle_rt.frame import Frame
from malle_rt.live.control import Controls
from malle_rt.live.frame import LiveFrame
from malle_rt.live.scaling import SizeKeeper, scaled_frame

__all__ = ["LiveDenoiser"]


class LiveDenoiser:
    """Denoises frames as the controls say at that moment.

    Args:
        inner: what denoises; None: pictures pass through, to see what the rest costs.
        controls: where strength, mix and scale come from.
        keeper: chooses the share of the size while that is automatic.
    """

    def __init__(
        self, inner: FrameDenoiser | None, controls: Controls, keeper: SizeKeeper | None = None
    ) -> None:
        self._inner = inner
        self._controls = controls
        self._keeper = keeper or SizeKeeper()
        self._size = (0, 0)
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
        begin = time.monotonic()
        tuning, keeper = self._controls.tuning, self._keeper
        if tuning.scale != "auto":
            keeper.choose(tuning.scale)
        live = scaled_frame(cast(LiveFrame, frame), keeper.scale)
        inner = self._inner
        if inner is None:
            return lambda: replace(live, raw=live)
        size = live.width, live.height
        if (live.connection, size) != (self._connection, self._size):
            # Behind a gap the old picture has nothing to do with the new one, and another size is another network.
            inner.forget()
            self._connection, self._size = live.connection, size
        inner.adjust(strength=tuning.strength, mix=tuning.mix)
        finish = inner.start(live)
        sigma, estimated = inner.sigma, inner.estimated
        if tuning.mix > 0:  # else nothing was used, and a change by hand begins where it was before
            self._controls.note_used(sigma)

        def result() -> LiveFrame:
            clean = replace(cast(LiveFrame, finish()), raw=live, sigma=sigma, estimated=estimated)
            keeper.add(time.monotonic() - begin)
            return clean

        return result

    def close(self) -> None:
        """Close the inner denoiser. May be called twice."""
        if self._inner is not None:
            self._inner.close()
