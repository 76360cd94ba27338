"""Privacy against quality as one SVG: recall to the right, the best attack's success upwards, on a log scale."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 560, 70, 300, 44, 60
FLOOR = 1e-3
COLOURS = {"diffusion": "#1a7f4b", "three pair": "#1f5fa8", "Fourier": "#8a5bb5"}
OTHER = "#b3402a"

Point = tuple[str, float, AttackOutcome]


def draw_picture(points: list[Point], set_name: str) -> str:
    """The picture as text; a bar is the 95% interval, and what is under the axis' end stands on it."""
    recalls = [recall for _, recall, _ in points]
    low = math.floor(min(min(recalls), 0.9) * 20) / 20

    def across(recall: float) -> float:
        return LEFT + (recall - low) / (1.0 - low) * (WIDTH - LEFT - RIGHT)

    def up(success: float) -> float:
        share = math.log(max(success, FLOOR) / FLOOR) / math.log(1 / FLOOR)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [_frame(set_name), *(_grid(across, up, low))]
    for number, (name, recall, outcome) in enumerate(points, start=1):
        parts.append(
            _mark(number, name, across(recall), up(outcome.success), [up(x) for x in outcome.interval])
        )
    return "\n".join([*parts, "</svg>\n"])


def _frame(set_name: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text x="{LEFT}" y="22" font-size="15">Privacy against quality: the most successful attack that we ran</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 16}">Recall at precision .99, {escape(set_name)} (right is better)</text>'
        f'<text transform="translate(18 {HEIGHT - BOTTOM}) rotate(-90)">Share of targets named (down is better)</text>'
    )


def _grid(across: object, up: object, low: float) -> list[str]:
    lines = []
    for success in (0.001, 0.01, 0.1, 1.0):
        y = up(success)  # type: ignore[operator]
        label = "&#8804; .001" if success == FLOOR else f"{success:g}"
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for step in range(6):
        recall = low + step * (1.0 - low) / 5
        x = across(recall)  # type: ignore[operator]
        lines.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{recall:.2f}</text>')
    return lines


def _mark(number: int, name: str, x: float, y: float, interval: list[float]) -> str:
    colour = next((c for start, c in COLOURS.items() if name.startswith(start)), OTHER)
    legend_y = TOP + 8 + 22 * (number - 1)
    return (
        f'<path d="M{x:.1f} {interval[0]:.1f}V{interval[1]:.1f}" stroke="{colour}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        f'<text x="{x + 5:.1f}" y="{y - 5:.1f}" font-size="10" fill="{colour}">{number}</text>'
        f'<text x="{WIDTH - RIGHT + 14}" y="{legend_y}" font-size="11" fill="{colour}">{number}  {escape(name)}</text>'
    )
