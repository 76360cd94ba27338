"""The histogram of the links' probabilities, with both thresholds on its axis.

Zone: linkage unit. Geometry only. No bar's height tells one count under ten from another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from .report_svg import element, line, picture, rect, text
from .report_wording import drawn_count, suppress_small


@dataclass(frozen=True)
class Histogram:
    """Counts between consecutive ``edges`` (one more than counts), and both thresholds on the same axis."""

    edges: Sequence[float]
    counts: Sequence[int]
    possible_threshold: float
    match_threshold: float


def histogram_of(summary: Mapping[str, Any]) -> Histogram | None:
    """The scores of a night's summary, or None when no pair was scored."""
    scores = summary.get("scores") or {}
    edges, counts = tuple(scores.get("bin_edges", ())), tuple(scores.get("counts", ()))
    if not any(counts) or len(edges) != len(counts) + 1:
        return None
    return Histogram(edges, counts, scores["possible_threshold"], scores["match_threshold"])


def draw_histogram(name: str, data: Histogram, width: int, height: int = 300, style: str = "") -> Markup:
    """Bars on a logarithmic count axis.

    Matches are a small part of the pairs compared: on a linear axis they would hardly be seen. The axis
    starts at one, and counts of 1 to 9 are drawn as 10. A picture outside the page brings its own ``style``.
    """
    data = _without_empty_start(data)
    axes = _Axes(data, left=60 if width < 500 else 76, right=width - 16, top=50, bottom=height - 44)
    parts = [element("style", style)] if style else []
    parts += [*_count_axis(axes), *_bars(data, axes), *_score_axis(axes)]
    parts += _threshold(axes, data.possible_threshold, "possible match from", row=1)
    parts += _threshold(axes, data.match_threshold, "match from", row=0)
    return picture(
        name, width, height, "Histogram of scores", _describe(data), parts, margin=16 if style else 0
    )


class _Axes:
    """Where scores and counts lie in the picture, in its own units."""

    def __init__(self, data: Histogram, left: float, right: float, top: float, bottom: float) -> None:
        self.left, self.right, self.top, self.bottom = left, right, top, bottom
        self.low, self.high = data.edges[0], data.edges[-1]
        # A little room above keeps the fullest bar off the thresholds' labels.
        self.decades = max(2.0, math.log10(drawn_count(max(data.counts))) * 1.02)

    def x(self, score: float) -> float:
        return self.left + (score - self.low) / (self.high - self.low) * (self.right - self.left)

    def y(self, count: int) -> float:
        height = math.log10(count) / self.decades if count else 0.0
        return self.bottom - height * (self.bottom - self.top)


def _without_empty_start(data: Histogram) -> Histogram:
    """Drop the empty bins below the lowest score, but none from the possible threshold on."""
    bins = enumerate(data.counts)
    first = next(k for k, count in bins if count or data.edges[k + 1] >= data.possible_threshold)
    return Histogram(data.edges[first:], data.counts[first:], data.possible_threshold, data.match_threshold)


def _bars(data: Histogram, axes: _Axes) -> list[Markup]:
    bars = []
    for (low, high), count in zip(pairwise(data.edges), data.counts, strict=True):
        if count:
            top, left = axes.y(drawn_count(count)), axes.x(low)
            words = f"{low:.2f} to {high:.2f}: {suppress_small(count)} links"
            width = max(axes.x(high) - left - 1, 0.5)
            bars.append(
                rect(_bar_kind(low, high, data), left + 0.5, top, width, axes.bottom - top, title=words)
            )
    return bars


def _bar_kind(low: float, high: float, data: Histogram) -> str:
    middle = (low + high) / 2
    if middle >= data.match_threshold:
        return "bar match"
    return "bar possible" if middle >= data.possible_threshold else "bar none"


def _count_axis(axes: _Axes) -> list[Markup]:
    parts = [text(0, 14, "Links (log scale)", "axis", "start")]
    for power in range(1, int(axes.decades) + 1):
        y = axes.y(10**power)
        parts.append(line("grid", axes.left, y, axes.right, y))
        parts.append(text(axes.left - 8, y + 4, _short_number(10**power), "tick", "end"))
    return parts


def _short_number(value: int) -> str:
    return f"{value // 10**6:,} m" if value >= 10**6 else f"{value:,}"


def _score_axis(axes: _Axes) -> list[Markup]:
    step = 0.1 if axes.high - axes.low > 0.35 else 0.05
    first, last = math.ceil(axes.low / step - 1e-9), math.floor(axes.high / step + 1e-9)
    middle = (axes.left + axes.right) / 2
    ticks = [
        text(axes.x(k * step), axes.bottom + 17, f"{k * step:.2f}", "tick", "middle")
        for k in range(first, last + 1)
    ]
    return [
        line("axis-line", axes.left, axes.bottom, axes.right, axes.bottom),
        *ticks,
        text(middle, axes.bottom + 38, "Probability that the link is true", "axis", "middle"),
    ]


def _threshold(axes: _Axes, score: float, words: str, row: int) -> list[Markup]:
    """A dashed line, labelled in a row of its own on the side with room, so that two labels never meet."""
    if not axes.low <= score <= axes.high:
        return []
    x, y = axes.x(score), axes.top - 20 + 18 * row
    rightwards = row == 0 and axes.right - x > 115
    label = text(
        x + (6 if rightwards else -6), y, f"{words} {score:.2f}", "mark", "start" if rightwards else "end"
    )
    return [line("threshold", x, axes.top - 30, x, axes.bottom), label]


def _describe(data: Histogram) -> str:
    tallest = max(range(len(data.counts)), key=data.counts.__getitem__)
    low, high = data.edges[tallest], data.edges[tallest + 1]
    return (
        f"One-to-one links, by probability from {data.edges[0]:.2f} to {data.edges[-1]:.2f}. "
        f"The fullest bar, {low:.2f} to {high:.2f}, holds {suppress_small(data.counts[tallest])} links. "
        f"Possible matches from {data.possible_threshold:.2f}, matches from {data.match_threshold:.2f}."
    )
