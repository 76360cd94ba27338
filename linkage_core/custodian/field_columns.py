"""Normalised columns as distinct values, and seen through codes. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.blocking_keys import BLOCKING_FUNCTIONS, coding_functions
from linkage_core.custodian.code_book import CodedColumn, join_unordered
from linkage_core.custodian.column_codes import code_values
from linkage_core.custodian.distinct_values import number_values
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.errors import NightlinkError
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, TokenPart
from linkage_core.protocol.linkage_protocol import NAMES, LinkageProtocol

CodingFunctions = Mapping[str, Callable[[str], str | None]]


@dataclass(frozen=True)
class FieldColumn:
    """A normalised column: each row's index into the distinct values, -1 for a missing one.

    ``functions`` are the codes that its values can be seen through
    (:func:`linkage_core.custodian.blocking_keys.coding_functions`).
    """

    value_of_row: npt.NDArray[np.intp] = field(repr=False)
    values: pa.Array = field(repr=False)
    functions: CodingFunctions = field(default_factory=lambda: BLOCKING_FUNCTIONS, repr=False)


FieldColumns = Mapping[str, FieldColumn]


def field_columns(
    batch: pa.RecordBatch, fields: Sequence[str], functions: CodingFunctions = BLOCKING_FUNCTIONS
) -> FieldColumns:
    """The batch's columns by field; a field without a column has no values.

    Raises
    ------
    NightlinkError
        E-INPUT when a column is not normalised text.
    """
    return {name: _field_column(batch, name, functions) for name in fields}


def protocol_columns(batch: pa.RecordBatch, protocol: LinkageProtocol) -> FieldColumns:
    """The batch's columns of all the protocol's fields, seen through its nickname table.

    Raises
    ------
    NightlinkError
        E-INPUT when a column is not normalised text; E-PROTOCOL when this installation has not the table.
    """
    functions = coding_functions(load_formal_names(protocol.nickname_table))
    return field_columns(batch, protocol.field_names, functions)


def code_part(columns: FieldColumns, part: TokenPart, rows: int) -> CodedColumn:
    """One part of a token: a field seen through its code, or both names without their order.

    A code stands as often as values have it: finding equal ones would cost more than hashing them.
    """
    if part.field == NAMES:
        given, family = (code_part(columns, TokenPart(name, part.code), rows) for name in (GIVEN, FAMILY))
        return join_unordered(given, family)
    column = columns.get(part.field)
    if column is None:
        return CodedColumn(np.full(rows, -1, np.int64), pa.array([], pa.utf8()))
    if part.code == "exact":
        return CodedColumn(column.value_of_row.astype(np.int64), column.values)
    codes = code_values(column.values, part.code, column.functions)
    code_of_row = column.value_of_row.astype(np.int64)
    if codes.null_count:
        has_code = np.append(codes.is_valid().to_numpy(zero_copy_only=False), False)
        code_of_row[~has_code[column.value_of_row]] = -1
    return CodedColumn(code_of_row, codes)


def code_field(column: FieldColumn, code: str) -> CodedColumn:
    """A column seen through a code, with distinct codes."""
    if code == "exact":
        return CodedColumn(column.value_of_row.astype(np.int64), column.values)
    code_of_value, codes = number_values(code_values(column.values, code, column.functions))
    # a last entry of -1 serves the rows whose value index is -1
    return CodedColumn(np.append(code_of_value, -1)[column.value_of_row].astype(np.int64), codes)


def _field_column(batch: pa.RecordBatch, name: str, functions: CodingFunctions) -> FieldColumn:
    column = text_column(batch, name)
    if column is None:
        return FieldColumn(np.full(batch.num_rows, -1, np.intp), pa.array([], pa.utf8()), functions)
    return FieldColumn(*number_values(column), functions)


def text_column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """The batch's column of normalised text; None when it has none.

    Raises
    ------
    NightlinkError
        E-INPUT when the column is not normalised text.
    """
    if name not in batch.schema.names:
        return None
    column = batch.column(name)
    if not pa.types.is_string(column.type):
        raise NightlinkError(
            "E-INPUT",
            found=f"the column {name} as {column.type}",
            expected="normalised text (utf8)",
            remedy="Pass the batch through normalise_batch first.",
        )
    return column
