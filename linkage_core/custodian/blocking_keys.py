"""Codes of fields, and keyed values of several together: what passes and tokens are made of. Zone: custodian.

Each pass sees some fields through codes (a Soundex, a year, a prefix), in clear text, here; only a keyed hash
of the combination leaves. A record that lacks one part has no value in that pass, rather than a constant that
all such records would share. Passes over several phonetic codes find more true pairs for fewer candidates
than any family of locality-sensitive hashes that was tried (KERNELS, measured).

Soundex: Russell 1918, US patent 1,261,167, in the form of the US National Archives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jellyfish
import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.q_grams import number_codes
from linkage_core.custodian.text_columns import text_buffers
from linkage_core.custodian.text_folding import words
from linkage_core.protocol.encoded_evidence import NULL_TOKEN

_LENGTH_BYTES = 2
_LETTERS = re.compile("[a-z]+")
_STREET_KINDS = words(
    """
    n s e w ne nw se sw st ave rd dr ln ct pl blvd sq ter terr trl pkwy hwy cir cct cres cl gr way apt ste
    """
)
STREET_START_LETTERS = 4
_HOUSE_NUMBER = re.compile(r"(?:^| )0*([0-9]+)[a-z]?(?: |$)")


@dataclass(frozen=True)
class CodedColumn:
    """A column seen through one code: distinct codes, and each row's index into them, -1 when missing."""

    code_of_row: npt.NDArray[np.int64] = field(repr=False)
    codes: pa.Array = field(repr=False)


def soundex(name: str) -> str | None:
    """Letter and three digits; None for a name without a letter. Digits in it are skipped."""
    letters = name if name.isalpha() else "".join(_LETTERS.findall(name))
    return jellyfish.soundex(letters) if letters else None


def house_number(street: str) -> str | None:
    """The first number that stands alone or with one letter, without leading zeros; None if none does."""
    found = _HOUSE_NUMBER.search(street)
    return found[1] if found else None


def street_start(street: str) -> str | None:
    """The first letters of a street's name without numbers, directions and kinds of street; None if none.

    Spaces do not count, so a name that was split or joined keeps its start.
    """
    kept = [word for word in street.split() if word.isalpha() and word not in _STREET_KINDS]
    return "".join(kept)[:STREET_START_LETTERS] or None


def year_sorted_day_month(date: str) -> str:
    """The year and the smaller then the larger of month and day: equal for a date whose day and month are
    swapped.
    """
    return date[:4] + "".join(sorted((date[4:6], date[6:8])))


BLOCKING_FUNCTIONS: Mapping[str, Callable[[str], str | None]] = {
    "exact": str,
    "soundex": soundex,
    "prefix1": lambda value: value[:1],
    "prefix3": lambda value: value[:3],
    "suffix3": lambda value: value[-3:],
    "year": lambda date: date[:4],
    "year_month": lambda date: date[:6],
    "month_day": lambda date: date[4:8],
    "year_digit_month_day": lambda date: date[3:8],
    "year_sorted_day_month": year_sorted_day_month,
    "decade": lambda date: date[:3],
    "house_number": house_number,
    "street_start": street_start,
}
"""What each code of the protocol, but for nicknames, takes from a normalised value; None makes a pass or token null.

A value shorter than a prefix or suffix is taken whole.
"""


def coding_functions(formal_names: Mapping[str, str]) -> Mapping[str, Callable[[str], str | None]]:
    """Every code's function, with nicknames read by a table from a name to its formal name.

    ``nickname`` is the formal name, or the name itself where the table has none; ``nickname_sound`` its Soundex.
    """

    def formal(name: str) -> str:
        return formal_names.get(name, name)

    return {**BLOCKING_FUNCTIONS, "nickname": formal, "nickname_sound": lambda name: soundex(formal(name))}


def keyed_values(key: bytes, parts: Sequence[CodedColumn], rows: int) -> npt.NDArray[np.uint64]:
    """One pass's or token's keyed values, one a row.

    The value is the first 8 bytes, little-endian, of HMAC-SHA256(its key, message), where the message is
    each part's code prefixed with its length in 2 bytes little-endian. A hash of 0 becomes 1, since 0 means
    null. Each distinct combination is hashed once.

    Returns
    -------
    ndarray of uint64, shape (rows,)
        0 where a part is missing.
    """
    combination = np.zeros(rows, np.uint64)
    for part in parts:
        combination = _combine(combination, part)
    present = np.logical_and.reduce([part.code_of_row >= 0 for part in parts])
    numbers, distinct = number_codes(combination[present])
    hashed = _hash_combinations(key, parts, _first_rows(numbers, len(distinct), np.flatnonzero(present)))
    values = np.full(rows, NULL_TOKEN, np.uint64)
    values[present] = hashed[numbers]
    return values


def _combine(combination: npt.NDArray[np.uint64], part: CodedColumn) -> npt.NDArray[np.uint64]:
    """Number of the pair (combination so far, this part's code): exact, as neither exceeds 32 bits."""
    numbers, _ = number_codes(combination)
    codes = part.code_of_row.astype(np.uint32).astype(np.uint64)
    return (numbers.astype(np.uint64) << np.uint64(32)) | codes


def _first_rows(
    numbers: npt.NDArray[np.int64], distinct: int, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """For each number the first of the rows that bear it."""
    first = np.empty(distinct, np.intp)
    first[numbers[::-1]] = rows[::-1]
    return first


def _hash_combinations(
    key: bytes, parts: Sequence[CodedColumn], rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint64]:
    buffers = [(part.code_of_row[rows], *text_buffers(part.codes)) for part in parts]
    lengths = sum(np.diff(offsets)[codes] + _LENGTH_BYTES for codes, _, offsets in buffers)
    message_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    messages = np.empty(message_offsets[-1], np.uint8)
    cursor = message_offsets[:-1].copy()
    for codes, data, offsets in buffers:
        _append_kernel(messages, cursor, codes, data, offsets)
    hashed = hmac_sha256_many(key, messages, message_offsets)
    values = np.ascontiguousarray(hashed[:, :8]).view("<u8").reshape(-1).astype(np.uint64)
    return np.where(values == NULL_TOKEN, np.uint64(1), values)


@numba.njit(cache=True, nogil=True)
def _append_kernel(messages, cursor, codes, data, offsets):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Append one part, after its length, to every message, and move the cursors on."""
    for k in range(len(cursor)):
        start, stop, at = offsets[codes[k]], offsets[codes[k] + 1], cursor[k]
        messages[at] = (stop - start) & 0xFF
        messages[at + 1] = (stop - start) >> 8
        for i in range(start, stop):
            messages[at + 2 + i - start] = data[i]
        cursor[k] = at + 2 + stop - start
