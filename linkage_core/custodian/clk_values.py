"""A column's distinct values, checked and formatted as a linkage schema's feature says. Zone: custodian.

A value that breaks its feature's format gets a reason code and is not hashed; clkhash gives up at the first.
Formatting is clkhash's: an integer is hashed as ``str(int)``, a date as ``%Y%m%d``, everything else as it is,
and a missing value's sentinel is neither checked nor formatted but replaced.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from linkage_core.protocol.linkage_schema import (
    DateFormat,
    EnumFormat,
    Feature,
    Format,
    IntegerFormat,
    NumericComparison,
    StringFormat,
)

LONGEST_VALUE_CHARS = 10_000
"""Longer values are refused, so that one broken value cannot keep a regular expression busy for hours."""

SCHEMA_RULES: Mapping[str, str] = MappingProxyType(
    {
        "R-SURROGATE": "a text is not valid in the declared encoding",
        "R-TOO-LONG": f"a text is longer than {LONGEST_VALUE_CHARS} characters",
        "R-ENCODING": "a text has a character that the feature's encoding has not",
        "R-PATTERN": "a text does not match the feature's pattern",
        "R-LENGTH": "a text is shorter or longer than the feature allows",
        "R-CASE": "a text is not in the feature's case",
        "R-INTEGER": "a value is not a whole number, or is empty where the schema has no sentinel for that",
        "R-RANGE": "a number is outside the feature's minimum and maximum",
        "R-DATE-FORMAT": "a value is no date in the feature's format",
        "R-ENUM": "a value is not in the feature's list",
        "R-NUMBER": "a value of a numeric comparison is not a number",
    }
)
"""Reason codes of values that break a linkage schema; the codes are stable."""

Faults = dict[int, str]
"""Reason code by index of the value."""


def check_values(values: Sequence[str], feature: Feature, *, check: bool = True) -> tuple[list[str], Faults]:
    """Format a feature's distinct values for hashing.

    Parameters
    ----------
    values : sequence of str
        Distinct values as they came, without lone surrogates.
    feature : Feature
        Not an ignored one.
    check : bool
        False checks only what hashing itself needs, as clkhash does without validation.

    Returns
    -------
    texts : list of str
        As long as ``values``; empty for a value at fault.
    faults : dict of int to str
        Reason code of each value at fault.
    """
    hashing, form = feature.hashing, feature.format
    if hashing is None or form is None:
        return [""] * len(values), {}
    faults = {i: "R-TOO-LONG" for i, value in enumerate(values) if len(value) > LONGEST_VALUE_CHARS}
    texts = _format_values(values, form, faults, check=check)
    if hashing.missing is not None:
        _replace_missing(values, texts, faults, hashing.missing.sentinel, hashing.missing.replacement)
    if isinstance(form, StringFormat) and form.encoding == "ascii":
        _note(faults, texts, lambda text: not text.isascii(), "R-ENCODING")
    if isinstance(hashing.comparison, NumericComparison):
        comparison = hashing.comparison
        _note(
            faults, texts, lambda text: text != "" and quantise_number(text, comparison) is None, "R-NUMBER"
        )
    for i in faults:
        texts[i] = ""
    return texts, faults


def quantise_number(text: str, comparison: NumericComparison) -> int | None:
    """The number on the grid of ``comparison.interval``, in units of 1/(2 x resolution); None if it is none.

    Half-way cases go up, as in clkhash.
    """
    number = _parse_number(text, comparison.fractional_precision)
    if number is None:
        return None
    number *= 2 * comparison.resolution
    residue = number % comparison.interval
    return number - residue if residue < comparison.interval / 2 else number - residue + comparison.interval


def _parse_number(text: str, digits: int) -> int | None:
    scale: int = 10**digits
    try:
        return int(text, 10) * scale
    except ValueError:
        pass
    try:
        number = float(text)
        return int(round(number * scale)) if digits else int(number)
    except (ValueError, OverflowError):  # no number, not a number, or infinite
        return None


def _note(faults: Faults, texts: Sequence[str], is_wrong: Callable[[str], bool], code: str) -> None:
    for i, text in enumerate(texts):
        if is_wrong(text):
            faults.setdefault(i, code)


def _replace_missing(
    values: Sequence[str], texts: list[str], faults: Faults, sentinel: str, replacement: str
) -> None:
    # Distinct values: the sentinel is there once or not at all.
    if sentinel in values:
        at = values.index(sentinel)
        texts[at] = replacement
        faults.pop(at, None)


def _format_values(values: Sequence[str], form: Format, faults: Faults, *, check: bool) -> list[str]:
    if isinstance(form, IntegerFormat):
        return _format_integers(values, form, faults, check=check)
    if isinstance(form, DateFormat):
        return _format_dates(values, form.format, faults)
    if check and isinstance(form, EnumFormat):
        _note(faults, values, lambda value: value not in form.values, "R-ENUM")
    if check and isinstance(form, StringFormat):
        _check_strings(values, form, faults)
    return list(values)


def _check_strings(values: Sequence[str], form: StringFormat, faults: Faults) -> None:
    if form.pattern is not None:
        matches = re.compile(form.pattern).fullmatch
        for i, value in enumerate(values):
            if i not in faults and matches(value) is None:
                faults[i] = "R-PATTERN"
        return
    if form.min_length is not None or form.max_length is not None:
        least, most = form.min_length or 0, form.max_length or LONGEST_VALUE_CHARS
        for i, length in enumerate(map(len, values)):
            if not least <= length <= most:
                faults.setdefault(i, "R-LENGTH")
    if form.case == "upper":
        _note(faults, values, lambda value: value.upper() != value, "R-CASE")
    elif form.case == "lower":
        _note(faults, values, lambda value: value.lower() != value, "R-CASE")


def _format_integers(values: Sequence[str], form: IntegerFormat, faults: Faults, *, check: bool) -> list[str]:
    texts = []
    for i, value in enumerate(values):
        try:
            number = int(value, 10)
        except ValueError:
            faults.setdefault(i, "R-INTEGER")
            texts.append("")
            continue
        below = form.minimum is not None and number < form.minimum
        if check and (below or form.maximum is not None and number > form.maximum):
            faults.setdefault(i, "R-RANGE")
        texts.append(str(number))
    return texts


def _format_dates(values: Sequence[str], date_format: str, faults: Faults) -> list[str]:
    read = _fixed_width_reader(date_format) or (lambda value: None)
    texts = []
    for i, value in enumerate(values):
        text = read(value) or _read_date(value, date_format)
        if text is None:
            faults.setdefault(i, "R-DATE-FORMAT")
        texts.append(text or "")
    return texts


def _read_date(value: str, date_format: str) -> str | None:
    try:
        date = dt.datetime.strptime(value, date_format)
    except (ValueError, OverflowError, re.error):
        return None
    # The C library of Linux, on which clkhash's vectors were made, writes years before 1000 without zeros.
    return f"{date.year}{date.month:02d}{date.day:02d}"


def _fixed_width_reader(date_format: str) -> Callable[[str], str | None] | None:
    """A quick reader of well-formed dates, ten times as fast as strptime; None for what strptime must judge.

    It reads formats of ``%Y``, ``%m`` and ``%d``, each once, and punctuation.
    """
    widths = {"%Y": 4, "%m": 2, "%d": 2}
    steps = re.findall(r"%.|[-/.:_]|.", date_format, flags=re.DOTALL)
    if sorted(step for step in steps if len(step) > 1) != ["%Y", "%d", "%m"]:
        return None
    if any(len(step) == 1 and step not in "-/.:_" for step in steps):
        return None
    starts, at = {}, 0
    for step in steps:
        starts[step] = at
        at += widths.get(step, 1)
    literals = "".join(step if len(step) == 1 else "0" * widths[step] for step in steps)
    year, month, day = starts["%Y"], starts["%m"], starts["%d"]

    def read(value: str) -> str | None:
        if len(value) != len(literals) or not value.isascii():
            return None
        y, m, d = value[year : year + 4], value[month : month + 2], value[day : day + 2]
        text = y + m + d
        if not text.isdigit() or value.translate(_DIGITS_TO_ZERO) != literals or y < "1000":
            return None
        try:
            dt.date(int(y), int(m), int(d))
        except ValueError:
            return None
        return text

    return read


_DIGITS_TO_ZERO = str.maketrans("123456789", "000000000")
