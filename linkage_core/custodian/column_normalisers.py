"""Whole columns of raw values to their normal forms. Zone: custodian.

:mod:`linkage_core.custodian.value_normalisers` says what a normal form is, one value at a time. Nearly every street,
telephone number and address of e-mail is distinct, so there a call of Python for each value would cost more than all
other work of a night. Here the common shapes of each kind are brought to the same forms over arrow columns; a value of
any other shape goes to its function, and the property tests hold both against each other.
"""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Callable, Mapping

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.birth_date_columns import read_birth_dates
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import text_buffers
from linkage_core.custodian.text_folding import MAX_RAW_CHARS
from linkage_core.custodian.value_normalisers import (
    MAX_EMAIL_CHARS,
    MAX_NAME_CHARS,
    MAX_POSTCODE_CHARS,
    MAX_TOKEN_CHARS,
    NEWBORN,
    PLACEHOLDER_MAILBOXES,
    PLACEHOLDER_NAMES,
    PLACEHOLDER_NUMBERS,
    PLACEHOLDER_POSTCODES,
    PLACEHOLDER_TEXTS,
    STREET_WORDS,
    value_normaliser,
)
from linkage_core.protocol.linkage_protocol import FieldKind

Mask = npt.NDArray[np.bool_]
FastNormaliser = Callable[[pa.Array, SourceFormat, dt.date | None], tuple[pa.Array, Mask]]
"""From folded values: their normal forms, and of which of them it is sure."""

_LETTERS_AND_DIGITS = string.ascii_lowercase + string.digits
# RE2 has no back references, so that "one character, three times or more" is spelt out
_ONE_CHARACTER = "|".join(f"{char}{{3,}}" for char in _LETTERS_AND_DIGITS) + "|x{2,}"
_NO_PERSON = f"^(?:{NEWBORN.pattern}|{_ONE_CHARACTER})$"
_WORDS = "^[a-z0-9]+(?: [a-z0-9]+)*$"
_WORDS_WITH_RULES = r"\b(?:box|and)\b"
_NO_NUMBER = (
    "(?:" + "|".join([*(f"{digit}{{7}}" for digit in string.digits), *sorted(PLACEHOLDER_NUMBERS)]) + ")$"
)
_NORTH_AMERICA = ("US", "CA")
_MAILBOX_CHARS = _LETTERS_AND_DIGITS + "!#$%&'*/=?^_`{|}~.-"
_LONGEST_PACKED = 16


def normalise_values(
    values: pa.Array, kind: FieldKind, source_format: SourceFormat, as_of: dt.date | None = None
) -> pa.Array:
    """Each raw value's normal form; null for a value that is missing.

    Parameters
    ----------
    values : pyarrow large_binary array
        Raw values without nulls: distinct ones, since all work is done once a value.

    Returns
    -------
    pyarrow utf8 array, of the same length
        What :func:`linkage_core.custodian.value_normalisers.value_normaliser` gives for each; invalid bytes read
        as U+FFFD.
    """
    function = value_normaliser(kind, source_format, as_of)
    fast = _FAST_NORMALISERS.get(kind)
    if fast is None or not len(values):
        return pa.array(
            [function(value.decode("utf-8", "replace")) for value in values.to_pylist()], pa.utf8()
        )
    plain = np.flatnonzero(printable_ascii(values) & (byte_lengths(values) <= MAX_RAW_CHARS))
    normal, sure = fast(fold_printable(values.take(pa.array(plain))), source_format, as_of)
    rest = np.delete(np.arange(len(values)), plain[sure])
    others = [function(value.decode("utf-8", "replace")) for value in values.take(pa.array(rest)).to_pylist()]
    place = np.empty(len(values), np.intp)
    place[np.concatenate([plain[sure], rest])] = np.arange(len(values))
    return pa.concat_arrays([normal.filter(pa.array(sure)), pa.array(others, pa.utf8())]).take(
        pa.array(place)
    )


def printable_ascii(values: pa.Array) -> Mask:
    """Which values are of the characters from space to tilde alone; bool, shape (n,)."""
    data, offsets = text_buffers(values)
    out = np.empty(len(values), np.bool_)
    _printable_kernel(data, offsets, out)
    return out


