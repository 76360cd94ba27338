"""The default hardening beside clkhash 0.18.3: the same people, CPU seconds of each, on one core.

`python -m tests.benchmarks.bench_hardened [records] [records for clkhash]`. Nightlink makes all that leaves a
custodian by the shipped protocol (its tokens, three diffused filters, rarity bands, pseudonyms, in one Parquet part a
bucket) out of normalised records; clkhash makes one CLK of the ten fields of FEBRL's schema out of the same number of
records of the same kind (``bench_clk``), in the peers' environment. A script, not a timed test.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from linkage_core.custodian.encode_records import (
    RecordEncoder,
    encode_bucket,
    split_by_pseudonym,
    survey_buckets,
)
from linkage_core.custodian.field_columns import field_columns
from linkage_core.custodian.field_group_filters import encode_group
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.encode import PART_ROWS
from tests.benchmarks.bench_clk import PEER_PYTHON, records, schema, theirs
from tests.benchmarks.bench_encode import ENCODER, PROTOCOL, SOURCE, people


def encode(batch: pa.RecordBatch, encoder: RecordEncoder) -> int:
    """Divide, survey, encode and write all parts, as a night does; the bytes written."""
    buckets: list[list[pa.RecordBatch]] = [[] for _ in range(-(-batch.num_rows // PART_ROWS))]
    for number, rows in split_by_pseudonym(batch, len(buckets), encoder):
        buckets[number].append(rows)
    survey = survey_buckets(buckets, batch.num_rows, encoder)
    return sum(len(write_part(encode_bucket(b, encoder, survey).records, encoder.protocol)) for b in buckets)


def filters_alone(batch: pa.RecordBatch, encoder: RecordEncoder) -> None:
    """The three diffused filters of all records, without tokens, bands, pseudonyms and Parquet."""
    evidence = encoder.evidence
    for first in range(0, batch.num_rows, PART_ROWS):
        rows = batch.slice(first, PART_ROWS)
        columns = field_columns(rows, evidence.spec.fields)
        for group, table in zip(evidence.spec.groups, evidence.tables, strict=True):
            keys = evidence.keys.groups[group.name]
            encode_group(columns, group, evidence.field_specs, keys, rows.num_rows, table)


def cpu_seconds(work: Callable[[pa.RecordBatch, RecordEncoder], object], batch: pa.RecordBatch) -> float:
    start = time.process_time()
    work(batch, ENCODER)
    return time.process_time() - start


def main() -> None:
    if not PEER_PYTHON.exists():
        raise SystemExit("bench_hardened: the peers' environment is not there; `make peers` makes it")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    peer_count = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    batch = normalise_batch(people(count), PROTOCOL, SOURCE).records
    encode(batch.slice(0, 2000), ENCODER)  # compile
    taken, filters_taken = cpu_seconds(encode, batch), cpu_seconds(filters_alone, batch)
    name = "FEBRL's ten features"
    with tempfile.TemporaryDirectory() as folder:
        document = json.loads(json.dumps(schema(name, "blakeHash")))
        peer_taken, _ = theirs(records(name, peer_count), document, Path(folder))
    rate, peer_rate, spec = count / taken, peer_count / peer_taken, evidence_of(PROTOCOL)
    print(
        f"default hardening ({len(spec.tokens)} tokens, {len(spec.groups)} diffused filters, ten fields): "
        f"{rate:,.0f} records per CPU second; clkhash, one CLK of ten fields: {peer_rate:,.0f}; "
        f"{rate / peer_rate:.1f} times clkhash per core (target 20)"
    )
    rate = count / filters_taken
    print(
        f"  of it the filters alone: {rate:,.0f} records per CPU second, {rate / peer_rate:.1f} times clkhash"
    )


if __name__ == "__main__":
    main()
