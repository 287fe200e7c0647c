"""Quality in the document: what others published, and how close we come with their weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.markdown import table

from malle_rt.errors import ConfigError
from peerspeed.published import PUBLISHED
from peerspeed.words import title

__all__ = ["PLOTTED", "Score", "command", "ours", "published", "read_quality", "reproduced", "scores"]

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
