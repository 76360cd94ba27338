"""Precision over recall as one SVG: a chart beside another, the same curves in each, one legend below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 320, 52, 14, 34, 46
LEGEND_LINE, LEGEND_COLUMNS, CHARTS_A_ROW = 20, 2, 3
LOWEST_PRECISION = 0.9
COLOURS = ("#b3402a", "#d98a2b", "#8a5bb5", "#1f5fa8", "#1a7f4b")
"""One for each vector; a vector's second model is dashed."""

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A title, and curves of points (recall, precision) by name, recall ascending."""

    title: str
    curves: dict[str, Points]


def draw_charts(charts: list[Chart]) -> str:
    """The picture as text; same charts, same text.

    Recall starts where the worst curve falls to precision .99, rounded down to a tenth. Curves come in pairs of one
    colour, the second one dashed.
    """
    names = list(charts[0].curves)
    rows = -(-len(charts) // CHARTS_A_ROW)
    width = WIDTH * min(len(charts), CHARTS_A_ROW)
    height = HEIGHT * rows + LEGEND_LINE * (-(-len(names) // LEGEND_COLUMNS) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans, sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
    ]
    for number, chart in enumerate(charts):
        corner = WIDTH * (number % CHARTS_A_ROW), HEIGHT * (number // CHARTS_A_ROW)
        parts += _chart(chart, *corner)
    for number, name in enumerate(names):
        x = LEFT + (width - LEFT) / LEGEND_COLUMNS * (number % LEGEND_COLUMNS)
        y = HEIGHT * rows + LEGEND_LINE * (number // LEGEND_COLUMNS + 1)
        parts.append(f'<path d="M{x:.1f} {y - 4}h28" {_stroke(number)}/>')
        parts.append(f'<text x="{x + 36:.1f}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _chart(chart: Chart, left: float, top: float) -> Iterator[str]:
    lowest = _lowest_recall(chart)

    def across(recall: float) -> float:
        return left + LEFT + (recall - lowest) / (1 - lowest) * (WIDTH - LEFT - RIGHT)

    def up(precision: float) -> float:
        share = (precision - LOWEST_PRECISION) / (1 - LOWEST_PRECISION)
        return top + HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    yield f'<text x="{left + LEFT}" y="{top + 20}" font-size="12">{escape(chart.title)}</text>'
    for step in range(6):
        precision, recall = 0.9 + step / 50, lowest + (1 - lowest) * step / 5
        yield f'<path d="M{across(lowest):.1f} {up(precision):.1f}H{across(1):.1f}" stroke="#e2e2e2"/>'
        yield f'<text x="{across(lowest) - 6:.1f}" y="{up(precision) + 4:.1f}" text-anchor="end">{precision:.2f}</text>'
        yield f'<text x="{across(recall):.1f}" y="{up(0.9) + 16:.1f}" text-anchor="middle">{recall:.2f}</text>'
    for precision in (0.95, 0.99):
        ruled = f"M{across(lowest):.1f} {up(precision):.1f}H{across(1):.1f}"
        yield f'<path d="{ruled}" stroke="#888" stroke-dasharray="2 3"/>'
    middle = (across(lowest) + across(1)) / 2
    yield f'<text x="{middle:.1f}" y="{top + HEIGHT - 12}" text-anchor="middle">recall of the test\'s matches</text>'
    yield (
        f'<text transform="translate({left + 14} {top + HEIGHT / 2}) rotate(-90)" text-anchor="middle">precision</text>'
    )
    for number, points in enumerate(chart.curves.values()):
        shown = [(across(r), up(p)) for r, p in points if r >= lowest and p >= LOWEST_PRECISION]
        if shown:
            line = "L".join(f"{x:.1f} {y:.1f}" for x, y in shown)
            yield f'<path d="M{line}" fill="none" {_stroke(number)}/>'


def _lowest_recall(chart: Chart) -> float:
    reached = [max((r for r, p in points if p >= 0.99), default=0.4) for points in chart.curves.values()]
    return max(0.4, int(min(reached) * 10) / 10)


def _stroke(number: int) -> str:
    dashed = ' stroke-dasharray="5 3"' if number % 2 else ""
    return f'stroke="{COLOURS[number // 2 % len(COLOURS)]}" stroke-width="1.6"{dashed}'
