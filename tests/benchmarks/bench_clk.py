"""CLKs beside clkhash 0.18.3: the same schema, the same records, the same bits, CPU seconds of each.

`python -m tests.benchmarks.bench_clk [records] [records for clkhash]`. clkhash runs in the peers' environment
($PEERS_PYTHON or .venv-peers) as one process; both sides are timed from rows in memory to filters in memory, in
CPU time, so that a ratio is a ratio per core. Two schemas: the three features of clkhash's own example data, and
the ten of FEBRL. A script, not a timed test.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from linkage_core.custodian.clk_encoder import ClkEncoder, clk_encoder, encode_clks
from linkage_core.protocol.linkage_schema import parse_linkage_schema
from tests.benchmarks.bench_encode import words

ROOT = Path(__file__).resolve().parents[2]
PEER_PYTHON = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
KDF = {"type": "HKDF", "hash": "SHA256", "salt": "SCbL2zHNnmsckfzchsNkZY9XoHk96P8=", "keySize": 64}


def _feature(
    name: str, form: dict[str, Any], n: int, positional: bool, bits: int, hash_: str
) -> dict[str, Any]:
    comparison = {"type": "ngram", "n": n, "positional": positional}
    strategy = {"bitsPerFeature": bits}
    hashing = {"comparison": comparison, "strategy": strategy, "hash": {"type": hash_}}
    if form["type"] == "integer":
        hashing["missingValue"] = {"sentinel": ""}
    return {"identifier": name, "format": form, "hashing": hashing}


def schema(name: str, hash_: str) -> dict[str, Any]:
    """The three features of clkhash's example data, or FEBRL's ten."""
    text, number = {"type": "string", "encoding": "utf-8"}, {"type": "integer"}
    if name == "three features":
        features = [
            {"identifier": "INDEX", "ignored": True},
            _feature("NAME freetext", text | {"case": "mixed", "minLength": 3}, 2, False, 300, hash_),
            _feature("DOB YYYY/MM/DD", {"type": "date", "format": "%Y/%m/%d"}, 1, True, 200, hash_),
            _feature("GENDER M or F", {"type": "enum", "values": ["M", "F"]}, 1, False, 100, hash_),
        ]
    else:
        texts = ("given_name", "surname", "address_1", "address_2", "suburb", "state")
        numbers = ("street_number", "postcode", "date_of_birth", "soc_sec_id")
        features = [{"identifier": "rec_id", "ignored": True}]
        features += [_feature(name, text, 2, False, 100, hash_) for name in texts]
        features += [_feature(name, number, 1, True, 100, hash_) for name in numbers]
    return {"version": 3, "clkConfig": {"l": 1024, "kdf": KDF}, "features": features}


def records(name: str, count: int) -> pa.Table:
    """Names by a Zipf law, streets and numbers nearly all distinct."""
    rng = np.random.default_rng(7)
    names, streets = words(rng, 20_000, 11), words(rng, 5_000, 14)

    def drawn() -> np.ndarray:
        return names[np.minimum(rng.zipf(1.3, count), len(names)) - 1]

    days = (np.datetime64("1930-01-01") + rng.integers(0, 33_000, count)).astype(str)
    ids = np.arange(count).astype(str)
    if name == "three features":
        full = np.char.add(np.char.add(drawn(), " "), drawn())
        dates = np.char.replace(days, "-", "/")
        return pa.table(
            [ids, full, dates, np.array(["M", "F"])[rng.integers(0, 2, count)]], names=list("abcd")
        )
    numbers = rng.integers(1, 999, count).astype(str)
    street = np.char.add(streets[rng.integers(0, 5000, count)], " street")
    columns = [ids, drawn(), drawn(), np.char.add(np.char.add(numbers, " "), street),
               np.where(rng.random(count) < 0.6, "", streets[rng.integers(0, 5000, count)]),
               streets[rng.integers(0, 800, count)], np.array(["nsw", "vic", "qld"])[rng.integers(0, 3, count)],
               numbers, rng.integers(200, 9999, count).astype(str), np.char.replace(days, "-", ""),
               rng.integers(10**6, 10**7, count).astype(str)]  # fmt: skip
    return pa.table(columns, names=[f"c{i}" for i in range(len(columns))])


def ours(table: pa.Table, encoder: ClkEncoder) -> tuple[float, list[np.ndarray]]:
    batches = table.combine_chunks().to_batches(max_chunksize=encoder.rows_a_batch)
    start = time.process_time()
    encoded = [encode_clks(batch.columns, encoder) for batch in batches]
    taken = time.process_time() - start
    assert all(batch.accepted.all() for batch in encoded)
    return taken, [batch.clks for batch in encoded]


def theirs(table: pa.Table, document: dict[str, Any], folder: Path) -> tuple[float, list[str]]:
    (folder / "schema.json").write_text(json.dumps(document))
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(feature["identifier"] for feature in document["features"])
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    script = Path(__file__).with_name("clkhash_timing.py")
    files = [folder / name for name in ("schema.json", "data.csv", "clks.json")]
    subprocess.run([PEER_PYTHON, script, *files], check=True)
    answer = json.loads((folder / "clks.json").read_text())
    return answer["cpu_s"], answer["clks"]


def report(name: str, hash_: str, count: int, peer_count: int) -> float:
    document = schema(name, hash_)
    encoder = clk_encoder(parse_linkage_schema(json.dumps(document)), "horse staple")
    table = records(name, count)
    ours(table.slice(0, 1000), encoder)  # compile
    taken, filters = min((ours(table, encoder) for _ in range(3)), key=lambda run: run[0])
    with tempfile.TemporaryDirectory() as folder:
        peer_taken, peer_clks = theirs(table.slice(0, peer_count), document, Path(folder))
    mine = [base64.b64encode(row.tobytes()).decode() for row in np.concatenate(filters)[:peer_count]]
    same = mine == peer_clks
    rate, peer_rate = count / taken, peer_count / peer_taken
    print(
        f"{name}, {hash_}: {rate:,.0f} records per CPU second; clkhash {peer_rate:,.0f}; "
        f"{rate / peer_rate:.0f} times clkhash per core; {'bit-identical' if same else 'DIFFERENT'}"
    )
    return rate / peer_rate


def main() -> None:
    if not PEER_PYTHON.exists():
        raise SystemExit("bench_clk: the peers' environment is not there; `make peers` makes it")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    peer_count = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000  # so that its caches are warm
    for name in ("three features", "FEBRL's ten features"):
        for hash_ in ("blakeHash", "doubleHash"):
            report(name, hash_, count, min(count, peer_count))


if __name__ == "__main__":
    main()
