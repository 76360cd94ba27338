"""Privacy against quality as one SVG: recall to the right, the best attack's success upwards, on a log scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome

LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, LEGEND_WIDTH, BOTTOM = 84, 84, 620, 470, 430, 64
WIDTH, HEIGHT = LEFT + PLOT_WIDTH + LEGEND_WIDTH, TOP + PLOT_HEIGHT + BOTTOM
FLOOR = 1e-3
GATE = 0.01
LABEL_SIZE = 15
KINDS = (
    ("three pair filters jointly, diffusion", "#1f5fa8"),
    ("diffusion", "#1a7f4b"),
    ("Fourier", "#8a5bb5"),
)
OTHER = "#b3402a"
WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
OFFSETS = [(reach * right, reach * down) for reach in (16, 28, 40, 52) for right, down in WAYS]
"""Where a number may stand beside its point, the nearest places first."""

Point = tuple[str, float, AttackOutcome]
Place = Callable[[float], float]


def draw_picture(points: list[Point], set_name: str) -> str:
    """The picture as text; a bar is the 95% interval, and what is under the axis' end stands on it."""
    low = math.floor(min(recall for _, recall, _ in points) * 50) / 50
    high = math.ceil(max(recall for _, recall, _ in points) * 50) / 50

    def across(recall: float) -> float:
        return LEFT + (recall - low) / (high - low) * PLOT_WIDTH

    def up(success: float) -> float:
        share = math.log(max(success, FLOOR) / FLOOR) / math.log(1 / FLOOR)
        return TOP + (1 - share) * PLOT_HEIGHT

    parts = [*_frame(set_name), *_grid(across, up, low, high)]
    spots = [(across(recall), up(outcome.success)) for _, recall, outcome in points]
    labels = place_labels(spots)
    for number, ((name, _, outcome), spot, label) in enumerate(
        zip(points, spots, labels, strict=True), start=1
    ):
        ends = [up(end) for end in outcome.interval]
        parts += _mark(number, name, spot, label, ends, f"{outcome.success:.3g}".removeprefix("0"))
    return "\n".join([*parts, "</svg>\n"])


def place_labels(spots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A place beside each spot that is free of all spots and of the labels before it, if there is one."""
    taken, labels = list(spots), []
    for x, y in spots:
        ways = [(x + dx, y + dy) for dx, dy in OFFSETS]
        free = [way for way in ways if _is_free(way, taken)]
        labels.append((free or ways)[0])
        taken.append(labels[-1])
    return labels


def _is_free(way: tuple[float, float], taken: list[tuple[float, float]]) -> bool:
    x, y = way
    inside = (
        LEFT - LABEL_SIZE < x < LEFT + PLOT_WIDTH + LABEL_SIZE
        and TOP - 2 * LABEL_SIZE < y < TOP + PLOT_HEIGHT + 12
    )
    return inside and all(abs(x - other) >= LABEL_SIZE or abs(y - above) >= 11 for other, above in taken)


def _frame(set_name: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="DejaVu Sans, sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    )
    title = "Privacy against quality: the most successful attack that we ran"
    yield f'<text x="{LEFT}" y="26" font-size="17">{title}</text>'
    subtitle = (
        "Without the key: up to 16,000 known people, or none, and a list of everybody; bars: 95% intervals"
    )
    yield f'<text x="{LEFT}" y="46" fill="#555">{subtitle}</text>'
    yield (
        f'<text x="{LEFT + PLOT_WIDTH / 2}" y="{HEIGHT - 18}" text-anchor="middle">'
        f"recall at precision .99 by this similarity alone, {escape(set_name)} (right is better)</text>"
    )
    yield (
        f'<text transform="translate(22 {TOP + PLOT_HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        "share of targets named (down is better)</text>"
    )


def _grid(across: Place, up: Place, low: float, high: float) -> Iterator[str]:
    for success in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        label = "&#8804; .001" if success == FLOOR else f"{success:g}".lstrip("0") if success < 1 else "1"
        y = up(success)
        yield f'<path d="M{LEFT} {y:.1f}h{PLOT_WIDTH}" stroke="#e2e2e2"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    steps = round((high - low) * 50)
    for step in range(steps + 1):
        recall = low + step / 50
        yield f'<path d="M{across(recall):.1f} {TOP}v{PLOT_HEIGHT}" stroke="#eee"/>'
        yield f'<text x="{across(recall):.1f}" y="{TOP + PLOT_HEIGHT + 18}" text-anchor="middle">{recall:.2f}</text>'
    yield f'<path d="M{LEFT} {up(GATE):.1f}h{PLOT_WIDTH}" stroke="#888" stroke-dasharray="4 3"/>'


def _mark(
    number: int,
    name: str,
    spot: tuple[float, float],
    label: tuple[float, float],
    ends: list[float],
    said: str,
) -> Iterator[str]:
    colour = next((colour for start, colour in KINDS if name.startswith(start)), OTHER)
    (x, y), (label_x, label_y) = spot, label
    row = TOP + 10 + 22 * (number - 1)
    yield f'<path d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}" stroke-width="1.5"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    middle = f'text-anchor="middle" font-size="11" fill="{colour}"'
    yield f'<text x="{label_x:.1f}" y="{label_y + 4:.1f}" {middle}>{number}</text>'
    legend = LEFT + PLOT_WIDTH + 26
    yield f'<text x="{legend + 16}" y="{row}" text-anchor="end" fill="{colour}">{number}</text>'
    yield f'<text x="{legend + 24}" y="{row}" fill="{colour}">{escape(name)}: {said}</text>'