def byte_lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each value; int64, shape (n,)."""
    return np.diff(text_buffers(values)[1])


def fold_printable(values: pa.Array) -> pa.Array:
    """:func:`linkage_core.custodian.text_folding.fold_to_ascii` of printable ASCII."""
    return pc.ascii_lower(pc.ascii_trim(values.cast(pa.large_utf8()).cast(pa.utf8()), " "))


def _mask(flags: pa.Array) -> Mask:
    found: Mask = flags.to_numpy(zero_copy_only=False)
    return found


def _matches(values: pa.Array, pattern: str) -> Mask:
    return _mask(pc.match_substring_regex(values, pattern))


def _is_one_of(values: pa.Array, words: frozenset[str]) -> Mask:
    return _mask(pc.is_in(values, pa.array(sorted(words), pa.utf8())))


def _lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(pc.binary_length(values), np.int64)


def _names(folded: pa.Array, *_: object) -> tuple[pa.Array, Mask]:
    """One word of letters and digits that is nobody's placeholder is its own normal form."""
    sure = _matches(folded, "^[a-z0-9]+$") & (_lengths(folded) <= MAX_NAME_CHARS)
    return folded, sure & ~_is_one_of(folded, PLACEHOLDER_NAMES) & ~_matches(folded, _NO_PERSON)


def _texts(folded: pa.Array, *_: object) -> tuple[pa.Array, Mask]:
    """Words parted by single spaces, each in its short form."""
    sure = _matches(folded, _WORDS) & ~_matches(folded, _WORDS_WITH_RULES)
    sure &= _lengths(folded) <= MAX_TOKEN_CHARS
    parts = pc.split_pattern(folded, " ")
    words = parts.flatten()
    long_forms, short_forms = pa.array(STREET_WORDS.keys()), pa.array(STREET_WORDS.values())
    place = pc.index_in(words, long_forms)
    short = pc.coalesce(short_forms.take(place), words)
    joined = pc.binary_join(pa.ListArray.from_arrays(parts.offsets, short), " ")
    for text in (folded, joined):
        sure &= ~_is_one_of(pc.replace_substring(text, " ", ""), PLACEHOLDER_TEXTS)
    return joined, sure


def _postcodes(folded: pa.Array, *_: object) -> tuple[pa.Array, Mask]:
    sure = _matches(folded, "^[a-z0-9]+$") & (_lengths(folded) <= MAX_POSTCODE_CHARS)
    five = pc.if_else(pa.array(_matches(folded, "^[0-9]{9}$")), pc.utf8_slice_codeunits(folded, 0, 5), folded)
    return five, sure & ~_is_one_of(five, PLACEHOLDER_POSTCODES) & ~_is_one_of(folded, PLACEHOLDER_POSTCODES)


def _phones(folded: pa.Array, source_format: SourceFormat, _: object) -> tuple[pa.Array, Mask]:
    """Ten digits of North America, in any of their usual notations."""
    if source_format.phone_region not in _NORTH_AMERICA:
        return folded, np.zeros(len(folded), np.bool_)
    data, offsets = text_buffers(folded)
    digits, sure = np.zeros((len(folded), 12), np.uint8), np.empty(len(folded), np.bool_)
    digits[:, :2] = (ord("+"), ord("1"))
    _north_american_kernel(data, offsets, digits, sure)
    numbers = _fixed_width_texts(digits)
    return numbers, sure & ~_matches(numbers, _NO_NUMBER)


def _emails(folded: pa.Array, *_: object) -> tuple[pa.Array, Mask]:
    """One mailbox at one domain, without a tag, is its own normal form."""
    data, offsets = text_buffers(folded)
    sure = np.empty(len(folded), np.bool_)
    _email_kernel(data, offsets, _IN_MAILBOX, _PLACEHOLDERS_PACKED, sure)
    return folded, sure & (_lengths(folded) <= MAX_EMAIL_CHARS)


def _dates(folded: pa.Array, source_format: SourceFormat, as_of: dt.date | None) -> tuple[pa.Array, Mask]:
    """Real days in a declared format, within the declared years."""
    dates = read_birth_dates(folded, source_format, as_of)
    return _fixed_width_texts(dates.digits), dates.usable


