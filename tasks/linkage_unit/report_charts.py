"""The report's two pictures as inline SVG: the histogram of scores and the flow of records.

Zone: linkage unit. Geometry only; colours are CSS classes that the page (or the artifact) defines, so that one
drawing serves light, dark and paper. Everything drawn is escaped, and no length tells a count under ten apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from .report_figures import CustodianFigures
from .report_wording import NOT_RECORDED, drawn_count, share, suppress_small


@dataclass(frozen=True)
class Histogram:
    """Counts between consecutive ``edges`` (one more than counts), and the two thresholds on the same axis."""

    edges: Sequence[float]
    counts: Sequence[int]
    possible_threshold: float
    match_threshold: float


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """An SVG element with everything escaped; ``_`` in an attribute's name is ``-``, a trailing one is dropped."""
    words = [f'{k.rstrip("_").replace("_", "-")}="{escape(_number(v))}"' for k, v in attributes.items()]
    opening = Markup(" ".join([tag, *words]))  # noqa: S704 - names are ours, values were escaped
    return Markup("<{}>{}</{}>").format(opening, Markup("").join(children), Markup(tag))  # noqa: S704


def picture(name: str, width: float, height: float, title: str, text: str, parts: Sequence[Markup]) -> Markup:
    """An ``svg`` with title and description that a screen reader announces; ``name`` makes their ids unique."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", text, id=f"{name}-desc"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def draw_histogram(name: str, data: Histogram, width: int, height: int = 300) -> Markup | None:
    """Bars on a logarithmic count axis, both thresholds marked; None when there is nothing to draw.

    Matches are a thousandth of the pairs compared: on a linear axis they would not be seen. The axis starts at one
    and counts of 1 to 9 are drawn as 10.
    """
    if not any(data.counts) or len(data.edges) != len(data.counts) + 1:
        return None
    data = _without_empty_start(data)
    axes = _Axes(data, left=64 if width < 500 else 76, right=width - 8, top=46, bottom=height - 44)
    parts = [*_count_axis(axes), *_bars(data, axes), *_score_axis(axes)]
    parts += _threshold(axes, data.possible_threshold, "possible", "possible match from", row=1)
    parts += _threshold(axes, data.match_threshold, "match", "match from", row=0)
    return picture(name, width, height, "Score histogram", _describe(data), parts)


class _Axes:
    """Where scores and counts lie in the picture, in its own units."""

    def __init__(self, data: Histogram, left: float, right: float, top: float, bottom: float) -> None:
        self.left, self.right, self.top, self.bottom = left, right, top, bottom
        self.low, self.high = data.edges[0], data.edges[-1]
        self.decades = max(2, math.ceil(math.log10(drawn_count(max(data.counts)))))

    def x(self, score: float) -> float:
        return self.left + (score - self.low) / (self.high - self.low) * (self.right - self.left)

    def y(self, count: int) -> float:
        height = math.log10(count) / self.decades if count else 0.0
        return self.bottom - height * (self.bottom - self.top)


def _without_empty_start(data: Histogram) -> Histogram:
    """Drop the empty bins below the lowest score, but none at or above the possible threshold."""
    first = next(k for k, count in enumerate(data.counts) if count or data.edges[k + 1] >= data.possible_threshold)
    return Histogram(data.edges[first:], data.counts[first:], data.possible_threshold, data.match_threshold)


def _bars(data: Histogram, axes: _Axes) -> list[Markup]:
    bars = []
    for (low, high), count in zip(pairwise(data.edges), data.counts, strict=True):
        if count:
            words = f"{low:.2f} to {high:.2f}: {suppress_small(count)} pairs"
            top, left = axes.y(drawn_count(count)), axes.x(low)
            bars.append(
                element(
                    "rect",
                    element("title", words),
                    class_=f"bar {_decision(low, high, data)}",
                    x=left + 0.5,
                    y=top,
                    width=max(axes.x(high) - left - 1, 0.5),
                    height=axes.bottom - top,
                )
            )
    return bars


def _decision(low: float, high: float, data: Histogram) -> str:
    middle = (low + high) / 2
    return "match" if middle >= data.match_threshold else "possible" if middle >= data.possible_threshold else "none"


def _count_axis(axes: _Axes) -> list[Markup]:
    parts = [_text(axes.left, 14, "Pairs (logarithmic)", "axis", "start" if axes.left > 70 else "middle")]
    for power in range(1, axes.decades + 1):
        y = axes.y(10**power)
        parts.append(element("line", class_="grid", x1=axes.left, x2=axes.right, y1=y, y2=y))
        parts.append(_text(axes.left - 8, y + 4, _short_number(10**power), "tick", "end"))
    return parts


def _short_number(value: int) -> str:
    return f"{value // 10**6:,} million" if value >= 10**6 else f"{value:,}"


def _score_axis(axes: _Axes) -> list[Markup]:
    step = 0.1 if axes.high - axes.low > 0.35 else 0.05
    ticks = [k * step for k in range(math.ceil(axes.low / step - 1e-9), math.floor(axes.high / step + 1e-9) + 1)]
    parts = [element("line", class_="axis-line", x1=axes.left, x2=axes.right, y1=axes.bottom, y2=axes.bottom)]
    parts += [_text(min(axes.x(t), axes.right - 10), axes.bottom + 17, f"{t:.2f}", "tick", "middle") for t in ticks]
    middle = (axes.left + axes.right) / 2
    return [*parts, _text(middle, axes.bottom + 38, "Score: Dice similarity of two encodings", "axis", "middle")]


def _threshold(axes: _Axes, score: float, kind: str, words: str, row: int) -> list[Markup]:
    """A dashed line with its label beside it, on the side that has room, so that two labels never meet."""
    if not axes.low <= score <= axes.high:
        return []
    x, y = axes.x(score), axes.top - 14 + 16 * row
    to_right = row == 0 and axes.right - x > 110
    line = element("line", class_=f"threshold {kind}", x1=x, x2=x, y1=axes.top - 24, y2=axes.bottom)
    label = _text(x + (6 if to_right else -6), y, f"{words} {score:.2f}", "mark", "start" if to_right else "end")
    return [line, label]


def _describe(data: Histogram) -> str:
    tallest = max(range(len(data.counts)), key=data.counts.__getitem__)
    return (
        f"Pairs compared, by score from {data.edges[0]:.2f} to {data.edges[-1]:.2f}. Most pairs, "
        f"{suppress_small(data.counts[tallest])}, score {data.edges[tallest]:.2f} to {data.edges[tallest + 1]:.2f}. "
        f"Possible matches from {data.possible_threshold:.2f}, matches from {data.match_threshold:.2f}."
    )


def draw_flow(
    name: str, custodians: Sequence[CustodianFigures], pairs: int | None, match: int | None, possible: int | None
) -> Markup:
    """Records through the stages, left to right, for a page of 700 px and more."""
    pitch, box, column = 138, 62, (0, 196, 396, 602, 776)
    height = pitch * max(len(custodians), 1)
    middle = height / 2
    lines, boxes = [], [_box(column[2], middle - 31, 150, box, "pairs compared", pairs)]
    for k, custodian in enumerate(custodians):
        top = pitch * k + 24
        boxes += _intake(custodian, column[0], column[1], top, 140)
        lines.append(_curve(column[1] + 140, top + 31, column[2], middle))
        boxes += _outcome(custodian, column[4], top - 10, 184)
        for row, kind in ((-44, "match"), (44, "possible")):
            if custodian.linked is not None:
                lines.append(_curve(column[3] + 134, middle + row, column[4], top + 41, kind))
    for row, kind, label, count in ((-44, "match", "matches", match), (44, "possible", "possible matches", possible)):
        lines.append(_curve(column[2] + 150, middle, column[3], middle + row, kind))
        boxes.append(_box(column[3], middle + row - 31, 134, box, label, count, kind))
    return picture(name, 960, height, *_flow_words(custodians, pairs, match, possible), [*lines, *boxes])


def draw_narrow_flow(
    name: str, custodians: Sequence[CustodianFigures], pairs: int | None, match: int | None, possible: int | None
) -> Markup:
    """The same flow from top to bottom, for a phone: 358 px wide."""
    pitch, lines, boxes = 134, [], []
    middle = pitch * len(custodians) + 12
    for k, custodian in enumerate(custodians):
        top = pitch * k + 24
        boxes += _intake(custodian, 0, 192, top, 148)
        lines.append(_path(f"M340 {top + 31}h6q6 0 6 6V{middle + 25}q0 6-6 6H270"))
    boxes.append(_box(88, middle, 182, 62, "pairs compared", pairs))
    for x, kind, label, count in ((0, "match", "matches", match), (188, "possible", "possible matches", possible)):
        lines.append(_curve_down(179, middle + 62, x + 85, middle + 96, kind))
        boxes.append(_box(x, middle + 96, 170, 62, label, count, kind))
    bottom = middle + 182
    for custodian in (c for c in custodians if c.linked is not None):
        boxes += _outcome(custodian, 0, bottom, 358)
        bottom += 118
    return picture(name, 358, bottom, *_flow_words(custodians, pairs, match, possible), [*lines, *boxes])


def _intake(custodian: CustodianFigures, x: float, x2: float, top: float, width: float) -> list[Markup]:
    """Extracted, an arrow, delivered; what was rejected falls off the arrow."""
    middle = (x + width + x2) / 2
    return [
        _text(x, top - 8, _fitted(custodian.name, 34), "name", "start"),
        _path(f"M{x + width} {top + 31}H{x2}"),
        _path(f"M{middle} {top + 31}v44", "dropped"),
        _box(x, top, width, 62, "extracted", custodian.extracted),
        _box(x2, top, width, 62, "delivered", custodian.delivered),
        _text(middle, top + 90, f"{suppress_small(custodian.rejected)} rejected", "dropped", "middle"),
    ]


def _outcome(custodian: CustodianFigures, x: float, top: float, width: float) -> list[Markup]:
    """How one custodian's delivered records ended: a bar in three parts, and their counts."""
    rows = (("match", "linked", custodian.linked), ("possible", "possible", custodian.possible))
    rows = (*rows, ("none", "not linked", custodian.unlinked))
    if custodian.linked is None:
        return []
    parts = [
        element("rect", class_="box", x=x + 0.5, y=top + 0.5, width=width - 1, height=103, rx=8),
        _text(x + 12, top + 20, _fitted(custodian.name, int(width / 9)), "name", "start"),
    ]
    total = sum(drawn_count(count or 0) for _, _, count in rows) or 1
    left = x + 12
    for k, (kind, label, count) in enumerate(rows):
        length = (width - 24) * drawn_count(count or 0) / total
        parts.append(element("rect", class_=f"bar {kind}", x=left, y=top + 30, width=max(length, 0), height=8))
        left += length
        y = top + 57 + 18 * k
        parts.append(element("rect", class_=f"bar {kind}", x=x + 12, y=y - 9, width=9, height=9, rx=2))
        parts.append(_text(x + 27, y, f"{label} {_share_words(count, custodian.delivered)}", "label", "start"))
        parts.append(_text(x + width - 12, y, suppress_small(count), "small-value", "end"))
    return parts


