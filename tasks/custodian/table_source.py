"""People from a Parquet file or a database, by column name. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.custodian.source_rows import BATCH_ROWS, SourceBatch, unreadable_source, wrong_source
from tasks.protocol.settings_files import read_secret


def parquet_batches(
    path: Path, names: Sequence[str], optional: Sequence[str], batch_rows: int = BATCH_ROWS
) -> Iterator[SourceBatch]:
    """The named columns of a Parquet file as text; an optional one that is not there is empty.

    Raises
    ------
    NightlinkError
        E-INPUT when it cannot be read; E-SRC-SCHEMA for missing columns or ones that are neither text, date nor
        whole number.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            _check_names(path, there, names, optional)
            row_number = 0
            wanted = [name for name in names if name in there]
            for batch in file.iter_batches(batch_size=batch_rows, columns=wanted):
                yield _source_batch(path, batch, names, row_number)
                row_number += batch.num_rows
    except (OSError, pa.ArrowException):
        unreadable = unreadable_source(path, "a file that cannot be read as Parquet")
    else:
        return
    raise unreadable


def database_batches(
    url_file: Path,
    query_file: Path,
    names: Sequence[str],
    optional: Sequence[str],
    *,
    deadline_s: float,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[SourceBatch]:
    """The named columns of a query's result as text, out of one read-only snapshot; errors as of its reader."""
    from sql.custodian.source import source_snapshot, stream_rows

    try:
        query = query_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise unreadable_source(query_file, "a query file that cannot be read") from None
    row_number = 0
    with source_snapshot(read_secret(url_file), deadline_s) as snapshot:
        for batch in stream_rows(snapshot, query, batch_rows, columns=names, optional=optional):
            yield _source_batch(query_file, batch, names, row_number)
            row_number += batch.num_rows


def _check_names(path: Path, there: Sequence[str], names: Sequence[str], optional: Sequence[str]) -> None:
    missing = [name for name in names if name not in there and name not in optional]
    if missing:
        raise wrong_source(
            path, f"no column {', '.join(missing)}", "a column for each of them", "Rename the file's columns."
        )


def _source_batch(path: Path, batch: pa.RecordBatch, names: Sequence[str], before: int) -> SourceBatch:
    there = batch.schema.names
    columns = [
        _as_text(path, name, batch.column(name)) if name in there else pa.nulls(batch.num_rows, pa.string())
        for name in names
    ]
    return SourceBatch(tuple(columns), before + 1 + np.arange(batch.num_rows, dtype=np.int64))


def _as_text(path: Path, name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_date(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())  # a date as YYYY-MM-DD
    if not any(is_text(kind) for is_text in _TEXT_TYPES):
        raise wrong_source(
            path, f"the column {name} as {kind}", "text, dates or whole numbers", "Write it as text."
        )
    return column


_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
