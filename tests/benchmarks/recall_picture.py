"""Candidate recall against candidate pairs a record, as one SVG: a chart beside another, a curve for each way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 330, 56, 12, 34, 46
LEGEND_LINE = 18
COLOURS = ("#1f5fa8", "#b3402a", "#1a7f4b", "#8a5bb5")
RULED_PAIRS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """One set: its name, its curves as points of (pairs a record, recall), and where the protocol stands."""

    name: str
    curves: dict[str, Points]
    protocol: tuple[float, float]


@dataclass(frozen=True)
class _Scale:
    """Pairs a record on a logarithmic axis to the right, recall on an even one upwards."""

    offset: float
    pairs: tuple[float, float]
    recall: tuple[float, float]

    def across(self, pairs: float) -> float:
        low, high = (math.log(edge) for edge in self.pairs)
        return self.offset + LEFT + (math.log(pairs) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(self, recall: float) -> float:
        low, high = self.recall
        return HEIGHT - BOTTOM - (recall - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def draw_curves(charts: list[Chart]) -> str:
    """The picture as text; same charts, same text."""
    labels = list(charts[0].curves)
    height = HEIGHT + LEGEND_LINE * (len(labels) + 1)
    width = WIDTH * len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, chart in enumerate(charts):
        parts += _chart(chart, _scale(chart, WIDTH * number))
    return "\n".join([*parts, *_legend(labels), "</svg>\n"])


def _scale(chart: Chart, offset: float) -> _Scale:
    points = [*(point for curve in chart.curves.values() for point in curve), chart.protocol]
    pairs, recalls = [p for p, _ in points], [r for _, r in points]
    floor = math.floor(min(recalls) * 20) / 20
    ceiling = min(1.0, math.ceil(max(recalls) * 50) / 50)
    return _Scale(offset, (min(pairs) / 1.15, max(pairs) * 1.15), (floor, ceiling))


def _chart(chart: Chart, scale: _Scale) -> list[str]:
    centre = scale.offset + (LEFT + WIDTH - RIGHT) / 2
    parts = [
        f'<text x="{centre:.1f}" y="20" text-anchor="middle" font-weight="bold">{escape(chart.name)}</text>'
    ]
    parts += _grid(scale)
    for colour, points in zip(COLOURS, chart.curves.values(), strict=False):
        path = " ".join(f"{scale.across(x):.1f},{scale.up(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts += [_dot(scale, point, 2.6, colour) for point in points]
    parts.append(_dot(scale, chart.protocol, 6, "#222"))
    parts.append(
        f'<text x="{centre:.1f}" y="{HEIGHT - 10}" text-anchor="middle">candidate pairs a record</text>'
    )
    return parts


def _dot(scale: _Scale, point: tuple[float, float], radius: float, colour: str) -> str:
    x, y = point
    return f'<circle cx="{scale.across(x):.1f}" cy="{scale.up(y):.1f}" r="{radius}" fill="{colour}"/>'


def _grid(scale: _Scale) -> list[str]:
    left, right = scale.offset + LEFT, scale.offset + WIDTH - RIGHT
    parts = []
    for line in range(6):
        recall = scale.recall[0] + line * (scale.recall[1] - scale.recall[0]) / 5
        y = scale.up(recall)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{recall:.3f}</text>')
    for pairs in RULED_PAIRS:
        if scale.pairs[0] <= pairs <= scale.pairs[1]:
            x = scale.across(pairs)
            parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{pairs:,}</text>'
            )
    return parts


def _legend(labels: list[str]) -> list[str]:
    rows = [*zip(labels, COLOURS, strict=False), ("the protocol", "#222")]
    parts = []
    for row, (label, colour) in enumerate(rows):
        y = HEIGHT + LEGEND_LINE * row + 4
        parts.append(f'<circle cx="{LEFT}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 12}" y="{y + 4}">{escape(label)}</text>')
    return parts
