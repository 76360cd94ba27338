"""The stored known answers still come out, and a part written long ago is still read."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from linkage_core.audit.audit_events import canonical_entry, parse_entry
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.protocol.delivery_manifest import open_manifest
from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.wire_format import read_part
from tests.golden.protocol_and_audit_vectors import PART_ROWS, VECTORS_FILE, computed_vectors
from tests.reference.tiny_delivery import same_records, tiny_manifest, tiny_protocol

STORED = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(computed_vectors()))
def test_the_known_answer_comes_out(name: str) -> None:
    assert computed_vectors()[name] == STORED[name]


def test_no_vector_is_forgotten() -> None:
    assert set(STORED) == {*computed_vectors(), "part_base64"}


def test_the_stored_manifest_opens_with_the_stored_key() -> None:
    public_key = public_key_from_hex(STORED["public_key"])
    assert open_manifest(STORED["sealed_manifest"].encode(), public_key) == tiny_manifest()


def test_the_stored_entries_are_read() -> None:
    assert [canonical_entry(parse_entry(text)) for text in STORED["entries"]] == STORED["entries"]


def test_the_stored_part_is_read() -> None:
    """Only that it is read: pyarrow writes its version into the file, so that its bytes may change."""
    stored = STORED["records"]
    evidence = EncodedEvidence(
        np.array(stored["tokens"], np.uint64),
        tuple(np.array(filters, np.uint64) for filters in stored["group_filters"]),
        np.array(stored["rarity"], np.uint8),
        np.array(stored["sex"], np.uint8),
    )
    pseudonyms = np.frombuffer(bytes.fromhex("".join(stored["record_pseudonyms"])), "V16")
    expected = EncodedRecords(pseudonyms, evidence)
    found = read_part(base64.b64decode(STORED["part_base64"]), tiny_protocol(), PART_ROWS)
    assert same_records(found, expected)