_FAST_NORMALISERS: Mapping[FieldKind, FastNormaliser] = {
    "name": _names,
    "text": _texts,
    "postcode": _postcodes,
    "phone": _phones,
    "email": _emails,
    "date": _dates,
}


def _fixed_width_texts(characters: npt.NDArray[np.uint8]) -> pa.Array:
    rows, width = characters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(characters.tobytes()))


def _packed(word: str) -> tuple[int, int]:
    """A word of at most sixteen letters as two numbers."""
    whole = int.from_bytes(word.encode("ascii"), "big")
    return whole >> 64, whole & 0xFFFFFFFFFFFFFFFF


_PLACEHOLDERS_PACKED = np.array(
    [_packed(word) for word in sorted(PLACEHOLDER_MAILBOXES) if len(word) <= _LONGEST_PACKED], np.uint64
)
_IN_MAILBOX = np.array([chr(byte) in _MAILBOX_CHARS for byte in range(256)], np.bool_)


@numba.njit(cache=True, nogil=True)
def _printable_kernel(data, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(out)):
        printable = True
        for i in range(offsets[k], offsets[k + 1]):
            printable &= 0x20 <= data[i] <= 0x7E
        out[k] = printable


@numba.njit(cache=True, nogil=True)
def _skip_gaps(data, at, stop):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Where the spaces, dots and hyphens from ``at`` on end."""
    while at < stop and (data[at] == 0x20 or data[at] == 0x2E or data[at] == 0x2D):
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _take_digits(data, at, stop, count, lowest, out, place):  # type: ignore[no-untyped-def] # pragma: no cover
    """Copy ``count`` digits, the first at least ``lowest``; where they end, or ``stop`` + 1 without them."""
    if at + count > stop or data[at] < 0x30 + lowest:
        return stop + 1
    for i in range(count):
        if data[at + i] < 0x30 or data[at + i] > 0x39:
            return stop + 1
        out[place + i] = data[at + i]
    return at + count


@numba.njit(cache=True, nogil=True)
def _north_american_kernel(data, offsets, digits, sure):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """[+]1, (area), exchange, line: each present once, parted by gaps; as the normaliser's own pattern has it."""
    for k in range(len(sure)):
        at, stop = offsets[k], offsets[k + 1]
        has_plus = at < stop and data[at] == 0x2B
        if has_plus:
            at += 1
        has_one = at < stop and data[at] == 0x31
        if has_one:
            at = _skip_gaps(data, at + 1, stop)
        if at < stop and data[at] == 0x28:
            at += 1
        at = _take_digits(data, at, stop, 3, 2, digits[k], 2)
        if at < stop and data[at] == 0x29:
            at += 1
        at = _take_digits(data, _skip_gaps(data, at, stop), stop, 3, 2, digits[k], 5)
        at = _take_digits(data, _skip_gaps(data, at, stop), stop, 4, 0, digits[k], 8)
        sure[k] = at == stop and (has_one or not has_plus)


@numba.njit(cache=True, nogil=True)
def _email_kernel(data, offsets, in_mailbox, placeholders, sure):  # type: ignore[no-untyped-def] # pragma: no cover
    """One @; a mailbox of its characters whose letters and digits are no placeholder; labels parted by dots."""
    for k in range(len(sure)):
        at, stop, kept = offsets[k], offsets[k + 1], 0
        high, low = np.uint64(0), np.uint64(0)
        while at < stop and in_mailbox[data[at]]:
            byte = np.uint64(data[at])
            if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39:
                high = (high << np.uint64(8)) | (low >> np.uint64(56))
                low = (low << np.uint64(8)) | byte
                kept += 1
            at += 1
        good = kept > 0 and at < stop and data[at] == 0x40
        if kept <= _LONGEST_PACKED:
            for p in range(len(placeholders)):
                good &= not (placeholders[p, 0] == high and placeholders[p, 1] == low)
        label, labels, letters = 0, 0, 0
        for i in range(at + 1, stop):
            if data[i] == 0x2E:
                good &= label > 0
                label, letters = 0, 0
                labels += 1
            else:
                is_letter = 0x61 <= data[i] <= 0x7A
                good &= is_letter or 0x30 <= data[i] <= 0x39 or data[i] == 0x2D
                letters += is_letter
                label += 1
        sure[k] = good and labels > 0 and letters == label and label >= 2
