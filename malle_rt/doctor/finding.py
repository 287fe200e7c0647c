"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State"]

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: "machine", "cpu", "nvidia", "media" or "use".
        name: of the thing.
        state: "ok"; "missing", which is no fault as long as the main job runs; "broken": there, but it does not work.
        detail: version, name, or why it is not there; one line, without anything that tells whose machine it is.
        advice: the command that would add it; "" where nothing is to be done.
    """

    section: str
    name: str
    state: State
    detail: str
    advice: str = ""
