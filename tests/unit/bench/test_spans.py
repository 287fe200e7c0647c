import pytest

from malle_rt.bench.spans import Spans


def test_stages_less_overlap_plus_idle_are_the_wall_clock_time():
    spans = Spans()
    for stage, begin, end in (("decode", 0, 2), ("network", 1, 5), ("encode", 6, 9), ("decode", 7, 8)):
        spans.add(stage, begin, end)
    account = spans.account(wall=10.0, frames=2)
    assert account.stages == pytest.approx({"decode": 1500, "network": 2000, "encode": 1500})
    assert (account.overlap, account.idle, account.wall) == pytest.approx((1000, 1000, 5000))
    assert sum(account.stages.values()) - account.overlap + account.idle == pytest.approx(account.wall)


def test_a_span_inside_another_is_overlap_in_full():
    spans = Spans()
    spans.add("network", 0, 10)
    spans.add("decode", 2, 4)
    spans.add("decode", 5, 6)
    assert spans.account(10, 1).overlap == pytest.approx(3000)
