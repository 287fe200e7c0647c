"""The measurements as a document: tables of times, what they say of the paper's claim, and quality beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate import frontier
from studies.study_file import table

from malle_rt.errors import ConfigError
from peerspeed.timings import Table, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from peerspeed.timings import Row, number

__all__ = [
    "CLAIM",
    "PLOTTED",
    "PUBLISHED",
    "Published",
    "Score",
    "command",
    "ours",
    "plot",
    "published",
    "read_quality",
    "reproduced",
    "scores",
    "write_report",
]

_FFDNET = "FFDNet (Zhang, Zuo, Zhang, IEEE TIP 2018)"
_SWINIR = "SwinIR (Liang et al., ICCV workshops 2021)"
_DRUNET = "Plug-and-Play Image Restoration with Deep Denoiser Prior (Zhang et al., IEEE TPAMI 2021)"

CLAIM = (
    "Jiang et al., *Fast and High-Quality Image Denoising via Malleable Convolutions* (ECCV 2022), report MalleNet "
    "as 8.9 times as fast as SwinIR at similar quality"
)


@dataclass(frozen=True)
class Published:
    """Mean PSNR of one denoiser on colour CBSD68 with white noise.

    Attributes:
        psnr: in dB, by sigma, 8-bit scale.
        paper: that has the figures.
    """

    psnr: dict[float, float]
    paper: str


PUBLISHED = {
    "dncnn": Published({15: 33.90, 25: 31.24, 50: 27.95}, f"in a table of {_SWINIR}"),
    "ffdnet": Published({15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96}, _FFDNET),
    "drunet": Published({15: 34.30, 25: 31.69, 50: 28.51}, _DRUNET),
    "swinir": Published({15: 34.42, 25: 31.78, 50: 28.56}, _SWINIR),
}


SIGMAS = (15, 25, 35, 50)
PLOTTED = (15, 25, 50)  # all of these are published for every network
TOLERANCE = 0.05  # dB that a reproduced figure may be off
_FIELDS = {"model", "sigma", "psnr", "ssim", "pictures"}


def read_quality(path: Path) -> list[dict[str, Any]]:
    """Rows that ``evaluate.py --images --json`` wrote.

    Raises:
        ConfigError: the file is missing or another one.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
        if not rows or not all(row.keys() >= _FIELDS for row in rows):
            raise ValueError("its rows are not those of photographs")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(f"{path}: not the --json of evaluate.py --images ({exc})") from exc
    return rows


@dataclass(frozen=True)
class Score:
    """Mean PSNR of one network on CBSD68.

    Attributes:
        network: its name.
        sigma: of the noise, 8-bit scale.
        psnr: in dB.
        measured: here; else as published.
    """

    network: str
    sigma: float
    psnr: float
    measured: bool


def scores(rows: list[dict[str, Any]]) -> list[Score]:
    """What was measured, and what was published of networks that were not."""
    measured = [Score(row["model"], row["sigma"], row["psnr"], measured=True) for row in rows]
    known = {score.network for score in measured}
    return measured + [
        Score(name, sigma, psnr, measured=False)
        for name, each in PUBLISHED.items()
        if name not in known
        for sigma, psnr in each.psnr.items()
    ]


def published() -> str:
    """The section of other people's figures."""
    heads = ["network", *(f"sigma {sigma}" for sigma in SIGMAS), "from the paper"]
    rows = [
        [
            title(name),
            *(f"{each.psnr[sigma]:.2f}" if sigma in each.psnr else "" for sigma in SIGMAS),
            each.paper,
        ]
        for name, each in PUBLISHED.items()
    ]
    return f"## Published quality: CBSD68, colour, PSNR in dB\n\nNot measured here.\n\n{table(heads, rows)}"


def reproduced(rows: list[dict[str, Any]]) -> str:
    """The section of figures measured here beside the published ones."""
    cells, worst = [], 0.0
    peers = [row for row in rows if row["model"] in PUBLISHED]
    if not peers:
        return ""
    for row in peers:
        wanted = PUBLISHED[row["model"]].psnr.get(row["sigma"])
        off = row["psnr"] - wanted if wanted else None
        worst = max(worst, abs(off or 0.0))
        shown = ("" if wanted is None else f"{wanted:.2f}", "" if off is None else f"{off:+.3f}")
        figures = [shown[0], f"{row['psnr']:.3f}", shown[1], f"{row['ssim']:.4f}"]
        cells.append([title(row["model"]), f"{row['sigma']:g}", *figures])
    verdict = "within" if worst <= TOLERANCE else "**not within**"
    heads = ["network", "sigma", "published, dB", "measured, dB", "difference", "SSIM, measured"]
    return f"""## The yardsticks, reproduced

Their authors' weights in our own definition of the networks, on {peers[0]["pictures"]} pictures of CBSD68. White
noise in RGB from a fixed seed, neither clipped nor rounded; results rounded to 8 bits. The largest difference from a
published figure is {worst:.3f} dB, {verdict} the {TOLERANCE} dB that a yardstick may be off.

{table(heads, cells)}"""


