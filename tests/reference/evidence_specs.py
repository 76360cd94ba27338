"""The shipped protocol over some of its fields, for tests of the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from linkage_core.protocol.evidence_spec import EvidenceSpec, evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol, restrict_protocol

SHIPPED = Path(__file__).resolve().parents[2] / "deployments" / "linkage_protocol.toml"


def protocol_over(fields: Sequence[str]) -> LinkageProtocol:
    return restrict_protocol(parse_protocol(SHIPPED.read_text(encoding="utf-8")), fields)


def evidence_over(fields: Sequence[str]) -> EvidenceSpec:
    return evidence_of(protocol_over(fields))
