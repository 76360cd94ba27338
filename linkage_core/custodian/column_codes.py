"""Codes of a whole column of values at once. Zone: custodian.

:data:`linkage_core.custodian.blocking_keys.BLOCKING_FUNCTIONS` says what a code is, one value at a time; nearly every
street is distinct, so there a call of Python for each value would cost more than all hashing. Here stand the same
codes over arrow columns; the property tests hold each against its function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.blocking_keys import (
    BLOCKING_FUNCTIONS,
    STREET_KINDS,
    STREET_START_LETTERS,
    year_sorted_day_month,
)
from linkage_core.custodian.text_columns import text_buffers

_SPACE, _ZERO, _NINE = 0x20, 0x30, 0x39
_SOUNDEX_CHARS, _DATE_DIGITS = 4, 8
_LONGEST_KIND = 8
"""Letters of a kind of street that fit into one 64-bit word; the table has none longer."""


def code_values(
    values: pa.Array, code: str, functions: Mapping[str, Callable[[str], str | None]] = BLOCKING_FUNCTIONS
) -> pa.Array:
    """Each value seen through a code; null where there is none.

    Parameters
    ----------
    values : pyarrow utf8 array
        Normalised values without nulls.
    functions : mapping of str to callable
        The codes' functions, for those that no column code is for, and for values that are not ASCII.
    """
    if code == "nickname_sound":
        return code_values(code_values(values, "nickname", functions), "soundex", functions)
    column_code = COLUMN_CODES.get(code)
    if column_code is not None and _is_lower_ascii(values):
        return column_code(values)
    function = functions[code]
    return pa.array([function(value) for value in values.to_pylist()], pa.utf8())


def _is_lower_ascii(values: pa.Array) -> bool:
    data, offsets = text_buffers(values)
    return bool(_lower_ascii_kernel(data[offsets[0] : offsets[-1]]))


def _slice(start: int, stop: int | None, values: pa.Array) -> pa.Array:
    return pc.utf8_slice_codeunits(values, start, stop)


def _year_sorted_day_month(dates: pa.Array) -> pa.Array:
    data, offsets = text_buffers(dates)
    if (np.diff(offsets) != _DATE_DIGITS).any():
        return pa.array([year_sorted_day_month(date) for date in dates.to_pylist()], pa.utf8())
    digits = data[offsets[0] : offsets[-1]].reshape(-1, _DATE_DIGITS).copy()
    month_last = (digits[:, 4:6] * (256, 1)).sum(axis=1) > (digits[:, 6:8] * (256, 1)).sum(axis=1)
    digits[month_last, 4:] = digits[month_last][:, [6, 7, 4, 5]]
    starts = np.arange(len(digits) + 1, dtype=np.int32) * _DATE_DIGITS
    return pa.StringArray.from_buffers(len(digits), pa.py_buffer(starts), pa.py_buffer(digits))


def _house_number(streets: pa.Array) -> pa.Array:
    data, offsets = text_buffers(streets)
    first, length = np.empty((2, len(streets)), np.int64)
    _house_number_kernel(data, offsets, first, length)
    return _pieces(data, first, length)


def _street_start(streets: pa.Array) -> pa.Array:
    data, offsets = text_buffers(streets)
    letters = np.zeros(STREET_START_LETTERS * len(streets), np.uint8)
    length = np.empty(len(streets), np.int64)
    _street_start_kernel(data, offsets, _STREET_KIND_WORDS, letters, length)
    return _pieces(letters, np.arange(len(streets), dtype=np.int64) * STREET_START_LETTERS, length)


def _soundex(names: pa.Array) -> pa.Array:
    data, offsets = text_buffers(names)
    letters = np.full(_SOUNDEX_CHARS * len(names), ord("0"), np.uint8)
    length = np.empty(len(names), np.int64)
    _soundex_kernel(data, offsets, _SOUNDEX_DIGITS, letters, length)
    return _pieces(letters, np.arange(len(names), dtype=np.int64) * _SOUNDEX_CHARS, length)


COLUMN_CODES: Mapping[str, Callable[[pa.Array], pa.Array]] = {
    "soundex": _soundex,
    "prefix1": partial(_slice, 0, 1),
    "prefix3": partial(_slice, 0, 3),
    "suffix3": partial(_slice, -3, None),
    "year": partial(_slice, 0, 4),
    "year_month": partial(_slice, 0, 6),
    "month_day": partial(_slice, 4, 8),
    "year_digit_month_day": partial(_slice, 3, 8),
    "year_sorted_day_month": _year_sorted_day_month,
    "decade": partial(_slice, 0, 3),
    "house_number": _house_number,
    "street_start": _street_start,
}


def _packed(word: str) -> int:
    """A word of at most eight letters as one number, its first letter highest."""
    return int.from_bytes(word.encode("ascii"), "big")


# 0 for a vowel, which parts two equal digits; -1 for h and w, which do not
_SOUNDEX_DIGITS = np.array([-1 if digit == "-" else int(digit) for digit in "0123012-02245501262301-202"])
_STREET_KIND_WORDS = np.array(sorted(_packed(word) for word in STREET_KINDS), np.uint64)


def _pieces(
    data: npt.NDArray[np.uint8], first: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> pa.Array:
    """``data[first[i]:first[i] + length[i]]`` as utf8, null where the length is 0."""
    offsets = np.zeros(len(length) + 1, np.int32)
    np.cumsum(length, out=offsets[1:])
    kept = np.empty(int(offsets[-1]), np.uint8)
    _gather_kernel(data, first, offsets, kept)
    pieces = pa.StringArray.from_buffers(len(length), pa.py_buffer(offsets), pa.py_buffer(kept))
    return pc.if_else(pa.array(length > 0), pieces, pa.scalar(None, pa.utf8()))


@numba.njit(cache=True, nogil=True)
def _lower_ascii_kernel(data):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    found = False
    for byte in data:
        found |= (byte >= 0x80) | ((byte >= 0x41) & (byte <= 0x5A))
    return not found


@numba.njit(cache=True, nogil=True)
def _gather_kernel(data, first, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(first)):
        for i in range(offsets[k + 1] - offsets[k]):
            out[offsets[k] + i] = data[first[k] + i]


@numba.njit(cache=True, nogil=True)
def _house_number_kernel(data, offsets, first, length):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The first word of digits, with one letter at most behind them, without its leading zeros."""
    for k in range(len(first)):
        first[k] = length[k] = 0
        at, stop = offsets[k], offsets[k + 1]
        while at < stop and length[k] == 0:
            end = at
            while end < stop and _ZERO <= data[end] <= _NINE:
                end += 1
            digits = end
            if end < stop and 0x61 <= data[end] <= 0x7A:
                end += 1
            if digits > at and (end == stop or data[end] == _SPACE):
                while at < digits - 1 and data[at] == _ZERO:
                    at += 1
                first[k], length[k] = at, digits - at
            else:
                while end < stop and data[end] != _SPACE:
                    end += 1
                at = end + 1


