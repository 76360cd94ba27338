"""Parts of tokens as bytes, and the keyed values of several of them together. Zone: custodian.

Each combination of parts is hashed where it stands: a message is copied together from its parts' bytes and hashed in
less time than it takes to find out whether another row has the same combination, and no row needs another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.byte_moves import move_bytes
from linkage_core.custodian.keyed_hashing import (
    digest_lanes,
    hmac_state,
    message_buffer,
    outer_blocks,
    pad_message,
    place_bytes,
    swap_bytes,
)
from linkage_core.custodian.sha256_lanes import LANES, STATE_WORDS
from linkage_core.custodian.text_columns import text_buffers
from linkage_core.protocol.encoded_evidence import NULL_TOKEN

_LENGTH_BYTES = 2
_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class CodedColumn:
    """A column seen through one code: codes, and each row's index into them, -1 when missing.

    Codes need not be distinct; equal codes under two indices are hashed twice, to the same value.
    """

    code_of_row: npt.NDArray[np.int64] = field(repr=False)
    codes: pa.Array = field(repr=False)


def join_unordered(one: CodedColumn, other: CodedColumn) -> CodedColumn:
    """Two columns as one: each row's smaller code, a line feed, its larger code; missing where either is."""
    (one_data, one_starts), (other_data, other_starts) = (text_buffers(c.codes) for c in (one, other))
    offsets = np.zeros(len(one.code_of_row) + 1, np.int32)
    _joined_lengths_kernel(one.code_of_row, other.code_of_row, one_starts, other_starts, offsets)
    joined = np.empty(int(offsets[-1]), np.uint8)
    _join_kernel(
        one.code_of_row, other.code_of_row, one_data, other_data, one_starts, other_starts, offsets, joined
    )
    rows = np.where((one.code_of_row < 0) | (other.code_of_row < 0), -1, np.arange(len(one.code_of_row)))
    codes = pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(joined))
    return CodedColumn(rows, codes)


@dataclass(frozen=True)
class CodeBook:
    """Several coded columns of the same rows.

    Attributes
    ----------
    data : ndarray of uint8
        Every code prefixed with its length in 2 bytes little-endian, one after the other.
    starts : ndarray of int64, shape (codes + 1,)
    code_of_row : ndarray of int32, shape (columns, rows), C-contiguous
        Index into ``starts``, -1 when missing.
    longest : tuple of int
        Bytes of each column's longest code with its prefix.
    """

    data: npt.NDArray[np.uint8] = field(repr=False)
    starts: npt.NDArray[np.int64] = field(repr=False)
    code_of_row: npt.NDArray[np.int32] = field(repr=False)
    longest: tuple[int, ...]


def code_book(columns: Sequence[CodedColumn], rows: int) -> CodeBook:
    """Write the columns' codes into one book."""
    buffers = [text_buffers(column.codes) for column in columns]
    lengths = [np.diff(offsets) for _, offsets in buffers]
    counts = [len(column_lengths) for column_lengths in lengths]
    starts = np.zeros(sum(counts) + 1, np.int64)
    np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]) + _LENGTH_BYTES, out=starts[1:])
    data = np.empty(int(starts[-1]), np.uint8)
    code_of_row = np.empty((len(columns), rows), np.int32)
    first = 0
    for c, (column, (text, offsets)) in enumerate(zip(columns, buffers, strict=True)):
        _write_codes_kernel(data, starts[first:], text, offsets)
        code_of_row[c] = np.where(column.code_of_row < 0, -1, column.code_of_row + first)
        first += counts[c]
    longest = tuple(int(found.max(initial=0)) + _LENGTH_BYTES for found in lengths)
    return CodeBook(data, starts, code_of_row, longest)


def keyed_values(
    keys: Sequence[bytes], book: CodeBook, parts: Sequence[Sequence[int]]
) -> npt.NDArray[np.uint64]:
    """The keyed values of several passes or tokens; 0 where a part is missing.

    A value is the first 8 bytes, little-endian, of HMAC-SHA256(the pass's or token's key, message), where the message
    is each part's code prefixed with its length in 2 bytes little-endian. A hash of 0 becomes 1, since 0 means null.

    Parameters
    ----------
    keys : sequence of bytes, length d
        One for each pass or token.
    parts : sequence of sequences of int, length d
        Columns of the book, one or more to each.

    Returns
    -------
    ndarray of uint64, shape (rows, d)
    """
    out = np.empty((book.code_of_row.shape[1], len(keys)), np.uint64)
    if not keys:
        return out
    states = [hmac_state(key) for key in keys]
    inner, outer = (np.stack([getattr(state, side) for state in states]) for side in ("inner", "outer"))
    messages = message_buffer(max(sum(book.longest[part] for part in chosen) for chosen in parts))
    stops = np.cumsum([len(chosen) for chosen in parts])
    places = np.array([part for chosen in parts for part in chosen], np.int64)
    _keyed_kernel(inner, outer, book.data, book.starts, book.code_of_row, places, stops, messages, out)
    return out


