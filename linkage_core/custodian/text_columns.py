"""Raw columns of text, good or bad, and work on their distinct values. Zone: custodian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.errors import NightlinkError

SOURCE_ID = "source_id"


def raw_batch(columns: Mapping[str, Sequence[str | bytes | None]]) -> pa.RecordBatch:
    """A raw batch from Python lists, as binary columns.

    A lone surrogate, which no UTF-8 column can hold, becomes its three invalid bytes, so that the field rules
    find it rather than a crash.
    """
    return pa.RecordBatch.from_pydict({name: _binary_array(values) for name, values in columns.items()})


def _binary_array(values: Sequence[str | bytes | None]) -> pa.Array:
    as_bytes = [
        value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value for value in values
    ]
    return pa.array(as_bytes, pa.binary())


def distinct_values(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[np.intp], pa.Array]:
    """The column's distinct values as bytes, and for each row the index of its value, -1 for null.

    A column that the batch lacks is a column of nulls.

    Returns
    -------
    indices : ndarray of intp, shape (n,)
    values : pyarrow large_binary array
        In order of first occurrence.

    Raises
    ------
    NightlinkError
        E-SRC-SCHEMA when the column holds neither text nor bytes.
    """
    if name not in batch.schema.names or pa.types.is_null(batch.column(name).type):
        return np.full(batch.num_rows, -1, np.intp), pa.array([], pa.large_binary())
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_binary(kind)):
        raise NightlinkError(
            "E-SRC-SCHEMA",
            found=f"the column {name} as {kind}",
            expected="text (utf8) or bytes (binary)",
            remedy="Cast the column to text in the extracting query.",
        )
    encoded = column.cast(pa.large_binary()).dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return indices.astype(np.intp), encoded.dictionary


def is_binary(kind: pa.DataType) -> bool:
    """True for the two types of byte columns."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def as_text(values: pa.Array) -> pa.Array:
    """Texts or bytes as utf8, null stays null; what is no UTF-8 in them reads as U+FFFD."""
    texts = values.cast(pa.utf8(), safe=False)
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = values.cast(pa.large_binary()).to_pylist()
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in raw], pa.utf8()
        )
    return texts


def readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every column as utf8 that can be read, as :func:`as_text` makes it."""
    return pa.RecordBatch.from_arrays([as_text(c) for c in batch.columns], names=batch.schema.names)


def are_blank(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values are empty or of ASCII white space alone; bool, shape (n,)."""
    data, offsets = text_buffers(values)
    out = np.empty(len(values), np.bool_)
    _blank_kernel(data, offsets, out)
    return out


@numba.njit(cache=True, nogil=True)
def _blank_kernel(data, offsets, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(out)):
        blank = True
        for i in range(offsets[k], offsets[k + 1]):
            blank &= data[i] == 0x20 or 0x09 <= data[i] <= 0x0D
        out[k] = blank


def text_buffers(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of a utf8 array and where each value starts; value ``i`` is ``data[offsets[i]:offsets[i +
    1]]``.

    A null is an empty value.
    """
    if values.null_count:
        values = values.fill_null("" if pa.types.is_string(values.type) else b"")
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        _, offset_buffer, data_buffer = values.buffers()
        narrow = np.frombuffer(offset_buffer, np.int32) if offset_buffer else np.zeros(1, np.int32)
        offsets = narrow[values.offset : values.offset + len(values) + 1].astype(np.int64)
    else:
        large = values.cast(pa.large_binary())
        _, offset_buffer, data_buffer = large.buffers()
        wide = np.frombuffer(offset_buffer, np.int64) if offset_buffer else np.zeros(1, np.int64)
        offsets = wide[large.offset : large.offset + len(large) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    return data, offsets
