"""Raw batches to normalised ones: what both custodians' values look like before encoding. Zone: custodian."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.column_normalisers import normalise_values
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import SOURCE_ID, are_blank, as_text, distinct_values
from linkage_core.protocol.linkage_protocol import FieldSpec, LinkageProtocol


@dataclass(frozen=True)
class NormalisedBatch:
    """A normalised batch and its counts; ``repr`` shows the counts only.

    Attributes
    ----------
    records : RecordBatch
        ``source_id`` as it came, then every field of the protocol in its order: lower-case ASCII text, null
        when missing; a date as YYYYMMDD, a telephone number in E.164.
    changed : mapping of str to int
        Rows a field whose value is present and not what the source wrote.
    missing : mapping of str to int
        Rows a field without a value afterwards.
    emptied : mapping of str to int
        Of the missing, the rows in which the source wrote something other than blanks: placeholders and
        values of which nothing usable was left.
    """

    records: pa.RecordBatch = field(repr=False)
    changed: Mapping[str, int]
    missing: Mapping[str, int]
    emptied: Mapping[str, int]


@dataclass(frozen=True)
class _NormalisedColumn:
    values: pa.Array = field(repr=False)
    changed: int
    missing: int
    emptied: int


def normalise_batch(
    batch: pa.RecordBatch,
    protocol: LinkageProtocol,
    source_format: SourceFormat,
    as_of: dt.date | None = None,
) -> NormalisedBatch:
    """Normalise every field of the protocol; row order is kept.

    Total: no text makes it fail; what breaks a field rule becomes missing. Idempotent: normalising the result
    under ``CANONICAL_FORMAT`` (with the same ``phone_region``) changes nothing. Work is done once for each
    distinct value of a column, and nothing outlives the call.

    Parameters
    ----------
    batch : RecordBatch
        ``source_id`` and any of the protocol's fields as utf8 or binary columns; a column that is not there
        is a field without values.
    as_of : date, optional
        The night's date: a later date of birth becomes missing.

    Raises
    ------
    NightlinkError
        E-SRC-SCHEMA when a column holds neither text nor bytes.
    """
    columns = {spec.name: _normalise_column(batch, spec, source_format, as_of) for spec in protocol.fields}
    arrays = {SOURCE_ID: _source_ids(batch)} | {name: column.values for name, column in columns.items()}
    return NormalisedBatch(
        pa.RecordBatch.from_pydict(arrays),
        changed={name: column.changed for name, column in columns.items()},
        missing={name: column.missing for name, column in columns.items()},
        emptied={name: column.emptied for name, column in columns.items()},
    )


def _normalise_column(
    batch: pa.RecordBatch, spec: FieldSpec, source_format: SourceFormat, as_of: dt.date | None
) -> _NormalisedColumn:
    indices, raw = distinct_values(batch, spec.name)
    normal = normalise_values(raw, spec.kind, source_format, as_of)
    is_missing = normal.is_null().to_numpy(zero_copy_only=False)
    same = pc.equal(normal.cast(pa.large_binary()), raw).fill_null(True)
    rows_of_value = np.bincount(indices[indices >= 0], minlength=len(raw))
    nulls = int(np.count_nonzero(indices < 0))
    return _NormalisedColumn(
        values=normal.take(pa.array(indices, mask=indices < 0)),
        changed=int(rows_of_value[~same.to_numpy(zero_copy_only=False)].sum()),
        missing=nulls + int(rows_of_value[is_missing].sum()),
        emptied=int(rows_of_value[is_missing & ~are_blank(raw)].sum()),
    )


def _source_ids(batch: pa.RecordBatch) -> pa.Array:
    """The ids as text; bytes that are no text read as U+FFFD, as the field rules refuse their rows."""
    if SOURCE_ID in batch.schema.names and pa.types.is_string(batch.column(SOURCE_ID).type):
        return as_text(batch.column(SOURCE_ID))
    indices, raw = distinct_values(batch, SOURCE_ID)
    return as_text(raw).take(pa.array(indices, mask=indices < 0))
