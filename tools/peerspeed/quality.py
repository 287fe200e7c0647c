"""Quality in the document: what others published, and how close we come with their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studies.markdown import table

from malle_rt.errors import ConfigError
from peerspeed.published import PUBLISHED
from peerspeed.words import title

__all__ = ["command", "published", "read_quality", "reproduced"]

SIGMAS = (15, 25, 35, 50)
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
    for row in rows:
        wanted = PUBLISHED[row["model"]].psnr.get(row["sigma"]) if row["model"] in PUBLISHED else None
        off = row["psnr"] - wanted if wanted else None
        worst = max(worst, abs(off or 0.0))
        shown = ("" if wanted is None else f"{wanted:.2f}", "" if off is None else f"{off:+.3f}")
        figures = [shown[0], f"{row['psnr']:.3f}", shown[1], f"{row['ssim']:.4f}"]
        cells.append([title(row["model"]), f"{row['sigma']:g}", *figures])
    verdict = "within" if worst <= TOLERANCE else "**not within**"
    heads = ["network", "sigma", "published, dB", "measured, dB", "difference", "SSIM, measured"]
    return f"""## The yardsticks, reproduced

Their authors' weights in our own definition of the networks, on {rows[0]["pictures"]} pictures of CBSD68. White
noise in RGB from a fixed seed, neither clipped nor rounded; results rounded to 8 bits. The largest difference from a
published figure is {worst:.3f} dB, {verdict} the {TOLERANCE} dB that a yardstick may be off.

{table(heads, cells)}"""


def command(rows: list[dict[str, Any]]) -> str:
    """What measures these rows again."""
    models, sigmas = (list(dict.fromkeys(row[name] for row in rows)) for name in ("model", "sigma"))
    return (
        f"python tools/evaluate.py --model {' '.join(models)} --images CBSD68 --peers DIR "
        f"--sigma {' '.join(f'{sigma:g}' for sigma in sigmas)} --json quality.json"
    )
