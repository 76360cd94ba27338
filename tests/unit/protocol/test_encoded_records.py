"""Encoded records: the arrays that may be one, their order, and a representation without content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import (
    EncodedRecords,
    blocking_values,
    concat_records,
    empty_records,
    pseudonym_order,
    take_records,
)
from linkage_core.protocol.evidence_spec import evidence_of
from tests.reference.tiny_delivery import same_records, some_records, tiny_protocol

SPEC = evidence_of(tiny_protocol())
EVIDENCE = some_records(2).evidence


@pytest.mark.parametrize(
    ("pseudonyms", "found"),
    [
        (np.zeros(2, "S16"), "record_pseudonyms as |S16"),
        (np.zeros((2, 1), "V16"), "record_pseudonyms as |V16 of (2, 1)"),
        (np.zeros(3, "V16"), "record_pseudonyms as |V16 of (3,)"),
    ],
)
def test_wrong_pseudonyms_are_refused(pseudonyms: np.ndarray, found: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        EncodedRecords(pseudonyms, EVIDENCE)
    assert caught.value.code == "E-KERNEL-INPUT"
    assert caught.value.found.startswith(found)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"tokens": EVIDENCE.tokens.astype(np.int64)}, "tokens as int64"),
        ({"tokens": EVIDENCE.tokens[:, ::2]}, "tokens as uint64"),
        ({"rarity": EVIDENCE.rarity[:1]}, "rarity as uint8 of shape (1, 4)"),
        ({"sex": EVIDENCE.rarity}, "sex as uint8 of shape (2, 4)"),
        ({"group_filters": (EVIDENCE.group_filters[0].astype(">u8"),)}, "group_filters as >u8"),
    ],
)
def test_wrong_evidence_is_refused(change: dict[str, object], found: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        replace(EVIDENCE, **change)
    assert caught.value.found.startswith(found)


def test_representation_holds_shapes_and_no_content() -> None:
    shown = "EncodedRecords(EncodedEvidence(3 records, 3 tokens, 1 filters, 4 fields))"
    assert repr(some_records(3)) == shown


def test_parts_are_joined_in_order() -> None:
    whole = some_records(5)
    parts = [take_records(whole, rows) for rows in (slice(0, 2), slice(2, 2), slice(2, 5))]
    assert same_records(concat_records(parts), whole)
    assert same_records(concat_records([empty_records(SPEC), whole]), whole)


def test_no_parts_are_refused() -> None:
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        concat_records([])


def test_blocking_values_are_the_first_tokens() -> None:
    records = some_records(5)
    values = blocking_values(records, SPEC)
    assert values.shape == (5, 2) and values.flags.c_contiguous
    assert np.array_equal(values, records.evidence.tokens[:, :2])


def test_the_order_is_by_bytes() -> None:
    pseudonyms = some_records(200).record_pseudonyms
    order = sorted(range(200), key=lambda i: pseudonyms[i].tobytes())
    assert pseudonym_order(pseudonyms).tolist() == order


def test_equal_pseudonyms_keep_their_order() -> None:
    assert pseudonym_order(np.zeros(4, "V16")).tolist() == [0, 1, 2, 3]