def ours(rows: list[dict[str, Any]], picture: str) -> str:
    """The section of MalleNet's own figures, and the picture of all networks."""
    mine = {row["model"]: row for row in rows if row["model"] not in PUBLISHED}
    if not mine:
        return ""
    sigmas = sorted({row["sigma"] for row in rows if row["model"] in mine})
    psnr = {(row["model"], row["sigma"]): f"{row['psnr']:.2f}" for row in rows}
    cells = [[title(name), *(psnr.get((name, sigma), "") for sigma in sigmas)] for name in mine]
    return f"""## Quality against cost

![PSNR on CBSD68 against time and arithmetic]({picture})

The line joins those that no other one beats at both. MalleNet as far as it is trained, CBSD68, colour, PSNR in dB,
measured like the yardsticks below:

{table(["network", *(f"sigma {sigma:g}" for sigma in sigmas)], cells)}"""


def command(rows: list[dict[str, Any]]) -> str:
    """What measures these rows again."""
    models, sigmas = (list(dict.fromkeys(row[name] for row in rows)) for name in ("model", "sigma"))
    return (
        f"python tools/evaluate.py --model {' '.join(models)} --images CBSD68 --peers DIR "
        f"--sigma {' '.join(f'{sigma:g}' for sigma in sigmas)} --json {models[0]}.json"
    )


GREEN, GREY = "#2a7", "#889"


def plot(measured: Table, scores: list[Score], path: Path) -> None:
    """Draw every network that has both a cost and a quality; hollow marks are published figures.

    Args:
        measured: the costs.
        scores: the qualities.
        path: of the picture; its extension chooses the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(PLOTTED), 6.6), layout="constrained")
    panels = figure.subplots(2, len(PLOTTED), squeeze=False, sharey="col")
    costs = (
        (f"ms per picture of {measured.size}", {row.network: row.ms["median"] for row in measured.rows}),
        ("kMAC per pixel", {row.network: row.kmac_per_pixel for row in measured.rows}),
    )
    for line, (label, cost) in zip(panels, costs, strict=True):
        for panel, sigma in zip(line, PLOTTED, strict=True):
            _panel(panel, cost, [score for score in scores if score.sigma == sigma])
            panel.set_xlabel(label, fontsize=8)
        line[0].set_ylabel("PSNR, dB")
    for panel, sigma in zip(panels[0], PLOTTED, strict=True):
        panel.set_title(f"noise of sigma {sigma}", fontsize=10)
    foot = f"CBSD68. {measured.machine}, {measured.runtime}, {measured.threads} threads. Hollow: PSNR as published."
    figure.supxlabel(foot, fontsize=7, color="#667")
    figure.savefig(path, dpi=130)


def _panel(panel: Axes, cost: dict[str, float], scores: list[Score]) -> None:
    shown = sorted((score for score in scores if score.network in cost), key=lambda each: cost[each.network])
    points = [(cost[score.network], score.psnr) for score in shown]
    best = frontier(points)
    panel.plot(*zip(*best, strict=True), color=GREEN, linewidth=1.2, zorder=1)
    for index, (score, point) in enumerate(zip(shown, points, strict=True)):
        colour = GREEN if point in best else GREY
        inside = colour if score.measured else "white"
        panel.scatter(*point, s=36, facecolor=inside, edgecolor=colour, zorder=2)
        name = title(score.network).partition(" ")[0].strip("`")
        # In turn on either side of the rising line, so that neighbours' names keep clear of each other.
        place, align = ((-5, 5), "right") if index % 2 else ((6, -11), "left")
        panel.annotate(name, point, xytext=place, ha=align, textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.margins(0.25, 0.2)
    panel.tick_params(which="both", labelsize=7)
    panel.grid(alpha=0.25, which="both")


HEAD = """# Speed beside other people's networks

Written by `tools/peer_speed.py` from its measurements. Every network is timed by its architecture, written from its
paper, with random weights: time does not depend on what a network has learned. **The tables of times say nothing about
quality**; what was measured of it and what others published stands further down.

