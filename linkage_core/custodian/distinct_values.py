"""A column's distinct values, and 64-bit hashes of them. Zone: custodian.

Both stay in the custodian's memory. The hash is MurmurHash64A (Appleby 2008, public domain, seed 0): keyed by no
secret, since nothing that leaves depends on it but by the collisions that
:mod:`linkage_core.custodian.value_survey` counts.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.byte_moves import load_word
from linkage_core.custodian.text_columns import text_buffers

_MULTIPLIER = 0xC6A4A7935BD1E995
_SHIFT = 47


def number_values(column: pa.Array) -> tuple[npt.NDArray[np.intp], pa.Array]:
    """The index of each row's value, -1 for null, and the distinct values in order of first occurrence.

    Parameters
    ----------
    column : pyarrow utf8 array

    Returns
    -------
    value_of_row : ndarray of intp, shape (n,)
    values : pyarrow utf8 array, without nulls
    """
    data, offsets = text_buffers(column)
    present = np.ones(len(column), np.bool_)
    if column.null_count:
        present = column.is_valid().to_numpy(zero_copy_only=False)
    value_of_row, first_rows = np.empty(len(column), np.intp), np.empty(len(column), np.int64)
    slots = 1 << max(2 * len(column), 1).bit_length()
    count = _number_kernel(data, offsets, present, np.full(slots, -1, np.int32), value_of_row, first_rows)
    return value_of_row, column.take(pa.array(first_rows[:count]))


def value_hashes(values: pa.Array) -> npt.NDArray[np.uint64]:
    """Each value's hash, uint64 of shape (n,); a null's is that of an empty value."""
    data, offsets = text_buffers(values)
    hashes = np.empty(len(values), np.uint64)
    _hash_kernel(data, offsets, hashes)
    return hashes


@numba.njit(cache=True, nogil=True)
def _hash_kernel(data, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(out)):
        out[k] = _hash_bytes(data, offsets[k], offsets[k + 1])


@numba.njit(cache=True, nogil=True)
def _hash_bytes(data, start, stop):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    multiplier, shift = np.uint64(_MULTIPLIER), np.uint64(_SHIFT)
    found = np.uint64(stop - start) * multiplier
    at = start
    while at + 8 <= stop:
        word = load_word(data, at) * multiplier
        found = (found ^ ((word ^ (word >> shift)) * multiplier)) * multiplier
        at += 8
    if at < stop:
        found = (found ^ _last_bytes(data, at, stop)) * multiplier
    found = (found ^ (found >> shift)) * multiplier
    return found ^ (found >> shift)


@numba.njit(cache=True, nogil=True)
def _last_bytes(data, at, stop):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Fewer than eight bytes as a little-endian number."""
    if at + 8 <= len(data):
        return load_word(data, at) & ((np.uint64(1) << np.uint64(8 * (stop - at))) - np.uint64(1))
    word = np.uint64(0)
    for i in range(stop - at):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word


@numba.njit(cache=True, nogil=True)
def _number_kernel(data, offsets, present, slots, value_of_row, first_rows):  # type: ignore[no-untyped-def] # pragma: no cover
    """Open addressing with linear probing in a table of twice as many slots as rows; the number of values."""
    mask, count = np.uint64(len(slots) - 1), 0
    for row in range(len(value_of_row)):
        if not present[row]:
            value_of_row[row] = -1
            continue
        slot = _hash_bytes(data, offsets[row], offsets[row + 1]) & mask
        while slots[slot] >= 0 and not _same_bytes(data, offsets, row, first_rows[slots[slot]]):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot] = count
            first_rows[count] = row
            count += 1
        value_of_row[row] = slots[slot]
    return count


@numba.njit(cache=True, nogil=True)
def _same_bytes(data, offsets, one, other):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    at, stop, behind = offsets[one], offsets[one + 1], offsets[other]
    if offsets[other + 1] - behind != stop - at:
        return False
    while at + 8 <= stop:
        if load_word(data, at) != load_word(data, behind):
            return False
        at, behind = at + 8, behind + 8
    return at == stop or _last_bytes(data, at, stop) == _last_bytes(data, behind, behind + stop - at)
