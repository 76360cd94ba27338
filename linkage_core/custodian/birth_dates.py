"""Dates of birth: declared formats only, real days only, placeholders as missing. Zone: custodian."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from linkage_core.custodian.source_format import SourceFormat, calendar_date
from linkage_core.custodian.text_folding import stands_for_missing

PLACEHOLDER_YEARS = frozenset({0, 1, 9999})
PLACEHOLDER_DAYS = frozenset(
    {"19000101", "18991230", "18991231", "17530101", "11111111", "20991231", "29991231"}
)
"""Zero days and ceilings of databases and spreadsheets. 1970-01-01 is left alone: people were born on it."""


@dataclass(frozen=True)
class BirthDate:
    """A parsed date: its YYYYMMDD ``text``, or None and, unless merely missing, the rule it broke."""

    text: str | None
    broken_rule: str | None = None


MISSING_DATE = BirthDate(None)


def parse_birth_date(
    folded: str,
    patterns: tuple[re.Pattern[str], ...],
    source_format: SourceFormat,
    as_of: dt.date | None = None,
) -> BirthDate:
    """Read folded text by the declared formats; no other text is a date.

    A placeholder is missing and breaks no rule. Otherwise R-DATE-FORMAT when no declared format fits,
    R-DATE-IMPOSSIBLE for a day that no calendar has, R-DATE-RANGE for a year outside the declared range or a
    day after ``as_of``.
    """
    if folded == "" or stands_for_missing(folded):
        return MISSING_DATE
    match = next(filter(None, (pattern.fullmatch(folded) for pattern in patterns)), None)
    if match is None:
        return BirthDate(None, "R-DATE-FORMAT")
    text = match["year"] + match["month"] + match["day"]
    if int(match["year"]) in PLACEHOLDER_YEARS or text in PLACEHOLDER_DAYS:
        return MISSING_DATE
    day = calendar_date(int(match["year"]), int(match["month"]), int(match["day"]))
    if day is None:
        return BirthDate(None, "R-DATE-IMPOSSIBLE")
    plausible = source_format.earliest_birth_year <= day.year <= source_format.latest_birth_year
    if not plausible or (as_of is not None and day > as_of):
        return BirthDate(None, "R-DATE-RANGE")
    return BirthDate(text)
