"""Whole columns of dates of birth. Zone: custodian.

:func:`linkage_core.custodian.birth_dates.parse_birth_date` says what a date is, one text at a time; the property tests
hold these columns against it. A declared format has a fixed width, so a column of dates is a table of characters.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.birth_dates import PLACEHOLDER_DAYS, PLACEHOLDER_YEARS
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import text_buffers

_PART_WIDTHS = {"%Y": 4, "%m": 2, "%d": 2}
_DAYS_OF_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_PLACEHOLDER_NUMBERS = np.array(sorted(int(day) for day in PLACEHOLDER_DAYS))
_PLACEHOLDER_YEARS = np.array(sorted(PLACEHOLDER_YEARS))


@dataclass(frozen=True)
class BirthDates:
    """Dates of a column.

    Attributes
    ----------
    digits : ndarray of uint8, shape (n, 8)
        YYYYMMDD in ASCII where a date is usable.
    usable : ndarray of bool, shape (n,)
        A real day in a declared format, no placeholder, within the declared years and not after ``as_of``. The
        others are missing or break a rule: :func:`linkage_core.custodian.birth_dates.parse_birth_date` says which.
    """

    digits: npt.NDArray[np.uint8] = field(repr=False)
    usable: npt.NDArray[np.bool_] = field(repr=False)


def read_birth_dates(
    folded: pa.Array, source_format: SourceFormat, as_of: dt.date | None = None
) -> BirthDates:
    """Read folded texts by the declared formats, of which a text satisfies one at most."""
    data, offsets = text_buffers(folded)
    digits, usable = np.zeros((len(folded), 8), np.uint8), np.zeros(len(folded), np.bool_)
    for date_format in source_format.date_formats:
        shape, places = _shape(date_format)
        rows = np.flatnonzero(np.diff(offsets) == len(shape))
        if not len(rows):
            continue
        characters = data[offsets[rows][:, None] + np.arange(len(shape))]
        found = _has_shape(characters, shape)
        rows, parts = rows[found], characters[found][:, places]
        digits[rows] = parts
        usable[rows] = _usable(parts.astype(np.int64) - ord("0"), source_format, as_of)
    return BirthDates(digits, usable)


def _shape(date_format: str) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """The format's characters, 9 for a digit; and the places of the digits of year, month and day."""
    shape, places = "", {}
    for step in re.findall(r"%.|[^%]", date_format, flags=re.DOTALL):
        width = _PART_WIDTHS.get(step, 0)
        places[step] = list(range(len(shape), len(shape) + width))
        shape += "9" * width if width else step.lower()
    order = [*places["%Y"], *places["%m"], *places["%d"]]
    return np.frombuffer(shape.encode("ascii"), np.uint8), order


def _has_shape(characters: npt.NDArray[np.uint8], shape: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    is_digit = (characters >= ord("0")) & (characters <= ord("9"))
    return np.asarray(np.where(shape == ord("9"), is_digit, characters == shape).all(axis=1), np.bool_)


def _usable(
    parts: npt.NDArray[np.int64], source_format: SourceFormat, as_of: dt.date | None
) -> npt.NDArray[np.bool_]:
    year = parts[:, :4] @ np.array([1000, 100, 10, 1])
    month, day = parts[:, 4] * 10 + parts[:, 5], parts[:, 6] * 10 + parts[:, 7]
    number = year * 10_000 + month * 100 + day
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    real: npt.NDArray[np.bool_] = (month >= 1) & (month <= 12) & (day >= 1)
    real = np.asarray(
        real & (day <= _DAYS_OF_MONTH[np.where(real, month, 0)] + (leap & (month == 2))), np.bool_
    )
    usable: npt.NDArray[np.bool_] = (
        real & (year >= source_format.earliest_birth_year) & (year <= source_format.latest_birth_year)
    )
    if as_of is not None:
        usable &= number <= as_of.year * 10_000 + as_of.month * 100 + as_of.day
    return usable & ~np.isin(year, _PLACEHOLDER_YEARS) & ~np.isin(number, _PLACEHOLDER_NUMBERS)
