import dataclasses
import re
import sys

import cv2
import pytest
from helpers.bench import result, row

from malle_rt.bench import plots
from malle_rt.bench.report import write_report
from malle_rt.errors import ConfigError

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'malle-rt[report]'")

FULL = result(
    row(), row(size="360p", fps=200), row(precision="int8"), row(size="4k", ok=False, problem="<b>")
)


@pytest.mark.slow
def test_html_is_one_file_with_all_plots(tmp_path):
    write_report(FULL, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("<svg") == text.count("</svg>") == len(plots.PLOTS)
    assert not re.search(r'(src|href)="(?!#)', text.replace('xlink:href="#', ""))
    assert "width=device-width" in text
    assert "&lt;b&gt;" in text


def test_other_denoisers_have_bars_of_their_own_beside_the_rows(tmp_path):
    peer = dataclasses.replace(row(fps=1590), kind="peer", backend="ffmpeg hqdn3d", model="", precision="")
    write_report(result(row(fps=40), peer, row(ok=False, fps=77, problem="blank")), tmp_path / "r.html")
    drawing = (tmp_path / "r.html").read_text().partition("<svg")[2].partition("</svg>")[0]
    assert "ffmpeg hqdn3d" in drawing and "1590, +9.0 dB" in drawing and "40.0, +9.0 dB" in drawing
    assert "77" not in re.findall(r"<!-- (.*?) -->", drawing), "what is not proven has no bar"


@pytest.mark.slow
def test_tables_wrap_or_scroll_and_are_not_cut(tmp_path):
    write_report(FULL, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "<pre" not in text
    assert "<th>file to file</th>" in text and "<td>openvino rt-s int8</td>" in text
    assert "PSNR-Y over noise of sigma 15" in text


@pytest.mark.slow
def test_names_inside_the_drawings_are_unique(tmp_path):
    write_report(FULL, tmp_path / "r.html")
    names = re.findall(r'\bid="([^"]+)"', (tmp_path / "r.html").read_text())
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_png_shows_something(tmp_path):
    write_report(FULL, tmp_path / "r.png")
    picture = cv2.imread(str(tmp_path / "r.png"))
    assert picture.shape[1] > 1000 and picture.std() > 10


def test_nothing_proven_is_still_a_report(tmp_path):
    write_report(result(row(ok=False, problem="it ended")), tmp_path / "r.html")
    assert "it ended" in (tmp_path / "r.html").read_text()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'malle-rt\[report\]'"):
        plots.require_matplotlib()
