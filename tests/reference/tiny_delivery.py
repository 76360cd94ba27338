"""A tiny protocol, records, part and manifest, made from seeds: shared by the tests of protocol and audit."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from linkage_core.protocol.delivery_manifest import DeliveryManifest, ExpectationCount, Sealing, describe_part
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, FieldAggregate
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE, EncodedRecords
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol, protocol_fingerprint
from linkage_core.protocol.wire_format import write_part

TINY_PROTOCOL_FILE = Path(__file__).parents[1] / "golden" / "tiny_protocol.toml"
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))

AGREED_WRITER_OPTIONS = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
    "store_schema": False,
}


def tiny_protocol() -> LinkageProtocol:
    return parse_protocol(TINY_PROTOCOL_FILE.read_text(encoding="utf-8"))


def some_records(rows: int, seed: int = 7, protocol: LinkageProtocol | None = None) -> EncodedRecords:
    """Random records; about one token in four is missing."""
    spec = evidence_of(protocol or tiny_protocol())
    draws = np.random.default_rng(seed)
    shape = (rows, len(spec.tokens))
    tokens = draws.integers(1, 2**64, shape, dtype=np.uint64) * (draws.random(shape) < 0.75)
    filters = [draws.integers(0, 2**64, (rows, g.sent_bits // 64), dtype=np.uint64) for g in spec.groups]
    evidence = EncodedEvidence(
        tokens.astype(np.uint64),
        tuple(filters),
        draws.integers(0, 4, (rows, len(spec.fields)), dtype=np.uint8),
        draws.integers(0, 4, rows, dtype=np.uint8),
    )
    return EncodedRecords(np.frombuffer(draws.bytes(16 * rows), PSEUDONYM_DTYPE), evidence)


def some_aggregates(records: int, protocol: LinkageProtocol | None = None) -> EvidenceAggregates:
    """Rates of the right sizes."""
    spec = evidence_of(protocol or tiny_protocol())
    fields = []
    for name in spec.fields:
        levels = len(spec.level_names(name))
        fields.append(FieldAggregate((1 / levels,) * levels, (0.125,) * (len(spec.rarity_edges) + 1)))
    return EvidenceAggregates(records, tuple(fields), (0.5,) * len(spec.groups))


def same_records(first: EncodedRecords, second: EncodedRecords) -> bool:
    """Whether all arrays agree to the bit, in the same order."""
    return [a.tobytes() for a in arrays_of(first)] == [a.tobytes() for a in arrays_of(second)]


def arrays_of(records: EncodedRecords) -> list[np.ndarray]:
    evidence = records.evidence
    return [
        records.record_pseudonyms, evidence.tokens, *evidence.group_filters, evidence.rarity, evidence.sex
    ]  # fmt: skip


def parquet_bytes(table: pa.Table, **options: object) -> bytes:
    """A table as Parquet, with the wire format's options but for those given."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **{**AGREED_WRITER_OPTIONS, **options})
    return bytes(sink.getvalue().to_pybytes())


def tiny_manifest(**changes: object) -> DeliveryManifest:
    """A good manifest over one part of three records, with entries changed."""
    protocol = tiny_protocol()
    entries: dict[str, object] = {
        "project": "tiny",
        "custodian": "hospital",
        "run_id": "night-2026-03-01",
        "sequence": 4,
        "as_of": date(2026, 3, 1),
        "protocol_fingerprint": protocol_fingerprint(protocol),
        "protocol_version": protocol.version,
        "key_epoch": protocol.key_epoch,
        "key_check_value": "0123456789abcdef",
        "code_version": "0.1.0+g1234567",
        "sealing": Sealing(transfer_key="00112233445566aa", linkage_unit_key="8899aabbccddee00"),
        "row_count": 3,
        "state_digest": "ab" * 32,
        "changes": None,
        "row_commitments": "cd" * 32,
        "parts": (describe_part("part-0000.sealed", 3, b"not hashed from a part, to stay the same"),),
        "extracted": 5,
        "rejected": 2,
        "rejected_by_rule": {"R-BIRTH-DATE": 1, "R-NUL": 2},
        "expectations": (
            ExpectationCount(
                point="raw_extract",
                expectation="values_not_null",
                column="family_name",
                success=True,
                evaluated=5,
                unexpected=0,
            ),
        ),
    }
    given = {**entries, **changes}
    return DeliveryManifest.model_validate({"aggregates": some_aggregates(3), **given})


def tiny_part(rows: int = 3) -> bytes:
    return write_part(some_records(rows), tiny_protocol())
