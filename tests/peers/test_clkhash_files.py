"""`nightlink custodian encode --schema` writes the file that clkhash 0.18.3 writes, byte for byte."""

from __future__ import annotations

import csv
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.command_line import main
from tests.peers.test_clkhash_differential import PEER_PYTHON
from tests.reference.generated_schemas import generated_records, generated_schema

SECRET = "correct horse battery staple\n"

pytestmark = pytest.mark.skipif(
    not PEER_PYTHON.exists(), reason="the peers' environment is not there; `make peers` makes it"
)


def _clkhash(*words: object) -> None:
    script = Path(__file__).with_name("clkhash_command.py")
    done = subprocess.run(
        [PEER_PYTHON, script, *map(str, words)], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _both(folder: Path, header: str = "check") -> tuple[bytes, bytes]:
    """Their file and ours."""
    key, schema, people = folder / "key", folder / "schema.json", folder / "people.csv"
    key.write_text(SECRET)
    key.chmod(0o600)
    _clkhash("hash", schema, key, people, folder / "theirs.json", header)
    words = [
        "encode",
        "--schema",
        schema,
        "--key-file",
        key,
        "--header",
        header,
        people,
        folder / "ours.json",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["custodian", *map(str, words)])
    assert ended.value.code == 0
    return (folder / "theirs.json").read_bytes(), (folder / "ours.json").read_bytes()


@pytest.mark.parametrize("schema", ["randomnames-schema", "randomnames-schema-v2"])
def test_its_own_people_by_its_own_schemas(tmp_path: Path, schema: str) -> None:
    _clkhash("people", 2000, schema, tmp_path)
    theirs, ours = _both(tmp_path)
    assert ours == theirs
    assert len(json.loads(ours)["clks"]) == 2000


@pytest.mark.parametrize("header", ["check", "ignore", "none"])
def test_however_the_header_is_read(tmp_path: Path, header: str) -> None:
    schema = _string_schema()
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    rows = [["1", "Zoë", "a,b"], ["2", 'O"Brien\nPat', ""], ["3", "", "x"]]
    names = {"check": [["id", "name", "more"]], "ignore": [["x", "y", "z"]], "none": []}[header]
    with (tmp_path / "people.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(names + rows)
    theirs, ours = _both(tmp_path, header)
    assert ours == theirs and len(json.loads(ours)["clks"]) == 3


def _string_schema() -> dict[str, Any]:
    hashing = {"comparison": {"type": "ngram", "n": 2}, "strategy": {"bitsPerFeature": 100}}
    names = {"identifier": "name", "format": {"type": "string"}, "hashing": hashing}
    return {
        "version": 3,
        "clkConfig": {"l": 1024, "kdf": {"type": "HKDF"}},
        "features": [{"identifier": "id", "ignored": True}, names, {**names, "identifier": "more"}],
    }


@pytest.mark.parametrize("seed", range(12))
def test_generated_files(tmp_path: Path, seed: int) -> None:
    """Every kind of format, comparison and hash, of the records that both accept."""
    rng = random.Random(1000 + seed)
    schema = generated_schema(rng)
    schema["features"][0] = {"identifier": "id", "ignored": True}  # so that no row is an empty line
    accepted = _accepted(schema, generated_records(rng, schema, 60), tmp_path)
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    with (tmp_path / "people.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[f["identifier"] for f in schema["features"]], *accepted])
    theirs, ours = _both(tmp_path)
    assert ours == theirs
    assert len(json.loads(ours)["clks"]) == len(accepted)


def _accepted(schema: dict[str, Any], records: list[list[str]], folder: Path) -> list[list[str]]:
    """The records without fault: clkhash's command gives up at the first faulty one, ours names it and goes on."""
    import pyarrow as pa

    from linkage_core.custodian.clk_encoder import check_records
    from linkage_core.protocol.linkage_schema import parse_linkage_schema

    records = [[f"r{number}", *record[1:]] for number, record in enumerate(records)]
    columns = [pa.array(column, pa.string()) for column in zip(*records, strict=True)]
    verdicts = check_records(columns, parse_linkage_schema(json.dumps(schema)), check=True)
    return [record for record, good in zip(records, verdicts.accepted, strict=True) if good]
