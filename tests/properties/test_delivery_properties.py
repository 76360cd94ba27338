"""Properties of parts and manifests: they come back as they were, and no altered byte gets through."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import check_part, describe_part, open_manifest, seal_manifest
from linkage_core.protocol.encoded_records import EncodedRecords, concat_records, pseudonym_order
from linkage_core.protocol.wire_format import read_part, write_part
from tests.reference.tiny_delivery import (
    SIGNING_KEY,
    same_records,
    some_records,
    tiny_manifest,
    tiny_part,
    tiny_protocol,
)

PROTOCOL = tiny_protocol()
PUBLIC_KEY = SIGNING_KEY.public_key()
PART = tiny_part(20)
ENTRY = describe_part("part-0000.sealed", 20, PART)
SEALED = seal_manifest(tiny_manifest(), SIGNING_KEY)
WORDS = st.one_of(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))


@st.composite
def records(draw: st.DrawFn) -> EncodedRecords:
    rows = draw(st.integers(0, 40))
    found = some_records(rows, seed=draw(st.integers(0, 2**32)))
    tokens = draw(hnp.arrays(np.uint64, found.evidence.tokens.shape, elements=WORDS))
    return EncodedRecords(found.record_pseudonyms, replace(found.evidence, tokens=tokens))


@given(records())
def test_a_part_comes_back_in_the_same_order_and_the_same_bytes(found: EncodedRecords) -> None:
    data = write_part(found, PROTOCOL)
    again = read_part(data, PROTOCOL, len(found))
    assert same_records(found, again)
    assert write_part(again, PROTOCOL) == data


@given(records(), records())
def test_parts_joined_and_sorted_do_not_depend_on_their_order(
    one: EncodedRecords, other: EncodedRecords
) -> None:
    whole = concat_records([one, other]).record_pseudonyms
    turned = concat_records([other, one]).record_pseudonyms
    assert whole[pseudonym_order(whole)].tobytes() == turned[pseudonym_order(turned)].tobytes()
    assert len(whole) == len(one) + len(other)


@given(st.integers(0, len(PART) - 1), st.integers(1, 255))
def test_a_part_with_one_byte_altered_is_refused_by_its_digest(position: int, mask: int) -> None:
    altered = bytearray(PART)
    altered[position] ^= mask
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST"):
        check_part(ENTRY, bytes(altered))


@given(st.integers(0, len(PART) - 1), st.integers(1, 255))
@settings(max_examples=400)
def test_the_reader_meets_any_altered_byte_with_its_own_error_or_the_true_records(
    position: int, mask: int
) -> None:
    """What a custodian signs may be broken too; only bytes that carry no content may differ unnoticed."""
    altered = bytearray(PART)
    altered[position] ^= mask
    try:
        found = read_part(bytes(altered), PROTOCOL, 20)
    except NightlinkError as error:
        assert error.code == "E-DLV-FORMAT"
    else:
        assert same_records(found, some_records(20))


@given(st.lists(st.tuples(st.integers(0, len(PART) - 1), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=400)
def test_the_reader_meets_many_altered_bytes_without_crashing(changes: list[tuple[int, int]]) -> None:
    altered = bytearray(PART)
    for position, value in changes:
        altered[position] = value
    try:
        assert len(read_part(bytes(altered), PROTOCOL, 20)) == 20
    except NightlinkError as error:
        assert error.code == "E-DLV-FORMAT"


@pytest.mark.parametrize("length", range(0, len(PART), 97))
def test_a_part_cut_short_is_refused(length: int) -> None:
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST"):
        check_part(ENTRY, PART[:length])
    with pytest.raises(NightlinkError, match="E-DLV-FORMAT"):
        read_part(PART[:length], PROTOCOL, 20)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_part_and_as_a_manifest(data: bytes) -> None:
    with pytest.raises(NightlinkError, match="E-DLV-FORMAT"):
        read_part(data, PROTOCOL, 20)
    with pytest.raises(NightlinkError, match="E-DLV-MANIFEST"):
        open_manifest(data, PUBLIC_KEY)


def test_a_manifest_cut_at_every_position_is_refused() -> None:
    for length in range(len(SEALED)):
        with pytest.raises(NightlinkError, match="E-DLV-MANIFEST|E-DLV-SIGNATURE"):
            open_manifest(SEALED[:length], PUBLIC_KEY)


def test_a_manifest_with_any_one_bit_flipped_is_refused() -> None:
    for position in range(len(SEALED)):
        altered = bytearray(SEALED)
        altered[position] ^= 1 << (position % 8)
        with pytest.raises(NightlinkError, match="E-DLV-MANIFEST|E-DLV-SIGNATURE"):
            open_manifest(bytes(altered), PUBLIC_KEY)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_manifest_with_one_byte_altered_is_refused(position: int, mask: int) -> None:
    altered = bytearray(SEALED)
    altered[position] ^= mask
    with pytest.raises(NightlinkError, match="E-DLV-MANIFEST|E-DLV-SIGNATURE"):
        open_manifest(bytes(altered), PUBLIC_KEY)