@numba.njit(cache=True, nogil=True)
def _street_start_kernel(data, offsets, kinds, letters, length):  # type: ignore[no-untyped-def] # pragma: no cover
    """The first letters of the words that are letters alone and no kind of street."""
    for k in range(len(length)):
        length[k] = 0
        at, stop = offsets[k], offsets[k + 1]
        while at < stop and length[k] < STREET_START_LETTERS:
            end, packed, only_letters = at, np.uint64(0), True
            while end < stop and data[end] != _SPACE:
                packed = (packed << np.uint64(8)) | np.uint64(data[end])
                only_letters &= 0x61 <= (data[end] | 0x20) <= 0x7A
                end += 1
            is_kind = False
            if end - at <= _LONGEST_KIND:
                for kind in kinds:
                    is_kind |= kind == packed
            if end > at and only_letters and not is_kind:
                for i in range(min(end - at, STREET_START_LETTERS - length[k])):
                    letters[STREET_START_LETTERS * k + length[k]] = data[at + i]
                    length[k] += 1
            at = end + 1


@numba.njit(cache=True, nogil=True)
def _soundex_kernel(data, offsets, digits, codes, length):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """First letter and three digits; ``codes`` comes filled with zeros in ASCII. No letter, no code."""
    for k in range(len(length)):
        written, last = 0, 0
        for i in range(offsets[k], offsets[k + 1]):
            if not 0x61 <= data[i] <= 0x7A:
                continue
            digit = digits[data[i] - 0x61]
            if written == 0:
                codes[_SOUNDEX_CHARS * k] = data[i] - 0x20
                written, last = 1, max(digit, 0)
            elif digit >= 0:
                if digit > 0 and digit != last and written < _SOUNDEX_CHARS:
                    codes[_SOUNDEX_CHARS * k + written] = 0x30 + digit
                    written += 1
                last = digit
        length[k] = _SOUNDEX_CHARS if written else 0
