"""The encoder's known answers: stored, reviewed, never changed in passing."""

import json

from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY, VECTORS_FILE, encoder_vectors
from tests.reference.slow_encoder import protocol_key, slow_filter, slow_pseudonym, slow_tokens


def test_the_encoder_gives_the_stored_vectors() -> None:
    assert encoder_vectors() == json.loads(VECTORS_FILE.read_text(encoding="utf-8"))


def test_the_slow_twin_gives_the_stored_vectors_from_the_normalised_records() -> None:
    stored = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
    assert stored["key_check_value"] == protocol_key(LINKAGE_KEY, PROTOCOL, "key-check", "", 8).hex()
    for record in stored["records"]:
        row = record["normalised"]
        assert record["filters"] == [
            slow_filter(row, group, PROTOCOL, LINKAGE_KEY).to_bytes(group.diffused_bits // 8, "little").hex()
            for group in PROTOCOL.evidence.filters
        ]
        assert record["tokens"] == [f"{value:016x}" for value in slow_tokens(row, PROTOCOL, LINKAGE_KEY)]
        assert [band > 0 for band in record["rarity"]] == [bool(row[f]) for f in PROTOCOL.field_names]
        pseudonym = slow_pseudonym(SITE_KEY, row["source_id"], PROTOCOL.project, PROTOCOL.key_epoch)
        assert record["record_pseudonym"] == pseudonym.hex()
