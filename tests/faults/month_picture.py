"""The simulated month as one SVG: quality above, cost below, night by night; what happened is marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 940, 64, 20
PANEL, GAP, TOP, BOTTOM = 170, 34, 56, 84
BLUE, RED, GREEN, GREY = "#1f5fa8", "#b3402a", "#1a7f4b", "#777"


class Night(Protocol):
    """What is drawn of a night."""

    number: int
    fault: str
    code: str
    rotated: bool
    erased: int
    wall_s: float
    cpu_s: float
    delivered_mib: float
    precision: float
    recall: float


def draw_month(nights: Sequence[Night], people: int) -> str:
    """The picture as text; same nights, same text."""
    height = TOP + 3 * PANEL + 2 * GAP + BOTTOM
    across = _across(len(nights))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold" font-size="14">{len(nights)} nights, {people:,} people a side:'
        " quality and cost by night</text>",
    ]
    floor = min(0.9, min(min(n.precision, n.recall) for n in nights) // 0.05 * 0.05)
    parts += _panel(0, "precision and recall", floor, 1.0, "{:.3f}")
    parts += _curve(nights, across, _up(0, floor, 1.0), lambda n: n.precision, BLUE)
    parts += _curve(nights, across, _up(0, floor, 1.0), lambda n: n.recall, GREEN)
    parts += _legend([("precision", BLUE), ("recall", GREEN)], 0)
    most = 1.1 * max(max(n.wall_s, n.cpu_s) for n in nights)
    parts += _panel(1, "seconds of the night that published", 0, most, "{:.0f}")
    parts += _curve(nights, across, _up(1, 0, most), lambda n: n.wall_s, BLUE)
    parts += _curve(nights, across, _up(1, 0, most), lambda n: n.cpu_s, RED)
    parts += _legend([("wall", BLUE), ("CPU, all processes", RED)], 1)
    largest = 1.1 * max(0.1, max(n.delivered_mib for n in nights))
    parts += _panel(2, "MiB delivered by both custodians", 0, largest, "{:.1f}")
    parts += _curve(nights, across, _up(2, 0, largest), lambda n: n.delivered_mib, GREY)
    return "\n".join([*parts, *_marks(nights, across), "</svg>\n"])


def _across(count: int) -> Callable[[int], float]:
    step = (WIDTH - LEFT - RIGHT) / max(1, count - 1)
    return lambda number: LEFT + (number - 1) * step


def _top(panel: int) -> float:
    return TOP + panel * (PANEL + GAP)


def _up(panel: int, low: float, high: float) -> Callable[[float], float]:
    return lambda value: _top(panel) + PANEL - (value - low) / (high - low) * PANEL


def _panel(panel: int, title: str, low: float, high: float, form: str) -> list[str]:
    up = _up(panel, low, high)
    parts = [f'<text x="{LEFT}" y="{_top(panel) - 8}">{escape(title)}</text>']
    for step in range(5):
        value = low + (high - low) * step / 4
        y = up(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{form.format(value)}</text>'
        )
    return parts


def _curve(
    nights: Sequence[Night],
    across: Callable[[int], float],
    up: Callable[[float], float],
    value: Callable[[Night], float],
    colour: str,
) -> list[str]:
    points = [(across(n.number), up(value(n))) for n in nights]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>', *dots]


def _legend(entries: list[tuple[str, str]], panel: int) -> list[str]:
    x, y, parts = WIDTH - RIGHT, _top(panel) - 8, []
    for words, colour in reversed(entries):
        parts.append(f'<text x="{x}" y="{y}" text-anchor="end" fill="{colour}">{escape(words)}</text>')
        x -= 8 * len(words) + 16
    return parts


def _marks(nights: Sequence[Night], across: Callable[[int], float]) -> list[str]:
    """Below the panels: the night's number, and a letter for what happened on it."""
    bottom = TOP + 3 * PANEL + 2 * GAP
    parts = []
    for n in nights:
        x = across(n.number)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" font-size="10">{n.number}</text>'
        )
        letters = [("F", RED)] * bool(n.fault) + [("K", BLUE)] * n.rotated + [("E", GREEN)] * bool(n.erased)
        for line, (letter, colour) in enumerate(letters):
            said = f"{n.fault}: {n.code}" if letter == "F" else {"K": "new key epoch", "E": "erasure"}[letter]
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 34 + 13 * line}" text-anchor="middle" font-weight="bold"'
                f' fill="{colour}">{letter}<title>{escape(said)}</title></text>'
            )
    words = "F: failed first, then published; K: new key epoch, all delivered anew; E: somebody was erased"
    parts.append(f'<text x="{LEFT}" y="{bottom + 78}" fill="{GREY}">{words}</text>')
    return parts
