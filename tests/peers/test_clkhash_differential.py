"""Bit for bit what the real clkhash 0.18.3 makes, over generated schemas and records of every kind."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from linkage_core.custodian.clk_encoder import clk_encoder, encode_clks
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import parse_linkage_schema
from tests.reference.generated_schemas import generated_records, generated_schema

ROOT = Path(__file__).resolve().parents[2]
PEER_PYTHON = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
SECRET = "horse staple"

pytestmark = pytest.mark.skipif(
    not PEER_PYTHON.exists(), reason="the peers' environment is not there; `make peers` makes it"
)


def _theirs(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [PEER_PYTHON, Path(__file__).with_name("clkhash_peer.py")],
        input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def _ours(case: dict[str, Any]) -> list[str | None]:
    schema = parse_linkage_schema(json.dumps(case["schema"]))
    columns = [pa.array(column, pa.string()) for column in zip(*case["records"], strict=True)]
    batch = encode_clks(columns, clk_encoder(schema, case["secret"], check=case.get("check", True)))
    clks = iter(batch.clks)
    return [base64.b64encode(next(clks).tobytes()).decode() if ok else None for ok in batch.accepted]


def _cases(seed: int, count: int, records: int = 40) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        schema = generated_schema(rng)
        cases.append({"schema": schema, "secret": SECRET, "records": generated_records(rng, schema, records)})
    return cases


def _compare(cases: list[dict[str, Any]]) -> tuple[int, int]:
    encoded = refused = 0
    for case, theirs in zip(cases, _theirs(cases), strict=True):
        if "schema_error" in theirs:
            with pytest.raises(NightlinkError, match="E-PROTOCOL"):
                parse_linkage_schema(json.dumps(case["schema"]))
            continue
        ours = _ours(case)
        for mine, other, record in zip(ours, theirs["clks"], case["records"], strict=True):
            assert mine == other, (json.dumps(case["schema"]), record)
        encoded += sum(clk is not None for clk in ours)
        refused += sum(clk is None for clk in ours)
    return encoded, refused


@pytest.mark.parametrize("seed", range(3))
def test_generated_schemas_and_records(seed: int) -> None:
    encoded, refused = _compare(_cases(seed, 50))
    assert encoded > 500
    assert refused > 50, "the generated records must also break their schemas"


def test_without_checks() -> None:
    cases = [case | {"check": False} for case in _cases(99, 40)]
    encoded, _ = _compare(cases)
    assert encoded > 500


@pytest.mark.parametrize("version", [1, 2])
def test_older_versions(version: int) -> None:
    rng = random.Random(version)
    cases = []
    for _ in range(40):
        schema = _older(rng, version)
        cases.append({"schema": schema, "secret": SECRET, "records": generated_records(rng, schema, 20)})
    encoded, _ = _compare(cases)
    assert encoded > 200


def _older(rng: random.Random, version: int) -> dict[str, Any]:
    """A schema of version 1 or 2 with the formats of a generated one."""
    schema = generated_schema(rng)
    schema["version"] = version
    if version == 1:
        schema["clkConfig"] |= {"k": rng.randrange(1, 40), "hash": {"type": "doubleHash"}}
    for feature in schema["features"]:
        if feature.get("ignored"):
            continue
        hashing = {"ngram": rng.choice([1, 2, 3]), "positional": rng.random() < 0.5}
        if "missingValue" in feature["hashing"]:
            hashing["missingValue"] = feature["hashing"]["missingValue"]
        if version == 1:
            hashing["weight"] = rng.choice([1, 1.0, 0.5, 2.5, 0.125, 0])
        else:
            hashing["strategy"] = rng.choice(
                [{"k": rng.randrange(1, 40)}, {"numBits": rng.randrange(1, 300)}]
            )
            hashing["hash"] = {"type": "doubleHash"}
        feature["hashing"] = hashing
    return schema


@pytest.mark.parametrize("folds", [1, 2, 3])
@pytest.mark.parametrize("bits", [64, 1024, 100, 1001])
def test_xor_folds(bits: int, folds: int) -> None:
    """As clkhash reads them (`xor_folds`), and as it ignores them (`xorFolds`)."""
    rng = random.Random(bits + folds)
    schema = generated_schema(rng, 4)
    schema["clkConfig"]["l"] = bits
    for feature in schema["features"]:
        if not feature.get("ignored"):
            feature["hashing"]["hash"] = {"type": "doubleHash" if bits % 64 else "blakeHash"}
    records = generated_records(rng, schema, 20)
    cases = []
    for name in ("xor_folds", "xorFolds"):
        with_folds = schema | {"clkConfig": schema["clkConfig"] | {name: folds}}
        cases.append({"schema": with_folds, "secret": SECRET, "records": records})
    _compare(cases)
    honoured = parse_linkage_schema(json.dumps(cases[1]["schema"]), "as-documented")
    assert honoured.folds == folds
    assert any("ignores it" in warning for warning in honoured.warnings)


WRONG = {
    "a version of the future": {"version": 4},
    "no features": {"features": None},
    "a length of 0": {"clkConfig": {"l": 0, "kdf": {"type": "HKDF"}}},
    "blakeHash over 1000 bits": {"clkConfig": {"l": 1000, "kdf": {"type": "HKDF"}}},
    "another KDF": {"clkConfig": {"l": 1024, "kdf": {"type": "PBKDF2"}}},
    "a salt that is not base64": {"clkConfig": {"l": 1024, "kdf": {"type": "HKDF", "salt": "abc"}}},
    "too many features": {"features": [{"identifier": str(i), "ignored": True} for i in range(64)]},
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_clkhash_refuses_is_refused(mistake: str) -> None:
    feature = {
        "identifier": "name",
        "format": {"type": "string"},
        "hashing": {"comparison": {"type": "ngram", "n": 2}, "strategy": {"bitsPerToken": 20}},
    }
    schema = {"version": 3, "clkConfig": {"l": 1024, "kdf": {"type": "HKDF"}}, "features": [feature]}
    schema |= WRONG[mistake]
    records = [["a"] * len(schema["features"] or [0])]
    (theirs,) = _theirs([{"schema": schema, "secret": SECRET, "records": records}])
    assert "schema_error" in theirs or theirs["clks"] == [None]
    with pytest.raises(NightlinkError, match="E-PROTOCOL"):
        parse_linkage_schema(json.dumps(schema))
