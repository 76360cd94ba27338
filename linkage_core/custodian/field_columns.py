"""Normalised columns as distinct values, and seen through codes. Zone: custodian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.blocking_keys import BLOCKING_FUNCTIONS, CodedColumn, unordered_pair
from linkage_core.errors import NightlinkError
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, NAMES, TokenPart


@dataclass(frozen=True)
class FieldColumn:
    """A normalised column: each row's index into the distinct values, -1 for a missing one."""

    value_of_row: npt.NDArray[np.intp] = field(repr=False)
    values: pa.Array = field(repr=False)


FieldColumns = Mapping[str, FieldColumn]


def field_columns(batch: pa.RecordBatch, fields: Sequence[str]) -> FieldColumns:
    """The batch's columns by field; a field without a column has no values.

    Raises
    ------
    NightlinkError
        E-INPUT when a column is not normalised text.
    """
    return {name: _field_column(batch, name) for name in fields}


def code_part(columns: FieldColumns, part: TokenPart, rows: int) -> CodedColumn:
    """One part of a token: a field seen through its code, or both names without their order."""
    if part.field == NAMES:
        return _unordered_names(columns, part.code, rows)
    column = columns.get(part.field)
    if column is None:
        return CodedColumn(np.full(rows, -1, np.int64), pa.array([], pa.utf8()))
    return code_field(column, part.code)


def code_field(column: FieldColumn, code: str) -> CodedColumn:
    """A column seen through a code."""
    if code == "exact":
        return CodedColumn(column.value_of_row.astype(np.int64), column.values)
    function = BLOCKING_FUNCTIONS[code]
    coded = pa.array([function(v) for v in column.values.to_pylist()], pa.utf8()).dictionary_encode()
    code_of_value = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # a last entry of -1 serves the rows whose value index is -1
    return CodedColumn(np.append(code_of_value, -1)[column.value_of_row], coded.dictionary)


def _unordered_names(columns: FieldColumns, code: str, rows: int) -> CodedColumn:
    given, family = (code_part(columns, TokenPart(name, code), rows) for name in (GIVEN, FAMILY))
    return unordered_pair(given, family)


def _field_column(batch: pa.RecordBatch, name: str) -> FieldColumn:
    if name not in batch.schema.names:
        return FieldColumn(np.full(batch.num_rows, -1, np.intp), pa.array([], pa.utf8()))
    column = batch.column(name)
    if not pa.types.is_string(column.type):
        raise NightlinkError(
            "E-INPUT",
            found=f"the column {name} as {column.type}",
            expected="normalised text (utf8)",
            remedy="Pass the batch through normalise_batch first.",
        )
    encoded = column.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
    return FieldColumn(indices, encoded.dictionary)
