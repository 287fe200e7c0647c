"""The plots of a report, by matplotlib: dark ink on white, legible in black and white and at a phone's width."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from malle_rt.bench.result import Result, Row
from malle_rt.bench.spans import STAGES
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PLOTS", "draw_all", "require_matplotlib", "svg"]

# Okabe and Ito's colours, which most kinds of colour blindness tell apart; hatches do the same for a black printer.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_MARKERS = "osD^vP*"
_HATCHES = ("", "//", "", "..", "xx")
_REAL_TIME = 30  # frames per second
_WIDTH, _HEIGHT, _BAR = 7.0, 4.2, 0.5  # inches, with 10 point text: a column on paper, a phone held upright
_LABEL = 22  # characters of a line beside a bar
_QUANTILES = range(0, 101, 5)


def require_matplotlib() -> None:
    """Nothing where it is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise ConfigError("a report needs matplotlib", hint="pip install 'malle-rt[report]'") from exc


def draw_all(result: Result) -> Figure:
    """All plots below each other."""
    rows = {title: _rows(result, title) for title in PLOTS}
    heights = [_height(title, each) for title, each in rows.items()]
    figure = _figure(sum(heights))
    axes = figure.subplots(len(PLOTS), 1, height_ratios=heights)
    for each, (title, draw) in zip(axes, PLOTS.items(), strict=True):
        each.set_title(title, loc="left", fontweight="bold", pad=24 if draw is _stages else None)
        draw(each, rows[title])
    return figure


def svg(result: Result, title: str) -> str:
    """One of ``PLOTS`` as an SVG element, sized by its surroundings."""
    rows = _rows(result, title)
    figure = _figure(_height(title, rows))
    PLOTS[title](figure.subplots(), rows)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def _height(title: str, rows: Sequence[Row]) -> float:
    """Inches: a bar for each row needs its place, a curve does not."""
    return _HEIGHT if PLOTS[title] is _throughput else 1.3 + _BAR * max(3, len(rows))


def _figure(height: float) -> Figure:
    require_matplotlib()
    from matplotlib.figure import Figure  # without pyplot: no window system is looked for

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _rows(result: Result, title: str) -> list[Row]:
    """What a plot shows: rows that are proven, other denoisers in bars of speed only."""
    good = [row for row in result.rows if row.ok]
    if PLOTS[title] is _speed:
        return sorted((row for row in good if row.pipeline_fps), key=lambda row: (_pixels(row), row.kind))
    return [row for row in good if row.kind == "malle-rt"]


