"""A linkage protocol in words, for the people who must agree to it. Zone: protocol."""

from __future__ import annotations

import json
from dataclasses import asdict

from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.leaving_columns import leaving_columns
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint

DESCRIPTION_FORMAT = "nightlink-protocol-description-1"


def described_json(protocol: LinkageProtocol) -> str:
    """What :func:`described_text` says, as JSON with entries in a fixed order."""
    evidence_of(protocol)
    document = {
        "format": DESCRIPTION_FORMAT,
        "fingerprint": protocol_fingerprint(protocol),
        "project": protocol.project,
        "version": protocol.version,
        "key_epoch": protocol.key_epoch,
        "custodians": list(protocol.custodians),
        "fields": list(protocol.field_names),
        "target_precision": protocol.decision.target_precision,
        "leaves": [asdict(column) for column in leaving_columns(protocol)],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def described_text(protocol: LinkageProtocol) -> str:
    """Fingerprint, fields, what leaves and what does not; E-PROTOCOL when no comparison could hold it."""
    evidence_of(protocol)
    lines = [
        f"fingerprint: {protocol_fingerprint(protocol)}",
        f"project {protocol.project}, version {protocol.version}, key epoch {protocol.key_epoch},"
        f" between {' and '.join(protocol.custodians)}",
        f"reads of a person: {', '.join(protocol.field_names)}",
        "",
        "WHAT LEAVES A CUSTODIAN UNDER IT, a row a person:",
        *(f"  {column.name} ({column.type}): {column.meaning}" for column in leaving_columns(protocol)),
        "  and once for each delivery: counts, rates over all rows, digests, and a signature",
        "WHAT DOES NOT: any of the fields as they are, the keys, the source's own ids, the order of its rows",
    ]
    return "\n".join(lines) + "\n"
