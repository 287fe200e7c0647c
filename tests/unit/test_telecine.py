import numpy as np
import pytest

from malle_rt.telecine import TelecineDetector

ROWS, COLUMNS = 64, 128


def picture(instant, noise=0.0, seed=0):
    """A wave that moves, (rows, columns); ``instant`` in sixtieths of a second."""
    columns = np.arange(COLUMNS) - 3.0 * instant
    luma = 128 + 90 * np.sin(columns / 9)[None, :] * np.ones((ROWS, 1))
    noisy = luma + np.random.default_rng(seed).normal(0, noise or 1e-9, luma.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def fields(kind, frames, noise):
    """Instants of (top, bottom) of each frame."""
    for number in range(frames):
        base, place = divmod(number, 5)
        if kind == "telecine":  # A A, B B, B C, C D, D D
            top, bottom = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[place]
            pair = 2.5 * (4 * base + top), 2.5 * (4 * base + bottom)
        elif kind == "interlaced":
            pair = 2 * number, 2 * number + 1
        elif kind == "still":
            pair = 0, 0
        else:
            pair = 2 * number, 2 * number
        yield tuple(picture(at, noise, 2 * number + which) for which, at in enumerate(pair))


@pytest.mark.parametrize("noise", [0, 8])
def test_repeated_fields_are_found_once(noise):
    detector = TelecineDetector()
    found = [detector.update(*pair) for pair in fields("telecine", 40, noise)]
    assert sum(found) == 1
    assert found.index(True) < 25


@pytest.mark.parametrize("noise", [0, 8])
@pytest.mark.parametrize("kind", ["interlaced", "still", "progressive"])
def test_other_video_is_none(kind, noise):
    detector = TelecineDetector()
    assert not any(detector.update(*pair) for pair in fields(kind, 60, noise))
