import csv
import dataclasses
import io
import json

import pytest
from helpers.bench import result, row

from malle_rt.bench.result import load_result
from malle_rt.bench.table import describe
from malle_rt.errors import ConfigError
from malle_rt.measuring import Spread


def test_json_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "r.json"
    written = result(row(), row(size="360p"), reference=500.0)
    path.write_text(written.to_json())
    assert load_result(path) == written


def test_fields_of_a_newer_version_do_no_harm(tmp_path):
    path = tmp_path / "r.json"
    fields = json.loads(result(row()).to_json())
    fields["rows"][0]["tomorrow"] = 1
    fields["tomorrow"] = {"too": 2}
    path.write_text(json.dumps(fields))
    assert load_result(path) == result(row())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_what_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not a benchmark"):
        load_result(path)


def test_csv_has_a_line_for_each_row_and_columns_for_spreads():
    lines = list(csv.DictReader(io.StringIO(result(row(), row(size="360p")).to_csv())))
    assert [line["size"] for line in lines] == ["720p", "360p"]
    assert (lines[0]["pipeline_fps_median"], lines[0]["pipeline_fps_high"]) == ("50.0", "51.0")


def test_a_result_is_good_only_if_every_row_of_ours_is():
    bad = row(ok=False, problem="the output is the input")
    assert result(row()).ok
    assert not result(row(), bad).ok
    assert not result().ok
    assert result(row(), dataclasses.replace(bad, kind="peer")).ok


def test_a_failed_row_stands_below_the_table_with_its_reason():
    text = describe(result(row(), row(size="360p", ok=False, problem="the picture is blank")))
    assert "FAILED: openvino rt-s fp32 360p: the picture is blank" in text
    assert "50.0 ±4%" in text


def test_a_spread_is_the_median_and_how_far_the_ends_lie_apart():
    assert Spread.of([12, 9, 10]) == Spread(10, 9, 12)
    assert Spread.of([12, 9, 10]).percent == pytest.approx(30)
