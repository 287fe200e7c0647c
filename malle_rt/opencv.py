"""OpenCV, loaded when it is first needed: its wheel wants system libraries that a bare server may lack."""

from __future__ import annotations

from types import ModuleType

from malle_rt.errors import MediaError

__all__ = ["opencv"]


def opencv() -> ModuleType:
    """The module ``cv2``.

    Raises:
        MediaError: it is not installed, or does not load here.
    """
    try:
        import cv2
    except ImportError as exc:
        raise MediaError(
            f"OpenCV does not load ({exc}). Install the system's libGL and glib (Debian: libgl1 libglib2.0-0)"
        ) from exc
    return cv2
