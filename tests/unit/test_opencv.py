import sys

import numpy as np
import pytest

from malle_rt.chroma import from_420, to_420
from malle_rt.errors import MediaError
from malle_rt.frame import pixel_layout
from malle_rt.opencv import opencv


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MediaError, match=r"OpenCV does not load .*libgl1"):
        opencv()


def test_420_goes_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    planes = tuple(np.zeros(shape, np.uint8) for shape in ((4, 6), (2, 3), (2, 3)))
    layout = pixel_layout("yuv420p")
    assert from_420(to_420(planes, layout), planes, planes, layout) == planes
