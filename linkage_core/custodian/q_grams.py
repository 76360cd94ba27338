"""Q-grams of a column's values as integer tokens. Zone: custodian.

A q-gram is ``q`` neighbouring bytes of a value that was padded with ``q - 1`` start and end marks, so that
first and last letters count as such. Its *token* is one unsigned 64-bit integer: the bytes read as a
big-endian number and, for dates, the position (from 1) times 2**32. A date is not padded: all of its eight
digits have known places, and a pad would only repeat the century. The field's tag is not in the token but in
the key that hashes it.

A value's q-grams are a set: a repeated one counts once. Their order is that of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.text_columns import text_buffers
from linkage_core.protocol.linkage_protocol import FieldSpec

START_MARK = 0x02
END_MARK = 0x03
"""STX and ETX: control characters never occur in normalised values."""

POSITION_SHIFT = 32
_FIRST_TABLE_SLOTS = 1 << 12


@dataclass(frozen=True)
class ValueQGrams:
    """The distinct q-grams of each of a column's distinct values.

    Attributes
    ----------
    starts : ndarray of int64, shape (values + 1,)
        Value ``v`` owns ``gram_ids[starts[v]:starts[v + 1]]``.
    gram_ids : ndarray of int64, shape (total,)
        Indices into ``tokens``; within a value in ascending order of the tokens.
    tokens : ndarray of uint64, shape (distinct,)
        The column's distinct tokens, in order of first occurrence.
    """

    starts: npt.NDArray[np.int64] = field(repr=False)
    gram_ids: npt.NDArray[np.int64] = field(repr=False)
    tokens: npt.NDArray[np.uint64] = field(repr=False)


def value_q_grams(values: pa.Array, spec: FieldSpec) -> ValueQGrams:
    """Q-grams of normalised values (utf8 without nulls, ASCII); an empty value has none."""
    data, offsets = text_buffers(values)
    positional = spec.kind == "date"
    pads = 0 if positional else spec.q - 1
    lengths = np.diff(offsets)
    most = np.where(lengths > 0, np.maximum(lengths + 2 * pads - spec.q + 1, 0), 0)
    tokens = np.empty(int(most.sum()), np.uint64)
    starts = np.zeros(len(values) + 1, np.int64)
    used = _token_kernel(data, offsets, spec.q, pads, positional, tokens, starts)
    gram_ids, distinct = number_codes(tokens[:used])
    return ValueQGrams(starts, gram_ids, distinct)


def number_codes(codes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Number equal codes alike, in order of first occurrence: (number of each code, distinct codes)."""
    numbers = np.empty(len(codes), np.int64)
    distinct = np.empty(len(codes), np.uint64)
    count = _number_kernel(codes, numbers, distinct, _FIRST_TABLE_SLOTS)
    return numbers, distinct[:count].copy()


@numba.njit(cache=True, nogil=True)
def _token_kernel(data, offsets, q, pads, positional, tokens, starts):  # type: ignore[no-untyped-def] # pragma: no cover
    """Write each value's distinct tokens, sorted, one value after the other; the number written."""
    used = 0
    for v in range(len(offsets) - 1):
        start, stop = offsets[v], offsets[v + 1]
        first = used
        grams = stop - start + 2 * pads - q + 1 if stop > start else 0
        for g in range(grams):
            token = np.uint64(0)
            for at in range(start + g - pads, start + g - pads + q):
                byte = START_MARK if at < start else (END_MARK if at >= stop else data[at])
                token = (token << np.uint64(8)) | np.uint64(byte)
            if positional:
                token |= np.uint64(g + 1) << np.uint64(POSITION_SHIFT)
            place = used
            while place > first and tokens[place - 1] > token:
                place -= 1
            if place > first and tokens[place - 1] == token:
                continue
            for k in range(used, place, -1):
                tokens[k] = tokens[k - 1]
            tokens[place] = token
            used += 1
        starts[v + 1] = used
    return used


@numba.njit(cache=True, nogil=True)
def _number_kernel(codes, numbers, distinct, slots):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Open addressing; the table doubles at half load, so equal work whatever the share of distinct codes."""
    table = np.full(slots, -1, np.int64)
    count = 0
    for i in range(len(codes)):
        if 2 * count >= len(table):
            table = np.full(2 * len(table), -1, np.int64)
            for k in range(count):
                table[_free_slot(table, distinct, distinct[k])] = k
        slot = _free_slot(table, distinct, codes[i])
        if table[slot] < 0:
            table[slot] = count
            distinct[count] = codes[i]
            count += 1
        numbers[i] = table[slot]
    return count


@numba.njit(cache=True, nogil=True)
def _free_slot(table, distinct, code):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The slot that holds the code, or the free one where it belongs (Fibonacci hashing, linear probing)."""
    mask = np.uint64(len(table) - 1)
    mixed = code * np.uint64(0x9E3779B97F4A7C15)
    slot = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[slot] >= 0 and distinct[table[slot]] != code:
        slot = (slot + np.uint64(1)) & mask
    return slot
