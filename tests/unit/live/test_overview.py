import pytest

from malle_rt.live.overview import PaceWatch

FIGURES = {"size": (1920, 1080), "denoise_ms": 80.0, "backend": "openvino rt-m fp32"}


def told(watch, seconds, *, captured=30.0, shown=12.0, **changes):
    """What is said, looked at every quarter of a second."""
    lines = [
        watch.look(now / 4, captured=captured, shown=shown, **{**FIGURES, **changes})
        for now in range(int(seconds[0] * 4), int(seconds[1] * 4))
    ]
    return [line for line in lines if line]


def test_it_is_said_once_and_only_of_what_lasts():
    watch = PaceWatch("rt-s", sizeable=True)
    assert told(watch, (0, 4.9)) == []
    assert told(watch, (5, 6), shown=29.0) == []
    assert told(watch, (6, 10.9)) == []
    assert len(told(watch, (10.9, 60))) == 1


def test_a_source_that_gives_nothing_is_not_outrun():
    assert told(PaceWatch("rt-s", sizeable=True), (0, 60), captured=0.0, shown=0.0) == []


@pytest.mark.parametrize(
    ("model", "sizeable", "size", "advice"),
    [
        ("rt-s", True, (1920, 1080), "Faster: --size 960x540"),
        ("rt-m", True, (1280, 720), "Faster: --size 640x480 or --model rt-s"),
        ("rt-l", False, (640, 360), "Faster: --scale auto or --model rt-s"),
        ("rt-s", True, (320, 240), "a faster machine"),
    ],
)
def test_the_line_has_the_figures_and_what_helps(model, sizeable, size, advice):
    (line,) = told(PaceWatch(model, sizeable=sizeable), (0, 10), size=size)
    assert "at 12.0 of the source's 30.0 fps" in line
    assert f"denoising {size[0]}x{size[1]} takes 80 ms a frame here (openvino rt-m fp32)" in line
    assert advice in line
