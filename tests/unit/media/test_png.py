"""PNG files show a frame as a screen does."""

import numpy as np
from helpers.outlets import shots

from malle_rt.media.png import encode_png
from malle_rt.media.rgb import to_rgb
from malle_rt.opencv import opencv


def test_the_picture_is_the_screen_s():
    (frame,) = shots(1)
    cv2 = opencv()
    shown = cv2.imdecode(np.frombuffer(encode_png(frame), np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[..., ::-1], to_rgb(frame))
