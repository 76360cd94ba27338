"""The flow of records through the night's stages as a picture, in a wide and a narrow form.

Zone: linkage unit. Geometry only: a box for each stage, a line for each passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .report_figures import CustodianFigures
from .report_svg import curve, element, fitted, path, picture, rect, text
from .report_wording import NOT_RECORDED, drawn_count, share, suppress_small

_BOX = 62
_OUTCOME = 106


@dataclass(frozen=True)
class NightFlow:
    """What the picture shows; counts are None where they are not recorded."""

    custodians: Sequence[CustodianFigures]
    pairs: int | None
    match: int | None
    possible: int | None

    @property
    def decisions(self) -> tuple[tuple[str, str, int | None], ...]:
        """(kind, label, count) of the two decisions that link."""
        return ("match", "matches", self.match), ("possible", "possible matches", self.possible)


def draw_flow(name: str, flow: NightFlow) -> Markup:
    """Records through the stages from left to right, 960 px wide."""
    pitch = 138
    height = pitch * max(len(flow.custodians), 1)
    middle = height / 2
    lines, boxes = [], [_box(352, middle - 31, 140, "pairs compared", flow.pairs)]
    for k, custodian in enumerate(flow.custodians):
        top = pitch * k + 24
        boxes += [*_intake(custodian, 172, top, 126), *_outcome(custodian, 744, top - 8, 216)]
        lines.append(curve((298, top + 31), (352, middle), "plain"))
        if custodian.linked is not None:
            lines.append(curve((684, middle - 42), (744, top + 40), "match"))
            lines.append(curve((684, middle + 42), (744, top + 50), "possible"))
    for (kind, label, count), row in zip(flow.decisions, (-42, 42), strict=True):
        lines.append(curve((492, middle), (546, middle + row), kind))
        boxes.append(_box(546, middle + row - 31, 138, label, count, kind))
    return picture(name, 960, height, _TITLE, _describe(flow), [*lines, *boxes])


def draw_narrow_flow(name: str, flow: NightFlow) -> Markup:
    """The same from top to bottom, for a phone, 358 px wide."""
    pitch, lines, boxes = 134, [], []
    middle = pitch * len(flow.custodians) + 12
    for k, custodian in enumerate(flow.custodians):
        top = pitch * k + 24
        boxes += _intake(custodian, 194, top, 146)
        lines.append(path(f"M340 {top + 31}h6q6 0 6 6V{middle + 25}q0 6-6 6H270", "plain"))
    boxes.append(_box(88, middle, 182, "pairs compared", flow.pairs))
    for (kind, label, count), x in zip(flow.decisions, (0, 188), strict=True):
        lines.append(curve((179, middle + _BOX), (x + 85, middle + 98), kind, downwards=True))
        boxes.append(_box(x, middle + 98, 170, label, count, kind))
    bottom = middle + 176
    for custodian in flow.custodians:
        outcome = _outcome(custodian, 0, bottom, 358)
        boxes += outcome
        bottom += _OUTCOME + 12 if outcome else 0
    return picture(name, 358, bottom, _TITLE, _describe(flow), [*lines, *boxes])


def _intake(custodian: CustodianFigures, x: float, top: float, width: float) -> list[Markup]:
    """Extracted, a line, delivered (at ``x``); what was rejected falls off the line."""
    middle = (width + x) / 2
    return [
        text(0, top - 8, fitted(custodian.name, 40), "name", "start"),
        path(f"M{width} {top + 31}H{x}", "plain"),
        path(f"M{middle} {top + 31}v44", "dropped"),
        _box(0, top, width, "extracted", custodian.extracted),
        _box(x, top, width, "delivered", custodian.delivered),
        text(middle, top + 90, f"{suppress_small(custodian.rejected)} rejected", "label", "middle"),
    ]


def _outcome(custodian: CustodianFigures, x: float, top: float, width: float) -> list[Markup]:
    """How one custodian's delivered records ended, as a bar in three parts; nothing where it is unknown."""
    if custodian.linked is None:
        return []
    endings = [
        ("match", "linked", custodian.linked),
        ("possible", "possible", custodian.possible or 0),
        ("none", "no link", custodian.unlinked or 0),
    ]
    parts = [
        rect("box", x + 0.5, top + 0.5, width - 1, _OUTCOME - 1, 8),
        text(x + 12, top + 21, fitted(custodian.name, int(width / 8)), "name", "start"),
        *_stacked_bar([(kind, count) for kind, _, count in endings], x + 12, top + 30, width - 24),
    ]
    for k, (kind, label, count) in enumerate(endings):
        y, shown = top + 58 + 18 * k, share(count, custodian.delivered)
        parts += [
            rect(f"bar {kind}", x + 12, y - 9, 9, 9, 2),
            text(x + 27, y, label, "label", "start"),
            text(x + width - 62, y, suppress_small(count), "small-value", "end"),
            text(x + width - 12, y, "" if shown == NOT_RECORDED else shown, "label", "end"),
        ]
    return parts


def _stacked_bar(parts: Sequence[tuple[str, int]], x: float, y: float, width: float) -> list[Markup]:
    total = sum(drawn_count(count) for _, count in parts) or 1
    bars = []
    for kind, count in parts:
        length = width * drawn_count(count) / total
        bars.append(rect(f"bar {kind}", x, y, length, 8))
        x += length
    return bars


def _box(x: float, y: float, width: float, label: str, count: int | None, kind: str = "plain") -> Markup:
    return element(
        "g",
        rect(f"box {kind}", x + 0.5, y + 0.5, width - 1, _BOX - 1, 8),
        text(x + width / 2, y + 28, suppress_small(count), "value", "middle"),
        text(x + width / 2, y + 48, label, "label", "middle"),
    )


_TITLE = "Flow of records through the night"


def _describe(flow: NightFlow) -> str:
    words = [
        f"{c.name}: {suppress_small(c.extracted)} records extracted, {suppress_small(c.rejected)} rejected, "
        f"{suppress_small(c.delivered)} delivered, {suppress_small(c.linked)} linked, "
        f"{suppress_small(c.possible)} possibly linked, {suppress_small(c.unlinked)} without a link."
        for c in flow.custodians
    ]
    ends = f"{suppress_small(flow.match)} matches and {suppress_small(flow.possible)} possible matches"
    return " ".join([*words, f"{suppress_small(flow.pairs)} pairs compared, {ends}."])
