"""Rows of PostgreSQL's binary COPY format to arrow columns of text. Zone: custodian.

The format is in PostgreSQL's manual, under COPY, "Binary Format": a header, then for each row a count of fields and for
each field a length (-1 for a null) and its bytes, all integers big-endian; a count of -1 ends it. The binary form of a
text is its bytes. No value becomes an object of Python on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.byte_moves import move_bytes
from linkage_core.errors import NightlinkError

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""The signature, no flags, no extension."""

_ENDED, _WANTS_MORE, _BROKEN = 1, 0, -1


def read_binary_rows(
    pieces: Iterable[bytes], names: Sequence[str], wanted: Sequence[int], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Rows in their order, ``batch_rows`` to a batch but for the last; one empty batch when there are none.

    Parameters
    ----------
    pieces : iterable of bytes
        The stream, cut anywhere.
    names : sequence of str
        The stream's columns, all of them texts.
    wanted : sequence of int
        Which columns to return, in this order.

    Raises
    ------
    NightlinkError
        E-INPUT for a stream that is not of this format, or that ends too early; E-SRC-SCHEMA for bytes that are
        no UTF-8. No byte of it is quoted.
    """
    schema = pa.schema([pa.field(names[place], pa.string(), nullable=True) for place in wanted])
    source, yielded = iter(pieces), False
    stream, state = _after_header(source), _WANTS_MORE
    while state != _ENDED:
        starts, lengths = (np.empty((batch_rows, len(names)), np.int64) for _ in range(2))
        state, rows, stop = _scan_kernel(np.frombuffer(stream, np.uint8), starts, lengths)
        if state == _WANTS_MORE and rows < batch_rows:
            stream += _next_piece(source)
            continue
        if state == _BROKEN:
            raise _wrong_stream("a row of another number of columns")
        if rows or not yielded:
            yield _batch(np.frombuffer(stream, np.uint8), starts[:rows], lengths[:rows], wanted, schema)
            yielded = True
        stream = stream[stop:]


def _after_header(source: Iterator[bytes]) -> bytes:
    stream = b""
    while len(stream) < len(HEADER):
        stream += _next_piece(source)
    if not stream.startswith(HEADER):
        raise _wrong_stream("a stream with another header")
    return stream[len(HEADER) :]


def _next_piece(source: Iterator[bytes]) -> bytes:
    for piece in source:
        return piece
    raise _wrong_stream("a stream that ends within its rows")


def _batch(
    stream: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    wanted: Sequence[int],
    schema: pa.Schema,
) -> pa.RecordBatch:
    columns = [_text_column(stream, starts[:, place].copy(), lengths[:, place].copy()) for place in wanted]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        invalid = True
    else:
        invalid = False
    if invalid:
        raise NightlinkError(
            "E-SRC-SCHEMA",
            found="text that is not in the database's declared encoding",
            expected="valid text",
            remedy="Adapt the extract statement and its declarations to the source, or ask for the column back.",
        )
    return batch


def _text_column(
    stream: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> pa.Array:
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    _gather_kernel(stream, starts, lengths, offsets, data)
    valid = np.packbits(lengths >= 0, bitorder="little")
    buffers = [pa.py_buffer(buffer) for buffer in (valid, offsets, data)]
    return pa.StringArray.from_buffers(len(starts), buffers[1], buffers[2], buffers[0])


def _wrong_stream(found: str) -> NightlinkError:
    return NightlinkError(
        "E-INPUT",
        found=found,
        expected="rows in PostgreSQL's binary COPY format, version 1, as declared",
        remedy="Report it with the version of the database server.",
    )


@numba.njit(cache=True, nogil=True)
def _big_endian(stream, at, count):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """A signed integer of ``count`` bytes."""
    value = np.int64(0)
    for i in range(count):
        value = (value << 8) | np.int64(stream[at + i])
    sign = np.int64(1) << (8 * count - 1)
    return (value ^ sign) - sign


@numba.njit(cache=True, nogil=True)
def _scan_kernel(stream, starts, lengths):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Find rows: (state, whole rows found, where the next one begins)."""
    most, columns = starts.shape
    rows, at = 0, 0
    while rows < most:
        if at + 2 > len(stream):
            return _WANTS_MORE, rows, at
        count = _big_endian(stream, at, 2)
        if count == -1:
            return _ENDED, rows, at + 2
        if count != columns:
            return _BROKEN, rows, at
        field = at + 2
        for c in range(columns):
            if field + 4 > len(stream):
                return _WANTS_MORE, rows, at
            length = _big_endian(stream, field, 4)
            if length < -1:
                return _BROKEN, rows, at
            starts[rows, c], lengths[rows, c] = field + 4, length
            field += 4 + max(length, 0)
        if field > len(stream):
            return _WANTS_MORE, rows, at
        at = field
        rows += 1
    return _WANTS_MORE, rows, at


@numba.njit(cache=True, nogil=True)
def _gather_kernel(stream, starts, lengths, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(starts)):
        if lengths[k] > 0:
            move_bytes(out, offsets[k], stream, starts[k], lengths[k])
