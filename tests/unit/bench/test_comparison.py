import dataclasses

from helpers.bench import result, row

from malle_rt.bench.comparison import changes, describe_changes
from malle_rt.measuring import Spread


def test_what_lies_within_the_spreads_is_no_change():
    assert changes(result(row(fps=50)), result(row(fps=53.9))) == []
    assert "nothing changed beyond the spread" in describe_changes(result(row()), result(row(fps=52)))


def test_a_change_says_by_how_much_and_how_far_beyond_the_spread():
    found = changes(result(row(fps=50)), result(row(fps=60)))
    assert [change.figure for change in found] == ["engine fps", "pipeline fps", "file fps"]
    assert str(found[1]) == ("openvino rt-s fp32 720p: pipeline fps 50 -> 60 (+20.0 %), 6 beyond the spread")


def test_no_row_counts_as_steadier_than_its_run():
    lucky = dataclasses.replace(row(), file_fps=Spread(50.0, 50.0, 50.0))
    others = [row(size="360p", fps=20), row(size="4k", fps=20)]  # 10 % each
    assert changes(result(lucky, *others), result(row(fps=57), *others)) == []
    assert changes(result(lucky), result(dataclasses.replace(row(), file_fps=Spread(53.0, 52.0, 54.0))))


def test_what_the_machine_lost_the_rows_may_have_lost():
    before, after = result(row(fps=50), reference=800.0), result(row(fps=40), reference=640.0)
    assert changes(before, after) == []
    assert "the machine itself, by its reference task: -20.0 %" in describe_changes(before, after)
    assert "nothing changed beyond the spread" in describe_changes(before, after)
    (further, *_) = changes(before, result(row(fps=30), reference=640.0))
    assert (further.figure, round(further.beyond, 2)) == (
        "engine fps",
        6,
    )  # 20, less 4 of spread and 10 of drift


def test_memory_has_nothing_to_do_with_the_machine_s_speed():
    grown = dataclasses.replace(row(), peak_host_mib=Spread(250.0, 249.0, 251.0))
    (found,) = changes(result(row(), reference=800.0), result(grown, reference=400.0))
    assert found.figure == "peak host MiB"


def test_a_lost_gain_is_a_change():
    (found,) = changes(result(row(gain=9.0)), result(row(gain=8.5)))
    assert (found.figure, round(found.beyond, 2)) == ("gain dB", 0.4)


def test_rows_that_came_went_or_failed_are_told():
    old = result(row(), row(size="360p"))
    new = result(row(ok=False, problem="the picture is blank"), row(precision="int8"), processor="another")
    text = describe_changes(old, new)
    assert "another processor: a processor -> another" in text
    assert "openvino rt-s fp32 720p: FAILS now: the picture is blank" in text
    assert "only before: openvino rt-s fp32 360p" in text
    assert "new: openvino rt-s int8 720p" in text
