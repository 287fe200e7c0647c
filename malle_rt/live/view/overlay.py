"""What a session tells of itself, written over the picture: the statistics and the banner."""

from __future__ import annotations

from malle_rt.live.statistics import Statistics
from malle_rt.live.view.geometry import Picture, Rect
from malle_rt.live.view.plates import draw_plate
from malle_rt.live.view.theme import ACCENT, DIM, INK, PLATE, margin
from malle_rt.media.drawn_text import draw_text, fitted, text_width, wrapped

__all__ = ["draw_banner", "draw_statistics", "statistics_rows"]

_LEADING = 1.42  # from baseline to baseline, as a multiple of the text's size
_ALARM = 0.6  # of the height, below the statistics of the smallest window


def statistics_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """(what, value) for each line of the overlay."""
    now = statistics
    estimated = "--" if now.estimated is None else f"{now.estimated:.1f}"
    measured = now.latency.p95 > 0
    latency = f"p50 {now.latency.p50:.0f} ms, p95 {now.latency.p95:.0f} ms" if measured else "--"
    chosen = "auto" if now.automatic else "manual"
    return [
        ("noise", f"{estimated} estimated"),
        ("strength", f"{now.used:.1f} {chosen}" + ("" if now.mix == 1 else f", mix {now.mix:.0%}")),
        ("camera", f"{now.captured_fps:.1f} fps"),
        ("output", f"{now.shown_fps:.1f} fps"),
        ("dropped", f"{now.dropped}"),
        ("late", f"{now.late}"),
        ("latency", latency),
    ]


def draw_statistics(picture: Picture, statistics: Statistics, area: Rect, size: int) -> None:
    """The statistics, on a plate in the top left corner of the area; ``size`` is that of the text."""
    rows = statistics_rows(statistics)
    gap, inner = margin(size), round(size * 0.9)
    values = max(text_width(what, size) for what, _ in rows) + round(size * 1.1)
    widest = area.width - 2 * gap - 2 * inner
    under = [fitted(line, size, min(widest, 22 * size)) for line in (statistics.source, *statistics.outputs)]
    head = fitted(statistics.backend, size, widest)
    body = values + max(text_width(value, size) for _, value in rows)
    width = max(body, text_width(head, size, bold=True), *(text_width(line, size) for line in under))
    width = -(-width // size) * size  # in steps, so that the plate does not tremble with its digits
    step = round(size * _LEADING)
    height = step * (1 + len(rows) + len(under)) + round(step * 0.6)
    plate = Rect(area.x + gap, area.y + gap, width + 2 * inner, height + 2 * inner - (step - size))
    draw_plate(picture, plate, round(size * 0.6))
    x, y = plate.x + inner, plate.y + inner + round(size * 0.82)
    draw_text(picture, head, (x, y), size, ACCENT, bold=True)
    y += round(step * 0.3)
    for what, value in rows:
        y += step
        draw_text(picture, what, (x, y), size, DIM)
        draw_text(picture, value, (x + values, y), size, INK)
    y += round(step * 0.3)
    for line in under:
        y += step
        draw_text(picture, line, (x, y), size, DIM)


def draw_banner(picture: Picture, message: str, area: Rect, size: int, *, alarm: bool) -> int:
    """What the viewer must know, over the whole width: red and far from the edges for an alarm, at the bottom else.

    Returns:
        The first row that it takes at the bottom; the area's end for an alarm.
    """
    big = round(size * (1.5 if alarm else 1.15))
    lines = wrapped(message, big, round(area.width * 0.9), 3, bold=True)
    step = round(big * _LEADING)
    height = step * len(lines) + big
    y = area.y + round(area.height * _ALARM) if alarm else area.bottom - height
    plate = Rect(area.x, y, area.width, height)
    draw_plate(picture, plate, 0, color=(40, 40, 168) if alarm else PLATE, through=0.12)
    if not alarm:
        Rect(plate.x, plate.y, plate.width, max(2, size // 8)).of(picture)[:] = ACCENT
    baseline = y + (height - step * len(lines)) // 2 + round(step * 0.5 + big * 0.34)
    for line in lines:
        x = area.x + (area.width - text_width(line, big, bold=True)) // 2
        draw_text(picture, line, (x, baseline), big, INK, bold=True)
        baseline += step
    return area.bottom if alarm else y
