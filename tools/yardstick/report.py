"""The tables people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from yardstick.busy import FrameTimes
from yardstick.result import Comparison, ToolScore
from yardstick.speed import Measured, Speed, Spread

__all__ = ["busy_table", "clips_table", "overlap_text", "quality_table", "speed_table"]

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
