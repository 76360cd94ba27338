"""Records a second of CPU time (so of one core) of check, normalise and encode, beside the slow twin.

`python -m tests.benchmarks.bench_encode [rows] [rows a batch]`: made-up people with all ten fields (nearly all
streets, phones and e-mails distinct, the hard case) and with five. A script, not a timed test.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.field_rules import check_rows
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.golden.make_encoder_vectors import LINKAGE_KEY, SITE_KEY
from tests.reference.slow_encoder import slow_filter, slow_tokens

PROTOCOL = parse_protocol((Path(__file__).parents[2] / "deployments" / "linkage_protocol.toml").read_text())
ENCODER = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)
SOURCE = SourceFormat(date_formats=("%Y-%m-%d",))
FEW_FIELDS = ["source_id", "given_name", "family_name", "birth_date", "sex", "postcode"]


def words(rng: np.random.Generator, count: int, longest: int) -> np.ndarray:
    letters = rng.integers(97, 123, (count, longest)).astype(np.uint8)
    letters[np.arange(longest) >= rng.integers(3, longest + 1, (count, 1))] = 0
    return letters.view(f"S{longest}").reshape(-1).astype(str)


def people(rows: int, seed: int = 5) -> pa.RecordBatch:
    """Names by a Zipf law, everything else near enough uniform."""
    rng = np.random.default_rng(seed)
    name_pool, street_pool = words(rng, 20_000, 11), words(rng, 5_000, 14)

    def names() -> np.ndarray:
        return np.char.capitalize(name_pool[np.minimum(rng.zipf(1.3, rows), len(name_pool)) - 1])

    days = np.datetime64("1930-01-01") + rng.integers(0, 33_000, rows)
    given, family = names(), names()
    numbers = rng.integers(1, 9999, rows).astype(str)
    street = np.char.add(
        np.char.add(numbers, " "), np.char.add(street_pool[rng.integers(0, 5000, rows)], " Street")
    )
    tail = rng.integers(2_000_000, 9_999_999, rows).astype(str)
    return pa.RecordBatch.from_pydict(
        {
            "source_id": pa.array([f"H{i:08d}" for i in range(rows)]),
            "given_name": pa.array(given),
            "middle_name": pa.array(words(rng, 26, 3)[rng.integers(0, 26, rows)]),
            "family_name": pa.array(family),
            "birth_date": pa.array(days.astype(str)),
            "sex": pa.array(np.array(["F", "M"])[rng.integers(0, 2, rows)]),
            "street": pa.array(street),
            "city": pa.array(street_pool[rng.integers(0, 500, rows)]),
            "postcode": pa.array(rng.integers(10_000, 99_998, rows).astype(str)),
            "phone": pa.array(np.char.add("212", tail)),
            "email": pa.array(np.char.add(np.char.add(given, numbers), "@example.org")),
        }
    )


def seconds(work: object, batches: list[pa.RecordBatch]) -> float:
    start = time.process_time()
    for batch in batches:
        work(batch)  # type: ignore[operator]
    return time.process_time() - start


def report(title: str, raw: pa.RecordBatch, batch_rows: int) -> None:
    pieces = [raw.slice(at, batch_rows) for at in range(0, raw.num_rows, batch_rows)]
    normalised = [normalise_batch(piece, PROTOCOL, SOURCE).records for piece in pieces]
    encode_records(normalised[0], ENCODER)  # compile
    print(f"{title}: {raw.num_rows} records in batches of {batch_rows}")
    checking = seconds(lambda piece: check_rows(piece, PROTOCOL, SOURCE), pieces)
    normalising = seconds(lambda piece: normalise_batch(piece, PROTOCOL, SOURCE), pieces)
    encoding = min(seconds(lambda piece: encode_records(piece, ENCODER), normalised) for _ in range(3))
    for stage, taken in (("check", checking), ("normalise", normalising), ("encode", encoding)):
        print(f"  {stage:10} {raw.num_rows / taken:10,.0f} records/s")
    slow_rows = normalised[0].slice(0, 5).to_pylist()
    start = time.process_time()
    for row in slow_rows:
        slow_tokens(row, PROTOCOL, LINKAGE_KEY)
        for group in PROTOCOL.evidence.filters:
            slow_filter(row, group, PROTOCOL, LINKAGE_KEY)
    slow = len(slow_rows) / (time.process_time() - start)
    print(
        f"  {'slow twin':10} {slow:10,.0f} records/s; encode is {raw.num_rows / encoding / slow:,.0f} times faster"
    )
    fill = encode_records(normalised[0], ENCODER)[1].filter_fill
    print("  fill before diffusion " + ", ".join(f"{share:.3f}" for share in fill))


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    batch_rows = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    raw = people(rows)
    report("ten fields", raw, batch_rows)
    report("five fields", raw.select(FEW_FIELDS), batch_rows)


if __name__ == "__main__":
    main()
