import pytest

from malle_rt.cuda.launches import SliceDims
from malle_rt.trt.slicing import slice_dims

X, GRID = (1, 6, 16, 24), (1, 3 * 10, 4, 6)


def test_sizes_of_a_good_node():
    assert slice_dims("node", X, GRID, X, 3) == SliceDims(
        batch=1, channels=6, groups=3, height=16, width=24, rows=4, columns=6, kernel_size=3
    )


@pytest.mark.parametrize(
    ("x", "grid", "y", "size", "words"),
    [
        (X, GRID, X, 5, r"G \* 26 channels, got 30"),
        (X, (1, 40, 4, 6), X, 3, "divide the 6 channels of x"),
        (X, (1, 0, 4, 6), X, 3, "at least one of everything"),
        (X, (2, 30, 4, 6), X, 3, "one N"),
        (X, GRID, (1, 6, 16, 23), 3, "y must have the shape of x"),
        (X[1:], GRID, X[1:], 3, r"must be \(N, C, H, W\)"),
        (X, (1, 30, 3, 6), X, 3, "one integer stride larger"),
        (X, (1, 30, 4, 4), X, 3, "one integer stride larger"),
        (X, (1, 30, 32, 48), X, 3, "one integer stride larger"),
        (X, (1, 30, 0, 6), X, 3, "at least one of everything"),
    ],
)
def test_bad_shapes_name_the_node(x, grid, y, size, words):
    with pytest.raises(ValueError, match=f"^node_slice_7: .*{words}"):
        slice_dims("node_slice_7", x, grid, y, size)
