import numpy as np
import pytest

from malle_rt.chroma import from_420, to_420
from malle_rt.frame import pixel_layout

FORMATS = [
    "yuv410p",
    "yuv411p",
    "yuv420p",
    "yuv422p",
    "yuv440p",
    "yuv444p",
    "gray",
    "yuv444p10le",
    "yuv422p16le",
]


def planes_of(pix_fmt, size=(39, 53)):
    layout = pixel_layout(pix_fmt)
    rng = np.random.default_rng(0)
    shapes = layout.plane_shapes(size[1], size[0])
    return layout, tuple(rng.integers(0, 1 << layout.bits, shape).astype(layout.dtype) for shape in shapes)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_nothing_changed_in_420_changes_nothing_outside(pix_fmt):
    layout, planes = planes_of(pix_fmt)
    small = to_420(planes, layout)
    assert [p.shape for p in small] == [(39, 53), (20, 27), (20, 27)]
    back = from_420(small, small, planes, layout)
    assert all(np.array_equal(a, b) for a, b in zip(back, planes, strict=True))


def test_a_flat_change_arrives_in_full():
    layout, planes = planes_of("yuv444p")
    planes = tuple((p // 4 + 60).astype(np.uint8) for p in planes)
    noisy = to_420(planes, layout)
    clean = (noisy[0], noisy[1], noisy[2] + np.uint8(9))
    assert abs(float(np.mean(from_420(clean, noisy, planes, layout)[2].astype(int) - planes[2])) - 9) < 0.5


def test_fine_noise_goes_and_a_fine_edge_stays():
    layout = pixel_layout("yuv444p")
    rng = np.random.default_rng(0)
    truth = np.full((64, 64), 100.0)
    truth[:, 33:] = 180  # an edge between the samples of 4:2:0
    noisy_plane = np.clip(np.rint(truth + rng.normal(0, 8, truth.shape)), 0, 255).astype(np.uint8)
    flat = np.full((64, 64), 128, np.uint8)
    planes = (flat, noisy_plane, flat)
    noisy = to_420(planes, layout)
    ideal = to_420((flat, truth.astype(np.uint8), flat), layout)
    got = from_420(ideal, noisy, planes, layout)[1].astype(float)
    assert np.std((got - truth)[:, :24]) < 3, "8 before"
    edge = np.abs(got - truth)[:, 31:35].mean()
    blurred = np.abs(truth - np.repeat(np.repeat(ideal[1], 2, 0), 2, 1))[:, 31:35].mean()
    assert edge < blurred
