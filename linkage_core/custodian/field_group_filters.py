"""Hardened filters over groups of fields: how nearly two fields agree, and nothing of one alone.
Zone: custodian.

A filter over two fields at t = 8 gave nothing to any attack that was run, singly or three of them jointly
(MATCHING, "What it costs"); a single field never gets a filter of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.bloom_filters import add_field, position_table
from linkage_core.custodian.field_columns import FieldColumns, code_part
from linkage_core.custodian.filter_hardening import harden
from linkage_core.custodian.key_derivation import GroupFilterKeys
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.custodian.salted_q_grams import salt_q_grams
from linkage_core.protocol.evidence_spec import TokenPart
from linkage_core.protocol.linkage_protocol import FieldSpec, FilterGroup


@dataclass(frozen=True)
class FilterFill:
    """Set bits of some records' filters before diffusion, and how many records have a filter."""

    set_bits: int
    records: int

    def __add__(self, other: FilterFill) -> FilterFill:
        return FilterFill(self.set_bits + other.set_bits, self.records + other.records)

    def share(self, filter_bits: int) -> float:
        """Mean share of set bits; 0.0 when no record has a filter."""
        return self.set_bits / (filter_bits * max(self.records, 1))


@dataclass(frozen=True)
class GroupFilters:
    """Hardened filters of one group, and their fill before hardening."""

    filters: npt.NDArray[np.uint64] = field(repr=False)
    fill: FilterFill


def encode_group(
    columns: FieldColumns,
    group: FilterGroup,
    field_specs: Mapping[str, FieldSpec],
    keys: GroupFilterKeys,
    rows: int,
    table: npt.NDArray[np.uint16] | None = None,
) -> GroupFilters:
    """One group's filters: all zero for a record that lacks one of the group's fields.

    Parameters
    ----------
    table : ndarray of uint16, optional
        The group's :func:`linkage_core.custodian.filter_hardening.hardening_table`, where many batches share it.

    Returns
    -------
    GroupFilters
        ``filters`` is uint64 of shape (rows, sent_bits / 64). A row depends on that row, the group and
        the keys only.
    """
    plain, complete = _plain_filters(columns, group, field_specs, keys, rows)
    plain[~complete] = 0
    fill = FilterFill(int(np.bitwise_count(plain).sum(dtype=np.int64)), int(np.count_nonzero(complete)))
    return GroupFilters(harden(plain, group, keys.diffusion, table), fill)


def _plain_filters(
    columns: FieldColumns,
    group: FilterGroup,
    field_specs: Mapping[str, FieldSpec],
    keys: GroupFilterKeys,
    rows: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    plain = np.zeros((rows, group.bits // 64), np.uint64)
    complete = np.ones(rows, np.bool_)
    salt = code_part(columns, TokenPart(group.salt.field, group.salt.code), rows) if group.salt else None
    for name in group.fields:
        column = columns[name]
        value_of_row, q_grams = column.value_of_row, value_q_grams(column.values, field_specs[name])
        if salt is not None:
            value_of_row, q_grams = salt_q_grams(value_of_row, q_grams, salt)
        complete &= value_of_row >= 0
        positions = position_table(
            keys.positions[name], q_grams.tokens, min(group.bits_per_q_gram, group.field_bits), group.bits
        )
        add_field(plain, value_of_row, q_grams, positions, group.field_bits, group.bits_per_q_gram)
    return plain, complete
