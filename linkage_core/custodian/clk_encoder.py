"""Records to cryptographic long-term keys by a linkage schema, as clkhash 0.18.3 makes them. Zone: custodian.

Bit for bit the same; but a record that breaks the schema is told by row, feature and reason code, never by
value, and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.clk_filters import (
    Filters,
    filter_words,
    fold_filters,
    merge_values,
    value_filters,
)
from linkage_core.custodian.clk_keys import derive_clk_keys
from linkage_core.custodian.clk_tokens import value_tokens
from linkage_core.custodian.clk_values import SCHEMA_RULES, check_values
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import Feature, LinkageSchema, StringFormat

_FILTER_MEMORY_BYTES = 1 << 26

Breach = tuple[npt.NDArray[np.intp], str, str]
"""Rows, identifier of the feature, reason code."""


@dataclass(frozen=True)
class ClkEncoder:
    """Schema and keys; ``repr`` shows no key. Build it with :func:`clk_encoder`."""

    schema: LinkageSchema
    keys: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    check: bool = True

    @property
    def rows_a_batch(self) -> int:
        """Rows to hand over at once, so that filters stay within 64 MiB."""
        return max(1000, min(100_000, _FILTER_MEMORY_BYTES // (8 * filter_words(self.schema.hashed_bits))))


@dataclass(frozen=True)
class SchemaVerdicts:
    """Which rows of a batch keep the schema, and why the others do not.

    Attributes
    ----------
    accepted : ndarray of bool, shape (n,)
    rows : ndarray of intp, shape (r,)
        Row of each breach, ascending; within a row in the order of the features.
    fields, codes : tuple of str, length r
        Identifier of the feature and reason code (:data:`SCHEMA_RULES`) of each breach.
    """

    accepted: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.intp]
    fields: tuple[str, ...]
    codes: tuple[str, ...]

    @property
    def rejected_by_rule(self) -> dict[str, int]:
        """Rejected rows by reason code; a row counts once under each of its codes."""
        counts = Counter(code for _, code in set(zip(self.rows.tolist(), self.codes, strict=True)))
        return {code: counts[code] for code in SCHEMA_RULES if counts[code]}


@dataclass(frozen=True)
class ClkBatch:
    """The CLKs of a batch's sound rows: uint8, shape (accepted rows, clk_bytes), in the rows' order."""

    verdicts: SchemaVerdicts
    clks: Filters = field(repr=False)

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
        """Which rows have a CLK."""
        return self.verdicts.accepted


def clk_encoder(schema: LinkageSchema, secret: str, *, check: bool = True) -> ClkEncoder:
    """An encoder for one schema and secret; E-KEY-FILE for an empty secret."""
    return ClkEncoder(schema, derive_clk_keys(secret, len(schema.features), schema.kdf), check)


def encode_clks(columns: Sequence[pa.Array], encoder: ClkEncoder) -> ClkBatch:
    """Encode a batch.

    Parameters
    ----------
    columns : sequence of pyarrow arrays
        A column of text (utf8) or bytes (binary, for texts that may be no valid UTF-8) for each feature of
        the schema, in its order, ignored ones too. A null is an empty text.

    Raises
    ------
    NightlinkError
        E-INPUT when the columns are not as many as the features, of one length, and text.
    """
    schema = encoder.schema
    rows = _check_columns(columns, schema)
    filters = np.zeros((rows, filter_words(schema.hashed_bits)), np.uint64)
    broken: list[Breach] = []
    for column, feature, keys in zip(columns, schema.features, encoder.keys, strict=True):
        if feature.hashing is None:
            continue
        value_of_row, texts, found = _judge_column(column, feature, check=encoder.check)
        encoding = feature.format.encoding if isinstance(feature.format, StringFormat) else "utf-8"
        tokens = value_tokens(texts, feature.hashing.comparison)
        of_values = value_filters(tokens, feature.hashing, encoding, keys, schema.hashed_bits)
        merge_values(filters, of_values, value_of_row)
        broken += found
    verdicts = _in_order_of_rows(broken, rows)
    sound = filters if verdicts.accepted.all() else filters[verdicts.accepted]
    return ClkBatch(verdicts, fold_filters(sound, schema))


def check_records(
    columns: Sequence[pa.Array], schema: LinkageSchema, *, check: bool = True
) -> SchemaVerdicts:
    """What is wrong with a batch's records, without any key; arguments and errors as of :func:`encode_clks`."""
    rows = _check_columns(columns, schema)
    broken: list[Breach] = []
    for column, feature in zip(columns, schema.features, strict=True):
        if not feature.ignored:
            broken += _judge_column(column, feature, check=check)[2]
    return _in_order_of_rows(broken, rows)


