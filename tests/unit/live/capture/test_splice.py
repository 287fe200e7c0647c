import itertools
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from helpers.live import shot

from malle_rt.frame import Packet, VideoInfo
from malle_rt.live.capture.splice import Splice
from malle_rt.media.template import Template

TEMPLATE = Template(info=VideoInfo(64, 48, "yuv420p", Fraction(1, 30)))


def at(pts, captured, unit=Fraction(1, 30)):
    return replace(shot(0), pts=pts, time_base=unit, duration=round(1 / unit / 30), captured=captured)


def test_the_first_connection_stays_as_it_is():
    splice = Splice()
    splice.begin(TEMPLATE)
    placed = [splice.frame(at(pts, 50.0 + pts / 30)) for pts in (900, 901, 903)]
    assert [(s.pts, s.time_base, s.connection) for s in placed] == [
        (900, Fraction(1, 30), 1),
        (901, Fraction(1, 30), 1),
        (903, Fraction(1, 30), 1),
    ]


def test_a_new_connection_comes_as_much_later_as_the_clock_says():
    splice = Splice()
    splice.begin(TEMPLATE)
    splice.frame(at(900, 50.0))
    splice.frame(at(930, 51.0))
    splice.begin(TEMPLATE)
    first, second = (splice.frame(at(pts, 55.0 + pts / 90000, Fraction(1, 90000))) for pts in (0, 3000))
    assert (first.pts, first.time_base, first.connection) == (900 + 5 * 30, Fraction(1, 30), 2)
    assert (second.pts, second.duration) == (first.pts + 1, 1)


def test_time_never_goes_back():
    splice = Splice()
    splice.begin(TEMPLATE)
    splice.frame(at(0, 50.0))
    last = splice.frame(at(90, 50.5))  # pictures that had been waiting come all at once
    splice.begin(TEMPLATE)
    placed = [splice.frame(at(pts, 51.0)) for pts in (0, 0, 1, 2)]
    pts = [last.pts, *(s.pts for s in placed)]
    assert all(b > a for a, b in itertools.pairwise(pts))


@pytest.mark.slow
def test_errors_do_not_add_up_over_many_connections():
    splice = Splice()
    for connection in range(20):
        begin = 100.0 + 10 * connection
        splice.begin(TEMPLATE)
        # A second of pictures at once, then five at their pace.
        placed = [splice.frame(at(pts, begin + max(0, pts - 30) / 30)) for pts in range(180)]
        assert float(placed[0].seconds) == pytest.approx(10 * connection, abs=0.05)


def test_sound_moves_with_the_picture_and_waits_for_it():
    splice = Splice()
    splice.begin(Template(info=TEMPLATE.info, others=(_track(),)))
    assert splice.packet(_sound(0)) is None
    splice.frame(at(0, 50.0))
    assert splice.packet(_sound(7)).payload.pts == 7
    splice.begin(Template(info=TEMPLATE.info, others=(_track(),)))
    assert splice.packet(_sound(0)) is None
    splice.frame(at(0, 60.0))
    assert splice.packet(_sound(7)).payload.pts == 480007


def test_other_sound_is_left_out_with_one_warning(caplog):
    splice = Splice()
    splice.begin(Template(info=TEMPLATE.info, others=(_track(),)))
    splice.frame(at(0, 50.0))
    for begin in (60.0, 70.0):
        splice.begin(Template(info=TEMPLATE.info, others=(_track(rate=44100),)))
        splice.frame(at(0, begin))
        assert splice.packet(_sound(0)) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "other parameters" in caplog.text


def _track(rate=48000):
    container = av.open("/dev/null", "w", format="matroska")
    return container.add_stream("pcm_s16le", rate=rate, layout="stereo")


def _sound(pts):
    packet = av.Packet(b"\0" * 64)
    packet.pts = packet.dts = pts
    packet.time_base = Fraction(1, 48000)
    return Packet(packet, 0)
