"""Raw columns of text, good or bad, and work on their distinct values. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.errors import NightlinkError

SOURCE_ID = "source_id"
T = TypeVar("T")


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


def distinct_values(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[np.intp], list[bytes]]:
    """The column's distinct values as bytes, and for each row the index of its value, -1 for null.

    A column that the batch lacks is a column of nulls.

    Raises
    ------
    NightlinkError
        E-SRC-SCHEMA when the column holds neither text nor bytes.
    """
    if name not in batch.schema.names:
        return np.full(batch.num_rows, -1, np.intp), []
    column = batch.column(name)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(batch.num_rows, -1, np.intp), []
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_binary(kind)):
        raise NightlinkError(
            "E-SRC-SCHEMA",
            found=f"the column {name} as {kind}",
            expected="text (utf8) or bytes (binary)",
            remedy="Cast the column to text in the extracting query.",
        )
    encoded = column.cast(pa.large_binary()).dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return indices.astype(np.intp), encoded.dictionary.to_pylist()


def is_binary(kind: pa.DataType) -> bool:
    """True for the two types of byte columns."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def map_distinct(values: list[bytes], function: Callable[[str], T]) -> list[T]:
    """The function of each value's text; invalid bytes read as U+FFFD, which folding drops."""
    return [function(value.decode("utf-8", "replace")) for value in values]


def text_buffers(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of a utf8 array and where each value starts; value ``i`` is ``data[offsets[i]:offsets[i +
    1]]``.

    A null is an empty value.
    """
    large = values.cast(pa.large_binary())
    if large.null_count:
        large = large.fill_null(b"")
    _, offset_buffer, data_buffer = large.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64) if offset_buffer else np.zeros(1, np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    return data, offsets[large.offset : large.offset + len(large) + 1]
