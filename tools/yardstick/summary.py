"""A comparison as README shows it, from what ``tools/compare.py --json`` wrote."""

from __future__ import annotations

from typing import Any

import numpy as np

from yardstick.quality import ClipScore
from yardstick.result import ToolScore

__all__ = ["summary"]

OURS, NONE = "malle-rt auto", "malle-rt none"
TITLES = {
    "noisy": "noisy",
    OURS: "**malle-rt**, `--strength auto`",
    "malle-rt tuned": "malle-rt at its best strength",
    "nlmeans": "ffmpeg `nlmeans` (p=5, r=11)",
    "nlmeans-7-15": "ffmpeg `nlmeans` (p=7, r=15)",
    "hqdn3d": "ffmpeg `hqdn3d`",
    "owdenoise": "ffmpeg `owdenoise`",
    "bm3d": "ffmpeg `bm3d` (basic)",
    "opencv": "OpenCV `fastNlMeansDenoisingColored`",
}


def summary(measured: dict[str, Any]) -> str:
    """A row for each tool and, below the table, how it came about.

    Args:
        measured: with speed, at one or more noise levels.
    """
    sigmas = list(measured["scores"])
    heads = ["", *(f"PSNR-Y, sigma {sigma}" for sigma in sigmas), f"SSIM, sigma {sigmas[-1]}", "frames"]
    lines = ["| " + " | ".join([*heads, "denoise", "file to file"]) + " |", "|" + "---|" * (len(heads) + 2)]
    scores = {sigma: {row["tool"]: _score(row) for row in rows} for sigma, rows in measured["scores"].items()}
    for tool in scores[sigmas[0]]:
        levels = [(each[tool], each[OURS]) for each in scores.values()]
        cells = [_psnr(*level) for level in levels]
        cells += [f"{levels[-1][0].ssim():.3f}", str(levels[0][0].frames())]
        lines.append("| " + " | ".join([TITLES[tool], *cells, *_speeds(measured["speed"], tool)]) + " |")
    return "\n".join([*lines, "", _about(measured)])


def _score(row: dict[str, Any]) -> ToolScore:
    nothing = np.empty((0, 0, 0), np.uint8)
    clips = tuple(ClipScore(name, clip["psnr"], clip["ssim"], nothing) for name, clip in row["clips"].items())
    return ToolScore(row["tool"], clips)


def _psnr(score: ToolScore, ours: ToolScore) -> str:
    if score.tool.startswith("malle-rt"):
        return f"**{score.psnr():.2f} dB**"
    return f"{score.psnr():.2f} dB ({ours.gain(score)[0]:+.2f})"


def _speeds(speed: dict[str, Any], tool: str) -> list[str]:
    cells = []
    for kind in ("denoise", "transcode"):
        theirs, ours = (speed.get(name, {}).get(kind) for name in (tool, OURS))
        if theirs is None:
            cells.append("")
            continue
        fps = theirs["fps"]["median"]
        ratio = "" if tool.startswith("malle-rt") else f" ({_times(ours['fps']['median'] / fps)})"
        cells.append(f"{fps:.3g} fps{ratio}" if fps < 1000 else f"{fps:.0f} fps{ratio}")
    return cells


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x" if ratio >= 1 else f"{ratio:.2g}x"


def _about(measured: dict[str, Any]) -> str:
    machine, speed = measured["machine"][0], measured["speed"]
    ours, without = speed[OURS]["transcode"], speed[NONE]["transcode"]
    share = 1 - ours["fps"]["median"] / without["fps"]["median"]
    others = measured["other_cores"]
    fps = speed[OURS]["denoise"]["fps"]
    return (
        f"{machine['cpu']}, {machine['threads']} threads; malle-rt {machine['malle-rt']}, OpenVINO "
        f"{machine['openvino']}, ffmpeg {machine['ffmpeg'].partition('-')[0]}, OpenCV {machine['opencv-python']}; "
        f"cores that other programs kept busy: {'unknown' if others is None else format(others, '.2f')}. In "
        "brackets: how far malle-rt is above, on the frames that both have, and how many times as fast. *denoise*: "
        f"frame in to frame out, the median of the rounds (malle-rt: {fps['low']:.0f} to {fps['high']:.0f} fps); "
        "*file to file*: an H.264 file to another, program start included; without the network malle-rt does "
        f"{without['fps']['median']:.0f} fps, so the network is {share:.0%} of it. Peak memory: "
        f"{ours['peak_mib']:.0f} MiB."
    )
