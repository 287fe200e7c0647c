import math

import pytest
from yardstick.tool import Knob, tune

KNOB = Knob("s", start=0.5, low=0.1, high=100)


def hill(best):
    """A smooth curve over the logarithm of a strength, as PSNR is."""
    return lambda setting: (-sum(math.log(v / b) ** 2 for v, b in zip(setting, best, strict=True)),)


@pytest.mark.parametrize("best", [0.3, 4.0, 12.5, 13.0, 70.0])
def test_finds_the_top_wherever_the_search_starts(best):
    (found,) = tune([KNOB], 25, hill([best]))
    assert found == pytest.approx(best, rel=0.04)


def test_finds_the_top_of_two_knobs():
    found = tune([KNOB, Knob("t", 1, 0.1, 100)], 10, hill([17, 3]))
    assert found == pytest.approx((17, 3), rel=0.04)


def test_finds_the_top_of_two_knobs_that_depend_on_each_other():
    def score(setting):
        a, b = (math.log(value) for value in setting)
        return (-((a + b - 4) ** 2) - 0.2 * (a - b) ** 2,)

    found = tune([KNOB, Knob("t", 1, 0.1, 100)], 10, score)
    assert score(found)[0] > -0.02


def test_stays_within_what_the_tool_accepts():
    tried = []

    def score(setting):
        tried.append(setting[0])
        return (setting[0],)

    assert tune([Knob("s", 0.35, 1, 30)], 25, score) == (30,)
    assert min(tried) >= 1 and max(tried) <= 30


def test_tries_no_setting_twice():
    tried = []

    def score(setting):
        tried.append(setting)
        return hill([20])(setting)

    tune([KNOB], 25, score)
    assert len(tried) == len(set(tried)) <= 12


def test_knobs_of_luma_and_of_chroma_are_tuned_at_once():
    tried = []

    def score(setting):
        tried.append(setting)
        return hill([17])(setting[:1]) + hill([3])(setting[1:])

    found = tune([KNOB, Knob("t", 1, 0.1, 100, judge=1)], 10, score)
    assert found == pytest.approx((17, 3), rel=0.04)
    assert len(tried) <= 20