@numba.njit(cache=True, nogil=True)
def _joined_lengths_kernel(one, other, one_starts, other_starts, offsets):  # type: ignore[no-untyped-def] # pragma: no cover
    for row in range(len(one)):
        length = 0
        if one[row] >= 0 and other[row] >= 0:
            length = one_starts[one[row] + 1] - one_starts[one[row]] + 1
            length += other_starts[other[row] + 1] - other_starts[other[row]]
        offsets[row + 1] = offsets[row] + length


@numba.njit(cache=True, nogil=True)
def _join_kernel(one, other, one_data, other_data, one_starts, other_starts, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover
    for row in range(len(one)):
        if one[row] < 0 or other[row] < 0:
            continue
        i, end_i = one_starts[one[row]], one_starts[one[row] + 1]
        j, end_j = other_starts[other[row]], other_starts[other[row] + 1]
        shared = 0
        while i + shared < end_i and j + shared < end_j and one_data[i + shared] == other_data[j + shared]:
            shared += 1
        at = offsets[row]
        if j + shared == end_j or (i + shared < end_i and one_data[i + shared] > other_data[j + shared]):
            at = _write_line(out, at, other_data, j, end_j, True)
            _write_line(out, at, one_data, i, end_i, False)
        else:
            at = _write_line(out, at, one_data, i, end_i, True)
            _write_line(out, at, other_data, j, end_j, False)


@numba.njit(cache=True, nogil=True)
def _write_line(out, at, data, start, stop, ended):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Write a code, and a line feed if it is to be ended; the place behind it."""
    move_bytes(out, at, data, start, stop - start)
    at += stop - start
    if ended:
        out[at] = 0x0A
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _write_codes_kernel(data, starts, text, offsets):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for code in range(len(offsets) - 1):
        at, length = starts[code], offsets[code + 1] - offsets[code]
        data[at] = length & 0xFF
        data[at + 1] = length >> 8
        move_bytes(data, at + 2, text, offsets[code], length)


@numba.njit(cache=True, nogil=True)
def _keyed_kernel(inner, outer, data, starts, code_of_row, places, stops, messages, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """All columns of a few rows, then of the next: what they read and write stays in the processor's cache."""
    for first in range(0, len(out), _ROWS_AT_ONCE):
        stop = min(first + _ROWS_AT_ONCE, len(out))
        begin = 0
        for t in range(len(stops)):
            parts = places[begin : stops[t]]
            _keyed_rows(inner[t], outer[t], data, starts, code_of_row, parts, messages, out, t, first, stop)
            begin = stops[t]


@numba.njit(cache=True, nogil=True)
def _keyed_rows(inner, outer, data, starts, code_of_row, parts, messages, out, t, first, stop):  # type: ignore[no-untyped-def] # pragma: no cover
    capacity, flat = messages.shape[1], messages.reshape(-1)
    states, second = np.empty(STATE_WORDS * LANES, np.uint32), outer_blocks()
    blocks, row_of_lane = np.ones(LANES, np.int64), np.empty(LANES, np.int64)
    used = 0
    for row in range(first, stop + 1):  # one more, to hash the lanes that are left
        if row < stop:
            missing = False
            for part in parts:
                missing |= code_of_row[part, row] < 0
            if missing:
                out[row, t] = NULL_TOKEN
            else:
                at = used * capacity
                for part in parts:
                    begin, end = starts[code_of_row[part, row]], starts[code_of_row[part, row] + 1]
                    place_bytes(flat, at, data, begin, end - begin)
                    at += end - begin
                blocks[used] = pad_message(flat, used * capacity, at - used * capacity)
                row_of_lane[used] = row
                used += 1
        if used == LANES or (row == stop and used > 0):
            digest_lanes(inner, outer, flat, capacity, blocks, states, second)
            for lane in range(used):
                out[row_of_lane[lane], t] = _token(states[STATE_WORDS * lane], states[STATE_WORDS * lane + 1])
            used = 0


@numba.njit(cache=True, nogil=True)
def _token(first, second):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The digest's first eight bytes as a little-endian number, from its first two big-endian words."""
    token = np.uint64(swap_bytes(first)) | np.uint64(swap_bytes(second)) << np.uint64(32)
    return token if token != NULL_TOKEN else np.uint64(1)
