"""What of a shot is shown."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["VIEWS", "View"]

# Raw left and clean right of a divider; both whole; one of them.
View = Literal["split", "side", "raw", "clean"]
VIEWS: tuple[View, ...] = get_args(View)
