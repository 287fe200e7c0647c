"""The reservoir behind the percentiles."""

import pytest

from malle_rt.pipeline import stats
from malle_rt.pipeline.stats import Latency, Stats, nearest_rank, percentiles


def test_percentiles_of_nothing_are_zero():
    assert Stats().progress(0, 0).denoise_ms == Latency(0.0, 0.0, 0.0)


def test_the_reservoir_stays_bounded_and_fair():
    measured = Stats()
    for sample in range(20_000):
        measured.denoised(sample / 1000)
    latency = measured.progress(0, 0).denoise_ms
    assert len(measured._samples) == stats._RESERVOIR
    # A uniform sample of n = 4096 has its median within 5 sigma = 5 * 0.5 / sqrt(n) = 4 % of the range.
    assert latency.p50 == pytest.approx(10_000, abs=0.04 * 20_000)
    assert latency.p50 < latency.p95 < latency.p99


def test_fps_counts_from_the_start():
    measured = Stats()
    measured.frame_out(stats.Fraction(1, 25))
    progress = measured.progress(4, 3)
    assert (progress.frames_in, progress.dropped) == (4, 3)
    assert progress.fps == pytest.approx(1 / progress.seconds)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (1, (1, 1, 1)),
        (2, (1, 2, 2)),
        (4, (2, 4, 4)),
        (20, (10, 19, 20)),
        (100, (50, 95, 99)),
        (101, (51, 96, 100)),
    ],
)
def test_percentiles_are_of_the_nearest_rank(count, wanted):
    found = percentiles([rank / 1000 for rank in range(1, count + 1)])
    assert (found.p50, found.p95, found.p99) == pytest.approx(wanted)


def test_the_ends_are_the_least_and_the_largest():
    assert [nearest_rank([1, 2, 3, 4], percent) for percent in (0, 1, 50, 51, 100)] == [1, 1, 2, 3, 4]