def _speed(axes: Axes, rows: Sequence[Row]) -> None:
    """A bar for each row, other denoisers beside ours, with the gain: speed without it says nothing."""
    for place, row in enumerate(rows):
        spread = row.pipeline_fps
        assert spread is not None
        ours = row.kind == "malle-rt"
        axes.barh(
            place,
            spread.median,
            height=0.6,
            color=_COLOURS[0] if ours else "0.75",
            hatch="" if ours else "//",
            edgecolor="white",
            linewidth=0.5,
            xerr=[[spread.median - spread.low], [spread.high - spread.median]],
            capsize=3,
        )
        gain = "" if row.gain_db is None else f", {row.gain_db:+.1f} dB"
        axes.annotate(
            f"{spread.median:.{0 if spread.median >= 100 else 1}f}{gain}",
            (spread.high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.axvline(_REAL_TIME, color="0.4", linestyle=":", linewidth=1)
    _places(axes, rows)
    axes.set_xlabel("denoise, fps, and gain in PSNR-Y; hatched: other denoisers")
    ends = [end for row in rows if row.pipeline_fps for end in (row.pipeline_fps.low, row.pipeline_fps.high)]
    lowest, highest = (min(ends), max(ends)) if ends else (1.0, 1.0)
    low = 0.5 * lowest
    # Filters are hundreds of times as fast as others; room for the texts at the ends of the bars.
    axes.set(xscale="log", xlim=(low, low * (highest / low) ** 1.35))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")


def _throughput(axes: Axes, rows: Sequence[Row]) -> None:
    """Frames per second against pixels, both logarithmic: one network over the sizes is nearly a straight line."""
    for index, name in enumerate(dict.fromkeys(row.name for row in rows)):
        line = sorted((row for row in rows if row.name == name), key=_pixels)
        spreads = [row.pipeline_fps for row in line if row.pipeline_fps]
        middle = [spread.median for spread in spreads]
        below = [spread.median - spread.low for spread in spreads]
        above = [spread.high - spread.median for spread in spreads]
        axes.errorbar(
            [_pixels(row) for row in line],
            middle,
            yerr=[below, above],
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            capsize=3,
        )
    axes.axhline(_REAL_TIME, color="0.4", linestyle=":", linewidth=1)
    axes.annotate(
        f"{_REAL_TIME} fps",
        (0.995, _REAL_TIME),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color="0.3",
        fontsize=9,
    )
    axes.set(xscale="log", yscale="log", ylabel="denoise, fps")
    sizes = {_pixels(row): row.size for row in rows}
    axes.set_xticks(list(sizes), list(sizes.values()))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_yticks(_one_two_five(axes.get_ylim()))
    axes.margins(x=0.15)
    axes.grid(color="0.9")
    if rows:
        axes.legend(fontsize=9)


def _latency(axes: Axes, rows: Sequence[Row]) -> None:
    """Boxes from the 5th to the 95th percentile, with the median and the slowest frame."""
    for place, row in enumerate(rows):
        values = dict(zip(_QUANTILES, row.latency_quantiles_ms, strict=True))
        axes.plot([values[0], values[100]], [place, place], color="0.3", linewidth=1, zorder=1)
        axes.barh(
            place, values[95] - values[5], left=values[5], height=0.55, color=_COLOURS[4], edgecolor="0.2"
        )
        axes.plot([values[50]] * 2, [place - 0.28, place + 0.28], color="black", linewidth=2)
        axes.plot(values[100], place, marker="|", color="0.3", markersize=9)
    _places(axes, rows)
    axes.set(xscale="log", xlabel="ms; box: 5 to 95 %, bar: median, line: all")
    axes.set_xticks(_one_two_five(axes.get_xlim()))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")


def _stages(axes: Axes, rows: Sequence[Row]) -> None:
    """Shares of the wall-clock time, so that slow and fast rows can be read side by side."""
    rows = [row for row in rows if row.file_wall_ms]
    for place, row in enumerate(rows):
        left, wall = 0.0, row.file_wall_ms or 1.0
        for index, stage in enumerate(STAGES):
            share = 100 * row.file_stages_ms[stage] / wall
            axes.barh(
                place,
                share,
                left=left,
                height=0.6,
                color=_COLOURS[index],
                hatch=_HATCHES[index],
                edgecolor="white",
                linewidth=0.5,
                label=stage if place == 0 else None,
            )
            left += share
        axes.annotate(f" {wall:.3g} ms", (left, place), va="center", fontsize=9)
    axes.axvline(100, color="black", linewidth=1)
    _places(axes, rows)
    axes.set_xlabel("% of the wall-clock time per frame; beyond 100: overlap")
    axes.margins(x=0.12)
    if rows:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.03, 1.0),
            ncols=len(STAGES),
            frameon=False,
            fontsize=9,
            columnspacing=1,
            handlelength=1.5,
        )


def _places(axes: Axes, rows: Sequence[Row]) -> None:
    """A line of its own for each row, the first on top."""
    axes.set_yticks(
        range(len(rows)),
        ["\n".join([*textwrap.wrap(row.name, _LABEL, break_long_words=False), row.size]) for row in rows],
        fontsize=9,
    )
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def _one_two_five(limits: tuple[float, float]) -> list[float]:
    """1, 2, 5, 10 ... within limits."""
    steps = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    return [step for step in steps if limits[0] <= step <= limits[1]]


def _pixels(row: Row) -> int:
    return row.width * row.height


PLOTS: dict[str, Any] = {
    "Speed and gain": _speed,
    "Throughput against size": _throughput,
    "Latency, frame in to frame out": _latency,
    "File to file: where the time goes": _stages,
}
