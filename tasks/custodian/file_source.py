"""A night's people and content out of files instead of a database. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.content_dates import iso_dates
from linkage_core.custodian.content_rules import DATE_COLUMNS
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.custodian.edge_input import Columns, EdgeInput, open_people
from tasks.custodian.edge_progress import progress
from tasks.custodian.edge_protocol import ProtocolRules
from tasks.custodian.settings import FileSource
from tasks.custodian.source_rows import Misfit

Batches = Iterator[tuple[pa.RecordBatch, tuple[Misfit, ...]]]


def people_batches(source: FileSource, protocol: LinkageProtocol) -> Batches:
    """The protocol's fields under their own names as text, and what lies between the rows and is none.

    Raises
    ------
    NightlinkError
        E-INPUT for a file that cannot be read as declared; E-SRC-SCHEMA for columns that are not there.
    """
    rules = ProtocolRules(protocol, source.format, source.columns)
    order = EdgeInput(source.people_file, source.encoding, source.delimiter)
    yield from _batches(order, rules.columns(), rules.fields)


def content_batches(source: FileSource, columns: Sequence[str]) -> Batches:
    """The content's columns under their own names, empty texts as missing, declared dates as ISO dates.

    Raises as :func:`people_batches` does.
    """
    if source.content_file is None:
        return
    names = tuple(source.content_columns.get(name, name) for name in columns)
    order = EdgeInput(source.content_file, source.encoding, source.delimiter)
    for batch, misfits in _batches(order, Columns(names), columns):
        texts = [_as_text(batch.column(name)) for name in columns]
        written = [
            iso_dates(text, source.format) if name in DATE_COLUMNS else text
            for name, text in zip(columns, texts, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(written, names=list(columns)), misfits


def _batches(order: EdgeInput, columns: Columns, fields: Sequence[str]) -> Batches:
    rows = 0
    with open_people(order, columns) as people, progress("reading", people.total_bytes) as tell:
        for batch in people.batches:
            rows += len(batch.row_numbers) + len(batch.misfits)
            yield pa.RecordBatch.from_arrays(list(batch.columns), names=list(fields)), batch.misfits
            tell(rows, batch.bytes_read)


def _as_text(column: pa.Array) -> pa.Array:
    """Text, empty ones missing; bytes that are none get marks that no rule about codes and dates lets pass."""
    if not pa.types.is_string(column.type):
        column = pa.array([None if v is None else _decoded(v) for v in column.to_pylist()], pa.string())
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _decoded(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
