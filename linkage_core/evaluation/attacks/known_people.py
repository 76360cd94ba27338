"""People in clear, as an attacker sees them: the q-grams of every record's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.bloom_filters import add_field, position_table
from linkage_core.custodian.code_book import CodedColumn
from linkage_core.custodian.q_grams import ValueQGrams, value_q_grams
from linkage_core.custodian.salted_q_grams import salt_q_grams
from linkage_core.custodian.text_columns import distinct_values
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.linkage_protocol import FieldSpec

Rows = npt.NDArray[np.intp]
AMPLE_BITS = 1 << 20
"""A field's budget that never binds, so that every q-gram gets the same number of positions."""


@dataclass(frozen=True)
class KnownField:
    """One field: each row's index into its distinct values (-1 for missing), and their q-grams and texts."""

    name: str
    value_of_row: Rows = field(repr=False)
    q_grams: ValueQGrams = field(repr=False)
    values: pa.Array = field(repr=False)


@dataclass(frozen=True)
class KnownPeople:
    """Records in clear, one :class:`KnownField` a field; :meth:`take` keeps the numbering of q-grams."""

    fields: tuple[KnownField, ...]
    rows: int

    def take(self, rows: Rows) -> KnownPeople:
        """Some rows, in the given order."""
        kept = (KnownField(f.name, f.value_of_row[rows], f.q_grams, f.values) for f in self.fields)
        return KnownPeople(tuple(kept), len(rows))

    def only(self, names: Sequence[str]) -> KnownPeople:
        """Some fields."""
        return KnownPeople(tuple(f for f in self.fields if f.name in names), self.rows)


def known_people(records: pa.RecordBatch, specs: Sequence[FieldSpec]) -> KnownPeople:
    """Q-grams of normalised records; both sides go in together, so that they share one numbering."""
    fields = []
    for spec in specs:
        value_of_row, values = distinct_values(records, spec.name)
        texts = values.cast(pa.utf8())
        fields.append(KnownField(spec.name, value_of_row, value_q_grams(texts, spec), texts))
    return KnownPeople(tuple(fields), records.num_rows)


def q_gram_indicators(people: KnownPeople) -> npt.NDArray[np.float32]:
    """Which of all (field, q-gram) pairs a record has: 0.0 or 1.0, shape (n, q-grams)."""
    width = sum(len(f.q_grams.tokens) for f in people.fields)
    indicators = np.zeros((people.rows, width), np.float32)
    first = 0
    for known in people.fields:
        rows, grams = row_q_grams(known)
        indicators[rows, first + grams] = 1.0
        first += len(known.q_grams.tokens)
    return indicators


def row_q_grams(known: KnownField) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All (row, q-gram) pairs of a field, ascending by row."""
    present = np.flatnonzero(known.value_of_row >= 0)
    values = known.value_of_row[present]
    starts, counts = known.q_grams.starts[values], np.diff(known.q_grams.starts)[values]
    rows = np.repeat(present, counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, known.q_grams.gram_ids[np.repeat(starts, counts) + within]


def record_q_grams(people: KnownPeople) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """All fields' q-grams by record: (starts of shape (n + 1,), q-gram numbers, how many numbers there are).

    Numbers are the columns of :func:`q_gram_indicators`.
    """
    rows: list[npt.NDArray[np.int64]] = []
    grams: list[npt.NDArray[np.int64]] = []
    first = 0
    for known in people.fields:
        field_rows, field_grams = row_q_grams(known)
        rows.append(field_rows)
        grams.append(first + field_grams)
        first += len(known.q_grams.tokens)
    row_of = np.concatenate(rows)
    order = np.argsort(row_of, kind="stable")
    starts = np.searchsorted(row_of[order], np.arange(people.rows + 1)).astype(np.int64)
    return starts, np.concatenate(grams)[order], first


def plain_filters(
    people: KnownPeople,
    key: bytes,
    filter_bits: int,
    bits_per_q_gram: int,
    field_bits: Mapping[str, int] | None = None,
) -> npt.NDArray[np.uint64]:
    """Record-level Bloom filters by the custodian's own kernels.

    Every q-gram has ``bits_per_q_gram`` positions, or, where ``field_bits`` has a budget for its field, its
    share of that and at most so many.

    Returns
    -------
    ndarray of uint64, shape (n, filter_bits / 64)
    """
    filters = np.zeros((people.rows, filter_bits // 64), np.uint64)
    for known in people.fields:
        if not len(known.q_grams.tokens):
            continue
        field_key = derive_key(key, ("attacked", known.name))
        positions = position_table(field_key, known.q_grams.tokens, bits_per_q_gram, filter_bits)
        budget = (field_bits or {}).get(known.name, AMPLE_BITS)
        add_field(filters, known.value_of_row, known.q_grams, positions, budget, bits_per_q_gram)
    return filters


def salted_by_year(people: KnownPeople, date: str = "birth_date") -> KnownPeople:
    """The same people with q-grams that depend on the year of birth too, by the custodian's own code."""
    dates = next(known for known in people.fields if known.name == date)
    years = pa.array([text[:4] for text in dates.values.to_pylist()], pa.utf8()).dictionary_encode()
    year_of_value = np.append(years.indices.to_numpy(zero_copy_only=False).astype(np.int64), -1)
    salt = CodedColumn(year_of_value[dates.value_of_row], years.dictionary)
    fields = (
        KnownField(f.name, *salt_q_grams(f.value_of_row, f.q_grams, salt), f.values) for f in people.fields
    )
    return KnownPeople(tuple(fields), people.rows)


def same_value_classes(people: KnownPeople) -> npt.NDArray[np.int64]:
    """A number for each row, equal for rows with the same value in every field."""
    values = np.stack([f.value_of_row for f in people.fields], axis=1)
    return np.unique(values, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