def _judge_column(
    column: pa.Array, feature: Feature, *, check: bool
) -> tuple[npt.NDArray[np.intp], list[str], list[Breach]]:
    """Each row's value, the distinct values formatted for hashing, and the rows at fault by reason code."""
    value_of_row, values, unreadable = _distinct_texts(column)
    texts, faults = check_values(values, feature, check=check)
    for i in unreadable:
        texts[i], faults[i] = "", "R-SURROGATE"
    if not faults:
        return value_of_row, texts, []
    names = list(SCHEMA_RULES)
    codes = np.zeros(len(values), np.int64)
    codes[list(faults)] = [names.index(code) + 1 for code in faults.values()]
    of_row = codes[value_of_row]
    breaches = [
        (np.flatnonzero(of_row == number), feature.identifier, names[number - 1])
        for number in np.unique(of_row[of_row > 0]).tolist()
    ]
    return value_of_row, texts, breaches


def _distinct_texts(column: pa.Array) -> tuple[npt.NDArray[np.intp], list[str], list[int]]:
    """Each row's value, the distinct values as text, and the indices of those that are no valid UTF-8."""
    if column.null_count:
        column = column.fill_null(b"" if _is_binary(column.type) else "")
    encoded = column.dictionary_encode()
    value_of_row = encoded.indices.to_numpy(zero_copy_only=False).astype(np.intp, copy=False)
    values = encoded.dictionary
    try:
        return value_of_row, values.cast(pa.large_utf8()).to_pylist(), []
    except pa.ArrowInvalid:
        return value_of_row, *_readable_texts(values.to_pylist())


def _readable_texts(values: list[bytes]) -> tuple[list[str], list[int]]:
    texts, unreadable = [], []
    for i, value in enumerate(values):
        try:
            texts.append(value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append("")
            unreadable.append(i)
    return texts, unreadable


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _check_columns(columns: Sequence[pa.Array], schema: LinkageSchema) -> int:
    lengths = {len(column) for column in columns}
    text = all(
        _is_binary(c.type) or pa.types.is_string(c.type) or pa.types.is_large_string(c.type) for c in columns
    )
    if len(columns) != len(schema.features) or len(lengths) > 1 or not text:
        raise NightlinkError(
            "E-INPUT",
            found=f"{len(columns)} columns of {sorted(lengths)} rows" + ("" if text else ", not all of text"),
            expected=f"{len(schema.features)} columns of text, all of one length",
            remedy="Hand over a column for each feature of the schema, ignored ones too.",
        )
    return lengths.pop() if lengths else 0


def _in_order_of_rows(broken: list[Breach], rows: int) -> SchemaVerdicts:
    accepted = np.ones(rows, bool)
    for where, _, _ in broken:
        accepted[where] = False
    flat = np.concatenate([np.zeros(0, np.intp), *(where for where, _, _ in broken)])
    source = np.repeat(np.arange(len(broken)), [len(where) for where, _, _ in broken])
    order = np.argsort(flat, kind="stable")
    return SchemaVerdicts(
        accepted=accepted,
        rows=flat[order],
        fields=tuple(broken[b][1] for b in source[order]),
        codes=tuple(broken[b][2] for b in source[order]),
    )
