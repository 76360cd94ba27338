"""Known answers of protocol and audit, made from tiny_protocol.toml and fixed seeds.

``python -m tests.golden.protocol_and_audit_vectors`` writes them anew. A changed vector is a changed protocol: it
needs a new format name or version, and a reason in the changelog.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from pathlib import Path

from linkage_core.audit.audit_events import (
    AuditEntry,
    LinkCounts,
    NightPublished,
    RunFailed,
    canonical_entry,
)
from linkage_core.audit.merkle_tree import grow_tree, leaf_hash
from linkage_core.audit.signatures import public_key_hex, sign
from linkage_core.protocol.delivery_manifest import manifest_digest, seal_manifest
from linkage_core.protocol.linkage_protocol import canonical_protocol, protocol_fingerprint
from tests.reference.tiny_delivery import SIGNING_KEY, some_records, tiny_manifest, tiny_part, tiny_protocol

VECTORS_FILE = Path(__file__).with_name("protocol_and_audit_vectors.json")
PART_ROWS = 6


def entries() -> list[str]:
    """Two audit entries, as a warehouse would write them."""
    published = NightPublished(
        run_id="night-2026-03-01",
        project="tiny",
        as_of=date(2026, 3, 1),
        fence=1,
        deliveries={"hospital": "a" * 64, "pharmacy": "b" * 64},
        protocol_version=3,
        protocol_fingerprint=protocol_fingerprint(tiny_protocol()),
        key_epoch="2026-test",
        key_check_value="0123456789abcdef",
        target_precision=0.99,
        expected_precision=0.9925,
        match_threshold=0.8,
        possible_threshold=0.725,
        code_version="0.1.0",
        links=LinkCounts(opened=3, closed=0, kept=0, match=2, possible_match=1),
        link_table_digest="d" * 64,
        summary_digest="e" * 64,
    )
    failed = RunFailed(run_id="night-2026-03-02", project="tiny", code="E-KEY-MISMATCH")
    at = datetime(2026, 3, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    return [canonical_entry(AuditEntry(at, "linkage_loader", event)) for event in (published, failed)]


def tree_roots() -> list[str]:
    """The Merkle roots of a log of one entry, and of both."""
    leaves = [leaf_hash(entry.encode()) for entry in entries()]
    return [grow_tree(leaves[:size])[0].root.hex() for size in (1, 2)]


def computed_vectors() -> dict[str, object]:
    """All that must come out the same, whatever the library versions."""
    sealed = seal_manifest(tiny_manifest(), SIGNING_KEY)
    records = some_records(PART_ROWS)
    return {
        "canonical_protocol": canonical_protocol(tiny_protocol()).decode(),
        "protocol_fingerprint": protocol_fingerprint(tiny_protocol()),
        "public_key": public_key_hex(SIGNING_KEY),
        "sealed_manifest": sealed.decode(),
        "manifest_digest": manifest_digest(sealed),
        "signature_in_context": sign(SIGNING_KEY, b"nightlink-test", b"message").hex(),
        "entries": entries(),
        "tree_roots": tree_roots(),
        "records": {
            "record_pseudonyms": [value.tobytes().hex() for value in records.record_pseudonyms],
            "tokens": records.evidence.tokens.tolist(),
            "group_filters": [filters.tolist() for filters in records.evidence.group_filters],
            "rarity": records.evidence.rarity.tolist(),
            "sex": records.evidence.sex.tolist(),
        },
    }


def main() -> None:
    """Write the vectors, with a part that readers of every later version have to read."""
    part = base64.b64encode(tiny_part(PART_ROWS)).decode()
    text = json.dumps({**computed_vectors(), "part_base64": part}, indent=1, sort_keys=True)
    VECTORS_FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
