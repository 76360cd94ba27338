"""Normalised batches to encoded records. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.blocking_keys import (
    CodedColumn,
    blocking_values,
    code_column,
    coding_functions,
    unordered_pair,
)
from linkage_core.custodian.bloom_filters import add_field, position_table
from linkage_core.custodian.key_derivation import CustodianKeys
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.custodian.normalise import NormalisedBatch
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, NAMES
from linkage_core.protocol.linkage_protocol import BlockingPart, LinkageProtocol


@dataclass(frozen=True)
class RecordEncoder:
    """All that an encoding depends on besides the records; ``repr`` shows no key."""

    protocol: LinkageProtocol
    keys: CustodianKeys = field(repr=False)
    site_key: bytes = field(repr=False)


@dataclass(frozen=True)
class FilterStatistics:
    """Share of set bits over the filters of a batch; all 0.0 for an empty batch."""

    rows: int
    fill_mean: float
    fill_min: float
    fill_max: float


@dataclass(frozen=True)
class _DistinctColumn:
    """A normalised column as distinct values and each row's index into them, -1 for null."""

    value_of_row: npt.NDArray[np.intp] = field(repr=False)
    values: pa.Array = field(repr=False)


def encode_batch(normalised: NormalisedBatch | pa.RecordBatch, encoder: RecordEncoder) -> EncodedRecords:
    """Encode a normalised batch: pseudonyms, record-level filters, blocking values.

    Row order is kept; shuffle or sort by pseudonym before anything leaves. A row's encoding depends on that
    row, the protocol and the keys only: neither on the batch around it nor on the number of threads.

    Parameters
    ----------
    normalised : NormalisedBatch, or its ``records``
        ``source_id`` without nulls, and the protocol's fields (a field without a column has no values).

    Raises
    ------
    NightlinkError
        E-INPUT when a source id is missing or a column is not normalised text; E-PROTOCOL when this
        installation has not the protocol's nickname table.
    """
    batch = normalised.records if isinstance(normalised, NormalisedBatch) else normalised
    protocol = encoder.protocol
    columns = {name: _distinct_column(batch, name) for name in protocol.field_names}
    return EncodedRecords(
        record_pseudonyms(
            encoder.site_key, batch.column(SOURCE_ID), project=protocol.project, epoch=protocol.key_epoch
        ),
        _encode_filters(columns, encoder, batch.num_rows),
        _encode_blocking_values(columns, encoder, batch.num_rows),
    )


def filter_statistics(encoded: EncodedRecords) -> FilterStatistics:
    """Mean, smallest and largest fill of a batch's filters."""
    rows, words = encoded.filters.shape
    if rows == 0:
        return FilterStatistics(0, 0.0, 0.0, 0.0)
    fill = np.bitwise_count(encoded.filters).sum(axis=1, dtype=np.int64) / (64 * words)
    return FilterStatistics(rows, float(fill.mean()), float(fill.min()), float(fill.max()))


def _encode_filters(
    columns: dict[str, _DistinctColumn], encoder: RecordEncoder, rows: int
) -> npt.NDArray[np.uint64]:
    protocol = encoder.protocol
    most = protocol.filter.max_bits_per_q_gram
    filters = np.zeros((rows, protocol.filter_words), np.uint64)
    for spec in protocol.fields:
        column = columns[spec.name]
        if spec.bits == 0 or len(column.values) == 0:
            continue
        q_grams = value_q_grams(column.values, spec)
        key = encoder.keys.filter_keys[spec.name]
        positions = position_table(key, q_grams.tokens, min(spec.bits, most), protocol.filter.bits)
        add_field(filters, column.value_of_row, q_grams, positions, spec.bits, most)
    return filters


def _encode_blocking_values(
    columns: dict[str, _DistinctColumn], encoder: RecordEncoder, rows: int
) -> npt.NDArray[np.uint64]:
    passes = encoder.protocol.blocking.passes
    functions = coding_functions(load_formal_names(encoder.protocol.nickname_table))
    parts = {part for blocking_pass in passes for part in blocking_pass.parts}
    coded = {part: _code(columns, part, functions) for part in parts}
    values = np.zeros((rows, len(passes)), np.uint64)
    for p, blocking_pass in enumerate(passes):
        values[:, p] = blocking_values(
            encoder.keys.blocking_keys[blocking_pass.name], blocking_pass, coded, rows
        )
    return values


def _code(
    columns: dict[str, _DistinctColumn],
    part: BlockingPart,
    functions: Mapping[str, Callable[[str], str | None]],
) -> CodedColumn:
    if part.field == NAMES:
        given, family = (
            _code(columns, BlockingPart(field=name, code=part.code), functions) for name in (GIVEN, FAMILY)
        )
        return unordered_pair(given, family)
    column = columns[part.field]
    return code_column(column.value_of_row, column.values, part.code, functions)


def _distinct_column(batch: pa.RecordBatch, name: str) -> _DistinctColumn:
    if name not in batch.schema.names:
        return _DistinctColumn(np.full(batch.num_rows, -1, np.intp), pa.array([], pa.utf8()))
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
    return _DistinctColumn(indices, encoded.dictionary)
