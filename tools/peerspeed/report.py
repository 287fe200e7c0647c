"""The measurements as a document: tables of times, what they say of the paper's claim, and quality beside them."""

from __future__ import annotations

from pathlib import Path

from studies.markdown import table

from peerspeed.book import Row, Table
from peerspeed.plot import plot
from peerspeed.published import CLAIM
from peerspeed.quality import command, ours, published, read_quality, reproduced, scores
from peerspeed.words import number, title

__all__ = ["write_report"]

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