How it was timed: one picture at a time, all networks in turn in every round, after a round that warms up. A turn is as
many calls as fit into half a second, at least one, and counts with their median. *ms* is the median over the rounds, in
brackets the lowest and the highest round; the last column compares round by round. Where other programs kept cores
busy, milliseconds are too high and only these ratios mean anything. kMAC/px: thousands of multiply-adds per pixel, in
convolutions, matrix products and `malle_slice`.

In OpenVINO, our video networks run as users have them: bytes in and out, conversion included, in the precision that is
said. All the rest is tensor to tensor, in float32. OpenVINO's tables are the fairer ones: in torch, `malle_slice` is
made of torch's own operations, slower than the compiled operator, and matrix products, SwinIR's work, were seen to run
at less than half the rate of convolutions on an AMD processor. MalleNet pads its sides to multiples of 64, which costs
it time. FastDVDnet runs its four blocks for every frame, as published; keeping the first stage's results from frame to
frame would leave two."""


def write_report(tables: list[Table], quality: list[Path], path: Path) -> None:
    """Write the Markdown file, and with figures of ours in ``quality`` a picture under the same name with .png.

    Args:
        tables: measured ones.
        quality: JSON of runs of ``evaluate.py --images``, ours and the yardsticks'.
        path: of the document.

    Raises:
        ConfigError: a file of ``quality`` is missing or another one.
    """
    runs = [read_quality(each) for each in quality]
    rows = [row for run in runs for row in run]
    picture = path.with_suffix(".png")
    about_ours = ours(rows, picture.name)
    if about_ours:
        plot(tables[0], scores(rows), picture)
    parts = [
        HEAD,
        *(_times(each) for each in tables),
        _claim(tables),
        about_ours,
        published(),
        reproduced(rows),
    ]
    lines = [*(_command(each) for each in tables), *(command(run) for run in runs)]
    report = "python tools/peer_speed.py --out speed.json --report FILE.md"
    files = " ".join(f"{run[0]['model']}.json" for run in runs)
    lines.append(f"{report} --quality {files}" if files else report)
    parts.append("## Again\n\n```\n" + "\n".join(lines) + "\n```")
    path.write_text("\n\n".join(part for part in parts if part) + "\n")


def _times(measured: Table) -> str:
    others = "unknown" if measured.other_cores is None else f"{measured.other_cores:.2f}"
    yardstick = title(measured.yardstick).partition(" (")[0]
    heads = ["network", "", "parameters", "kMAC/px", "ms per picture", f"times as fast as {yardstick}"]
    return f"""## {measured.size}, {measured.runtime}

{measured.machine}; threads: {measured.threads}; rounds: {measured.rounds}; cores that others kept busy: {others}.

{table(heads, [_cells(row, measured.yardstick) for row in measured.rows])}"""


def _cells(row: Row, yardstick: str) -> list[str]:
    return [
        title(row.network),
        row.precision,
        f"{row.parameters / 1e6:.2f} M",
        number(row.kmac_per_pixel),
        _spread(row.ms),
        "1" if row.network == yardstick else _spread(row.times_as_fast),
    ]


def _spread(values: dict[str, float]) -> str:
    median, low, high = (number(values[name]) for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _claim(tables: list[Table]) -> str:
    lines = []
    for each in tables:
        rows = {row.network: row for row in each.rows}
        ours = [row for name, row in rows.items() if name.startswith("mallenet")]
        if each.yardstick == "swinir" and ours:
            cost = rows["swinir"].kmac_per_pixel
            found = [
                f"`{row.network}` **{number(row.times_as_fast['median'])}** "
                f"({number(cost / row.kmac_per_pixel)} times less arithmetic)"
                for row in ours
            ]
            lines.append(f"* {each.size}, {each.runtime}: {', '.join(found)}.")
    if not lines:
        return ""
    measured = "\n".join(lines)
    return f"""## The paper's claim

{CLAIM}. It does not publish its sizes: S, M and L are ours. Times as fast as SwinIR, measured here:

{measured}

That is the half of the claim that is about speed: it does not say that these sizes are as good. Which PSNR they reach
is a matter of training; `tools/evaluate.py` measures it, for weights that exist."""


def _command(measured: Table) -> str:
    names = " ".join(row.network for row in measured.rows)
    return (
        f"python tools/peer_speed.py --out speed.json --runtime {measured.runtime.split()[0]} "
        f"--size {measured.size} --rounds {measured.rounds} --threads {measured.threads} --model {names}"
    )
