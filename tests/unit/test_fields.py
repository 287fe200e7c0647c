from fractions import Fraction

import numpy as np
import pytest

from malle_rt.fields import by_field, split_fields, weave_fields
from malle_rt.frame import Frame, pixel_layout


def frame_of(pix_fmt, size, fields="top"):
    layout = pixel_layout(pix_fmt)
    rng = np.random.default_rng(1)
    planes = tuple(rng.integers(0, 256, shape, layout.dtype) for shape in layout.plane_shapes(*size))
    return Frame(planes, pix_fmt, 7, Fraction(1, 25), fields=fields)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv410p", "yuv411p", "gray", "yuv420p10le"])
@pytest.mark.parametrize("height", [2, 3, 5, 6, 48, 486])
def test_fields_are_pictures_of_their_own_and_weave_back(pix_fmt, height):
    frame = frame_of(pix_fmt, (6, height))
    top, bottom = split_fields(frame)
    for half, lines in ((top, -(-height // 2)), (bottom, height // 2)):
        assert half.height == lines
        assert half.fields is None
        assert [p.shape for p in half.planes] == list(pixel_layout(pix_fmt).plane_shapes(6, lines))
    woven = weave_fields(frame, top.planes, bottom.planes)
    assert (woven.pts, woven.fields) == (7, "top")
    for got, given in zip(woven.planes, frame.planes, strict=True):
        assert np.array_equal(got, given)


def test_chroma_lines_belong_to_fields():
    frame = frame_of("yuv420p", (8, 16))
    top, bottom = split_fields(frame)
    assert np.array_equal(top.planes[1], frame.planes[1][0::2])
    assert np.array_equal(bottom.planes[1], frame.planes[1][1::2])


def test_what_is_done_by_field_leaves_progressive_frames_whole():
    seen = []
    progressive = frame_of("yuv420p", (8, 16), fields=None)
    assert by_field(progressive, lambda each: seen.append(each.height) or each) is progressive
    by_field(frame_of("yuv420p", (8, 16)), lambda each: seen.append(each.height) or each)
    assert seen == [16, 8, 8]
