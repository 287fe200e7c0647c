"""A comparison in words: tables for a terminal, and the one that README shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from malle_rt.measuring import Spread
from yardstick.result import ClipScore, Comparison, ToolScore
from yardstick.speed import FrameTimes, Measured, Speed

__all__ = ["busy_table", "clips_table", "overlap_text", "quality_table", "speed_table", "summary"]

NO_WORK = 1e5  # frames per second that only a denoiser reaches that does nothing


def quality_table(scores: Sequence[ToolScore], ours: str) -> str:
    """One line per tool; gains are of ``ours`` over it, on the frames that both have."""
    reference = next(score for score in scores if score.tool == ours)
    rows = [("tool", "PSNR-Y dB", "ours +dB", "SSIM", "ours +SSIM", "frames", "setting")]
    for score in scores:
        psnr, ssim = reference.gain(score)
        figures = (f"{score.psnr():.2f}", f"{psnr:+.2f}", f"{score.ssim():.4f}", f"{ssim:+.4f}")
        rows.append((score.tool, *figures, str(score.frames()), score.label))
    return _table(rows)


def clips_table(scores: Sequence[ToolScore]) -> str:
    """PSNR of Y / U / V for each tool and clip, moving clips first; the best luma of a clip is marked."""
    order = sorted(range(len(scores[0].clips)), key=lambda index: not scores[0].clips[index].moving)
    heads = [scores[0].clips[index] for index in order]
    rows = [("tool", *(f"{clip.clip} ({'moving' if clip.moving else 'still'})" for clip in heads))]
    best = {index: max(fmean(score.clips[index].psnr) for score in scores) for index in order}
    for score in scores:
        cells = []
        for index in order:
            clip = score.clips[index]
            u, v = clip.chroma()
            luma = f"{fmean(clip.psnr):.2f}"
            cells.append(f"{f'**{luma}**' if fmean(clip.psnr) == best[index] else luma} / {u:.2f} / {v:.2f}")
        rows.append((score.tool, *cells))
    return _table(rows)


def busy_table(busy: Mapping[str, Sequence[FrameTimes]]) -> str:
    """Median and 95th percentile of a frame, and how many times as long as beside nobody."""
    counts = [times.neighbours for times in next(iter(busy.values()), ())]
    rows = [("tool", *(f"{count} neighbours: median / p95 ms" for count in counts))]
    for tool, each in busy.items():
        alone = each[0]
        cells = [
            f"{times.median_ms:.1f} / {times.p95_ms:.1f}"
            f" (x{times.median_ms / alone.median_ms:.2f} / x{times.p95_ms / alone.p95_ms:.2f})"
            for times in each
        ]
        rows.append((tool, *cells))
    return _table(rows)


def speed_table(speeds: dict[str, Speed], ours: str) -> str:
    """One line per tool; ratios are of ``ours`` to it: above 1, ours is that many times faster, or larger."""
    reference = speeds[ours]
    head = (
        "tool",
        "denoise fps",
        "ours x",
        "frames",
        "MiB",
        "ours x",
        "end to end fps",
        "ours x",
        "frames",
        "MiB",
    )
    rows = [(*head, "ours x", "cores")]
    for name, speed in speeds.items():
        denoise = _columns(speed.denoise, reference.denoise)
        end_to_end = _columns(speed.transcode, reference.transcode)
        cores = f"{speed.transcode.cores:.2f}" if speed.transcode else "-"
        rows.append((name, *denoise, *end_to_end, cores))
    return "\n".join((_table(rows), *_conversions(speeds)))


def overlap_text(comparison: Comparison, ours: str, none: str) -> str:
    """What the network costs of the whole job, and how well the stages overlap."""
    lines = []
    for name, overlap in comparison.overlap.items():
        busy = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in overlap.busy.items())
        lines.append(
            f"{name}: {overlap.fps:.1f} fps without the program's start; busy in {overlap.seconds:.2f} s: {busy}; "
            f"{overlap.at_once:.2f} stages at once, {overlap.cores:.2f} cores"
        )
    with_network, without = comparison.speed[ours].transcode, comparison.speed[none].transcode
    if with_network and without:
        share = 1 - with_network.fps.median / without.fps.median
        lines.append(f"the network costs {share:.0%} of the end-to-end time")
    return "\n".join(lines)


def _conversions(speeds: dict[str, Speed]) -> list[str]:
    """What becomes of the denoise fps of tools that have to convert."""
    return [
        f"{name}: {_spread(speed.convert_fps)} fps with conversion to RGB and back"
        for name, speed in speeds.items()
        if speed.convert_fps != speed.denoise.fps
    ]


def _columns(measured: Measured | None, ours: Measured | None) -> tuple[str, str, str, str, str]:
    """Speed, our ratio to it, frames, memory, our ratio to it."""
    if measured is None or ours is None:
        return ("-",) * 5
    faster = ours.fps.median / measured.fps.median
    larger = ours.peak_mib / measured.peak_mib
    speed = _spread(measured.fps), f"{faster:.2f}", str(measured.frames)
    return (*speed, f"{measured.peak_mib:.0f}", f"{larger:.2f}")


def _spread(spread: Spread) -> str:
    if spread.median > NO_WORK:
        return "-"
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown, and straight in a terminal as well."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


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
