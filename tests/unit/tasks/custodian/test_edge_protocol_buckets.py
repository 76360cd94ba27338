"""`encode --protocol` in buckets writes the bytes of all records encoded at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from deployments.synthetic_people_files import write_people
from flows.custodian import edge_rules
from flows.custodian.edge_encoding import EdgeOrder, encode_people
from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.field_rules import accepted_rows, check_rows
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.protocol.linkage_protocol import parse_protocol
from linkage_core.protocol.wire_format import write_part
from tasks.custodian import encode
from tasks.custodian.edge_input import EdgeInput, open_people
from tasks.protocol.nights import parse_as_of
from tests.golden.make_encoder_vectors import LINKAGE_KEY, SITE_KEY

PROTOCOL = Path(__file__).resolve().parents[4] / "deployments" / "linkage_protocol.toml"
FORMAT, DAY = SourceFormat(date_formats=("%Y%m%d",)), parse_as_of("2026-03-31")


@pytest.mark.parametrize("dry", [False, True])
def test_buckets_give_the_bytes_of_all_records_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry: bool
) -> None:
    monkeypatch.setattr(encode, "PART_ROWS", 40)
    write_people(tmp_path / "people.csv", None, None, people=300, seed=2)
    edge = edge_rules.protocol_edge(PROTOCOL, FORMAT, {}, DAY)
    monkeypatch.setattr(edge_rules.ProtocolEdge, "_encoder", lambda self: encoder)
    protocol = parse_protocol(PROTOCOL.read_text(encoding="utf-8"))
    encoder = RecordEncoder(protocol, derive_custodian_keys(LINKAGE_KEY, protocol), SITE_KEY)
    source, output = EdgeInput(tmp_path / "people.csv"), tmp_path / "out.parquet"
    outcome = encode_people(EdgeOrder(source, None if dry else output, None), edge)
    with open_people(source, edge.columns()) as people:
        [batch] = people.batches
    raw = pa.RecordBatch.from_arrays(list(batch.columns), names=list(edge.rules.fields))
    accepted = accepted_rows(raw, check_rows(raw, protocol, FORMAT, DAY))
    records, _ = encode_records(normalise_batch(accepted, protocol, FORMAT, DAY).records, encoder)
    assert outcome.report.rows_encoded == len(records)
    expected = write_part(records, protocol)
    assert outcome.report.leaves[0].sha256 == hashlib.sha256(expected).hexdigest()
    assert dry or output.read_bytes() == expected
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
