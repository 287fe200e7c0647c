"""OpenCV, loaded when it is first needed: its wheel wants system libraries that a bare server may lack."""

from __future__ import annotations

import sys
from types import ModuleType

from malle_rt.errors import MediaError

__all__ = ["loaded_after_pyav", "opencv"]


def opencv() -> ModuleType:
    """The module ``cv2``.

    Raises:
        MediaError: it is not installed, or does not load here.
    """
    try:
        import cv2
    except ImportError as exc:
        raise MediaError(
            f"OpenCV does not load ({exc})",
            hint="Install the system's libGL and glib (Debian: libgl1 libglib2.0-0)",
        ) from exc
    return cv2


def loaded_after_pyav() -> bool:
    """Whether PyAV was imported first, and OpenCV's windows may hang for it on Linux; see ``malle_rt.live``."""
    loaded = list(sys.modules)
    return "av" in loaded and "cv2" in loaded and loaded.index("av") < loaded.index("cv2")