def _share_words(count: int | None, whole: int | None) -> str:
    shown = share(count, whole)
    return "" if shown == NOT_RECORDED else f"· {shown}"


def _flow_words(
    custodians: Sequence[CustodianFigures], pairs: int | None, match: int | None, possible: int | None
) -> tuple[str, str]:
    words = [
        f"{c.name}: {suppress_small(c.extracted)} records extracted, {suppress_small(c.rejected)} rejected, "
        f"{suppress_small(c.delivered)} delivered, {suppress_small(c.linked)} linked, "
        f"{suppress_small(c.possible)} possibly linked, {suppress_small(c.unlinked)} not linked."
        for c in custodians
    ]
    words.append(
        f"{suppress_small(pairs)} pairs compared, {suppress_small(match)} matches, "
        f"{suppress_small(possible)} possible matches."
    )
    return "Flow of records through the night", " ".join(words)


def _box(
    x: float, y: float, width: float, height: float, label: str, count: int | None, kind: str = "plain"
) -> Markup:
    return element(
        "g",
        element("rect", class_=f"box {kind}", x=x + 0.5, y=y + 0.5, width=width - 1, height=height - 1, rx=8),
        _text(x + width / 2, y + 28, suppress_small(count), "value", "middle"),
        _text(x + width / 2, y + 48, label, "label", "middle"),
    )


def _text(x: float, y: float, words: str, kind: str, anchor: str) -> Markup:
    return element("text", escape(words), class_=kind, x=x, y=y, text_anchor=anchor)


def _path(d: str, kind: str = "plain") -> Markup:
    return element("path", class_=f"flow {kind}", d=d)


def _curve(x1: float, y1: float, x2: float, y2: float, kind: str = "plain") -> Markup:
    middle = _number((x1 + x2) / 2)
    return _path(f"M{x1} {_number(y1)}C{middle} {_number(y1)} {middle} {_number(y2)} {x2} {_number(y2)}", kind)


def _curve_down(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    middle = _number((y1 + y2) / 2)
    return _path(f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}", kind)


def _fitted(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _number(value: object) -> object:
    """Two decimals at most, the same on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
