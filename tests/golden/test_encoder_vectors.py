"""The encoder's known answers: stored, reviewed, never changed in passing."""

import json

from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY, VECTORS_FILE, encoder_vectors
from tests.reference.slow_encoder import protocol_key, slow_blocking_value, slow_filter, slow_pseudonym


def test_the_encoder_gives_the_stored_vectors() -> None:
    assert encoder_vectors() == json.loads(VECTORS_FILE.read_text(encoding="utf-8"))


def test_the_slow_twin_gives_the_stored_vectors_from_the_normalised_records() -> None:
    stored = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
    assert stored["key_check_value"] == protocol_key(LINKAGE_KEY, PROTOCOL, "key-check", "", 8).hex()
    for record in stored["records"]:
        row = record["normalised"]
        bits = slow_filter(row, PROTOCOL, LINKAGE_KEY)
        assert record["filter"] == bits.to_bytes(PROTOCOL.filter.bits // 8, "little").hex()
        assert record["blocking_values"] == [
            f"{slow_blocking_value(row, blocking_pass, PROTOCOL, LINKAGE_KEY):016x}"
            for blocking_pass in PROTOCOL.blocking.passes
        ]
        pseudonym = slow_pseudonym(SITE_KEY, row["source_id"], PROTOCOL.project, PROTOCOL.key_epoch)
        assert record["record_pseudonym"] == pseudonym.hex()
