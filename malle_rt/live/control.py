"""What a window or a page sees of a live session, and what it can ask for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from malle_rt.config import MAX_SIGMA, Strength, check_tuning
from malle_rt.live.frame import Latest, LiveFrame
from malle_rt.live.scaling import SCALES, Scale, check_scale
from malle_rt.live.statistics import Statistics

__all__ = ["Controls", "SessionControl", "Tuning"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings that belong together: a frame is denoised with one of these and never with half of another.

    Attributes:
        strength: sigma on the 8-bit scale, 0 (pictures pass through) to 75, or a word as in ``DenoiseConfig``.
        mix: share of the denoised picture, 0 to 1.
        scale: share of its width and height that a picture is denoised at; "auto" keeps the source's rate.

    Raises:
        ConfigError: for a value outside its range.
    """

    strength: Strength = "auto"
    mix: float = 1.0
    scale: Scale = "1"

    def __post_init__(self) -> None:
        check_tuning(self.strength, self.mix)
        check_scale(self.scale)


class Controls:
    """The tuning in force; read by the denoiser for each frame, changed from any thread."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._lock = threading.Lock()
        self._tuning = tuning or Tuning()
        self._used = 0.0

    @property
    def tuning(self) -> Tuning:
        """What the next frame is denoised with."""
        with self._lock:
            return self._tuning

    def set_strength(self, strength: Strength) -> None:
        """Choose the strength.

        Raises:
            ConfigError: outside 0 to 75; nothing is changed.
        """
        with self._lock:
            self._tuning = replace(self._tuning, strength=strength)

    def change_strength(self, by: float) -> None:
        """Raise or lower the strength, from what was last used if it was automatic; stops at 0 and 75."""
        with self._lock:
            strength = self._tuning.strength
            now = self._used if isinstance(strength, str) else strength
            self._tuning = replace(self._tuning, strength=min(max(now + by, 0.0), MAX_SIGMA))

    def toggle_auto(self) -> None:
        """Automatic strength on; or off, and then it stays at what was last used."""
        with self._lock:
            manual = round(min(self._used, MAX_SIGMA), 1)
            self._tuning = replace(
                self._tuning, strength=manual if isinstance(self._tuning.strength, str) else "auto"
            )

    def set_mix(self, mix: float) -> None:
        """Choose the share of the denoised picture.

        Raises:
            ConfigError: outside 0 to 1; nothing is changed.
        """
        with self._lock:
            self._tuning = replace(self._tuning, mix=mix)

    def change_mix(self, by: float) -> None:
        """Raise or lower the share of the denoised picture; stops at 0 and 1."""
        with self._lock:
            self._tuning = replace(self._tuning, mix=min(max(round(self._tuning.mix + by, 2), 0.0), 1.0))

    def set_scale(self, scale: Scale) -> None:
        """Choose the share of the size that pictures are denoised at.

        Raises:
            ConfigError: no such share; nothing is changed.
        """
        with self._lock:
            self._tuning = replace(self._tuning, scale=scale)

    def next_scale(self) -> None:
        """The next smaller share; behind the smallest "auto", then the whole size."""
        with self._lock:
            following = SCALES[(SCALES.index(self._tuning.scale) + 1) % len(SCALES)]
            self._tuning = replace(self._tuning, scale=following)

    def note_used(self, sigma: float) -> None:
        """The denoiser tells what it used, so that a change by hand begins there."""
        with self._lock:
            self._used = sigma


class SessionControl(Protocol):
    """The controls and displays of a session; every call is from any thread and returns at once."""

    @property
    def controls(self) -> Controls:
        """Strength and mix."""
        ...

    @property
    def latest(self) -> Latest:
        """The newest denoised frame; its ``raw`` is the same instant as captured."""
        ...

    @property
    def running(self) -> bool:
        """False once the session ends; viewers go then."""
        ...

    @property
    def recordings(self) -> Sequence[Path]:
        """Files that were recorded and finished, the newest last."""
        ...

    def statistics(self) -> Statistics:
        """A snapshot."""
        ...

    def note_displayed(self, frame: LiveFrame) -> None:
        """The viewer has put this frame on a screen just now."""
        ...

    def snapshot(self, frame: LiveFrame) -> None:
        """Save a frame as a pair of PNG files, raw and clean; a message says where."""
        ...

    def toggle_recording(self) -> None:
        """Begin or end a recording; a message says where, or why not."""
        ...

    def stop(self) -> None:
        """End the session well."""
        ...
