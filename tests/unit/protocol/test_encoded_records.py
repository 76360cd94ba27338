"""Encoded records: the arrays that may be one, their order, and a representation without content."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import (
    EncodedRecords,
    concat_records,
    empty_records,
    pseudonym_order,
    sort_by_pseudonym,
)
from tests.reference.tiny_delivery import same_records, some_records

PSEUDONYMS = np.zeros(2, "V16")
FILTERS = np.zeros((2, 4), np.uint64)
BLOCKS = np.zeros((2, 3), np.uint64)


@pytest.mark.parametrize(
    ("pseudonyms", "filters", "blocks", "found"),
    [
        (np.zeros(2, "S16"), FILTERS, BLOCKS, "record_pseudonyms as |S16"),
        (np.zeros((2, 1), "V16"), FILTERS, BLOCKS, "record_pseudonyms as |V16 of shape (2, 1)"),
        (PSEUDONYMS, FILTERS[:1], BLOCKS, "filters as uint64 of shape (1, 4)"),
        (PSEUDONYMS, FILTERS.astype(">u8"), BLOCKS, "filters as >u8"),
        (PSEUDONYMS, FILTERS[:, ::2], BLOCKS, "filters as uint64 of shape (2, 2), not C-contiguous"),
        (PSEUDONYMS, FILTERS, BLOCKS.astype(np.int64), "blocking_values as int64"),
        (PSEUDONYMS, FILTERS, BLOCKS[0], "blocking_values as uint64 of shape (3,)"),
    ],
)
def test_wrong_arrays_are_refused(
    pseudonyms: np.ndarray, filters: np.ndarray, blocks: np.ndarray, found: str
) -> None:
    with pytest.raises(NightlinkError) as caught:
        EncodedRecords(pseudonyms, filters, blocks)
    assert caught.value.code == "E-KERNEL-INPUT"
    assert caught.value.found.startswith(found)


def test_representation_holds_shapes_and_no_content() -> None:
    assert repr(some_records(3)) == "EncodedRecords(3 records, 4 filter words, 2 passes)"


def test_parts_are_joined_in_order() -> None:
    whole = some_records(5)
    parts = [
        EncodedRecords(whole.record_pseudonyms[rows], whole.filters[rows], whole.blocking_values[rows])
        for rows in (slice(0, 2), slice(2, 2), slice(2, 5))
    ]
    assert same_records(concat_records(parts), whole)


def test_no_parts_or_unlike_parts_are_refused() -> None:
    for parts in ([], [empty_records(4, 2), empty_records(4, 3)]):
        with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
            concat_records(parts)


def test_sorting_is_by_bytes_and_keeps_rows_together() -> None:
    records = some_records(200)
    found = sort_by_pseudonym(records)
    order = sorted(range(200), key=lambda i: records.record_pseudonyms[i].tobytes())
    assert found.record_pseudonyms.tolist() == records.record_pseudonyms[order].tolist()
    assert np.array_equal(found.filters, records.filters[order])
    assert np.array_equal(found.blocking_values, records.blocking_values[order])
    assert found.filters.flags.c_contiguous


def test_equal_pseudonyms_keep_their_order() -> None:
    assert pseudonym_order(np.zeros(4, "V16")).tolist() == [0, 1, 2, 3]
    assert len(sort_by_pseudonym(empty_records(4, 2))) == 0
