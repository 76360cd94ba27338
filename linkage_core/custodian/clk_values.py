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

import numpy as np
import numpy.typing as npt

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
    faults: Faults = {}
    if max(map(len, values), default=0) > LONGEST_VALUE_CHARS:
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
        lengths = list(map(len, values))
        if lengths and not least <= min(lengths) <= max(lengths) <= most:
            for i, length in enumerate(lengths):
                if not least <= length <= most:
                    faults.setdefault(i, "R-LENGTH")
    if form.case == "upper":
        _note(faults, values, lambda value: value.upper() != value, "R-CASE")
    elif form.case == "lower":
        _note(faults, values, lambda value: value.lower() != value, "R-CASE")


def _format_integers(values: Sequence[str], form: IntegerFormat, faults: Faults, *, check: bool) -> list[str]:
    if form.minimum is None and form.maximum is None and _all_plain_integers(values):
        return list(values)
    try:
        numbers: list[int | None] = list(map(int, values))  # nearly always all are, and this is quick
    except ValueError:
        numbers = [_read_integer(value) for value in values]
    for i, number in enumerate(numbers):
        if number is None:
            faults.setdefault(i, "R-INTEGER")
    if check and (form.minimum is not None or form.maximum is not None):
        for i, number in enumerate(numbers):
            below = number is not None and form.minimum is not None and number < form.minimum
            above = number is not None and form.maximum is not None and number > form.maximum
            if below or above:
                faults.setdefault(i, "R-RANGE")
    return ["" if number is None else str(number) for number in numbers]


def _all_plain_integers(values: Sequence[str]) -> bool:
    """Whether every value is digits without a leading zero, so that ``str(int(value))`` is the value."""
    joined = "".join(values)
    return (
        joined.isascii()
        and joined.isdigit()
        and "" not in values
        and "0" not in {value[0] for value in values}
        and max(map(len, values)) <= _MOST_DIGITS
    )


def _read_integer(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _format_dates(values: Sequence[str], date_format: str, faults: Faults) -> list[str]:
    texts = _read_fixed_width(values, date_format)
    for i, text in enumerate(texts):
        if text:
            continue
        read = _read_date(values[i], date_format)
        if read is None:
            faults.setdefault(i, "R-DATE-FORMAT")
        texts[i] = read or ""
    return texts


def _read_date(value: str, date_format: str) -> str | None:
    try:
        date = dt.datetime.strptime(value, date_format)
    except (ValueError, OverflowError, re.error):
        return None
    # The C library of Linux, on which clkhash's vectors were made, writes years before 1000 without zeros.
    return f"{date.year}{date.month:02d}{date.day:02d}"


def _read_fixed_width(values: Sequence[str], date_format: str) -> list[str]:
    """Well-formed dates read all at once, a hundred times as fast as strptime; "" for what that must judge.

    It reads formats of ``%Y``, ``%m`` and ``%d``, each once, and punctuation, from the year 1000 on.
    """
    texts = [""] * len(values)
    template = _fixed_width_template(date_format)
    if template is None:
        return texts
    width = len(template)
    places = [i for i, value in enumerate(values) if len(value) == width and value.isascii()]
    if not places:
        return texts
    characters = np.frombuffer("".join([values[i] for i in places]).encode("ascii"), np.uint8)
    characters = characters.reshape(-1, width)
    letters = np.frombuffer(template.encode("ascii"), np.uint8)
    order = [at for part in "Ymd" for at, letter in enumerate(template) if letter == part]
    digits = characters[:, order]
    literal = ~np.isin(letters, np.frombuffer(b"Ymd", np.uint8))
    sound = (digits >= _ZERO).all(axis=1) & (digits <= _ZERO + 9).all(axis=1)
    sound &= (characters[:, literal] == letters[literal]).all(axis=1)
    sound &= _are_dates(digits.astype(np.int64) - _ZERO)
    joined = np.ascontiguousarray(digits[sound]).tobytes().decode("ascii")
    for at, i in enumerate(np.asarray(places)[sound].tolist()):
        texts[i] = joined[8 * at : 8 * at + 8]
    return texts


def _are_dates(digits: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether rows of eight digits are days of the calendar, from the year 1000 on."""
    year = digits[:, :4] @ np.array([1000, 100, 10, 1])
    month, day = digits[:, 4] * 10 + digits[:, 5], digits[:, 6] * 10 + digits[:, 7]
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _LAST_DAYS[np.clip(month, 0, 12)] + ((month == 2) & leap)
    sound: npt.NDArray[np.bool_] = (year >= 1000) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= last)
    return sound


_MOST_DIGITS = 4000
"""Below the length from which Python refuses to read a number."""

_ZERO = ord("0")
_LAST_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _fixed_width_template(date_format: str) -> str | None:
    """The format with a letter for each digit, such as YYYY-mm-dd; None for formats of other parts."""
    steps = re.findall(r"%.|[-/.:_]|.", date_format, flags=re.DOTALL)
    if sorted(step for step in steps if len(step) > 1) != ["%Y", "%d", "%m"]:
        return None
    if any(len(step) == 1 and step not in "-/.:_" for step in steps):
        return None
    return "".join({"%Y": "YYYY", "%m": "mm", "%d": "dd"}.get(step, step) for step in steps)
