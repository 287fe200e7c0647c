"""A browser for tests, which are skipped where there is none."""

from pathlib import Path

import pytest
from livebench.page import Browser, NoBrowser


def open_browser(profile: Path, size: tuple[int, int] = (1280, 800), *, phone: bool = False) -> Browser:
    """See ``Browser``."""
    try:
        return Browser(profile, size, phone=phone)
    except NoBrowser as exc:
        pytest.skip(str(exc))
