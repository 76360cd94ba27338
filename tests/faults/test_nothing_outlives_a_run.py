"""No cache of the process holds an identifier or a key when a custodian's command has ended.

The child runs the command in its own process, and then goes through every object that can still be reached: module
globals, caches of functools, closures, arrays, arrow's buffers.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.synthetic_people_files import write_people
from flows.command_line import main
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.faults.reachable_objects import PLANTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "deployments" / "linkage_protocol.toml"
NAMES = ("Quxelborn", "Wyzzantry", "Ploverdyke")
SECRET = "horse-planted-staple-4711"
SCHEMA = {
    "version": 3,
    "clkConfig": {"l": 1024, "kdf": {"type": "HKDF", "hash": "SHA256", "salt": "c2FsdA==", "keySize": 64}},
    "features": [
        {
            "identifier": "family_name",
            "format": {"type": "string", "encoding": "utf-8"},
            "hashing": {
                "comparison": {"type": "ngram", "n": 2},
                "strategy": {"bitsPerFeature": 100},
                "hash": {"type": "blakeHash"},
            },
        }
    ],
}


def _people(folder: Path) -> Path:
    """Made people; some have family names that stand nowhere else."""
    path = folder / "people.csv"
    write_people(path, None, None, people=300, seed=3)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    place = header.split(",").index("family_name")
    for row, name in enumerate(NAMES):
        cells = lines[row].split(",")
        cells[place] = name
        lines[row] = ",".join(cells)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def _key(path: Path, role: str) -> bytes:
    with pytest.raises(SystemExit) as end:
        main(["custodian", "keygen", "--role", role, "--out", str(path)])
    assert not end.value.code
    return parse_key_file(path.read_text(encoding="utf-8").strip(), role)


def _search(folder: Path, patterns: list[bytes], plant: str, command: list[str]) -> str:
    file = folder / "patterns"
    file.write_text("\n".join(pattern.hex() for pattern in patterns), encoding="ascii")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.reachable_objects", str(file), plant, *command],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"^FOUND IN: (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stderr
    return found[1]


def _name_patterns() -> list[bytes]:
    return [form.encode() for name in NAMES for form in (name, name.lower(), name.upper())]


def _encode_by_protocol(folder: Path) -> tuple[list[bytes], list[str]]:
    keys = {role: _key(folder / role, role) for role in ("linkage", "site")}
    derived = derive_custodian_keys(keys["linkage"], parse_protocol(PROTOCOL.read_text(encoding="utf-8")))
    secrets = [*keys.values(), *(key.hex().encode() for key in keys.values()), *derived.tokens.values()]
    secrets += [
        key for group in derived.groups.values() for key in (group.diffusion, *group.positions.values())
    ]
    command = ["custodian", "encode", str(_people(folder)), str(folder / "out.parquet")]
    command += ["--protocol", str(PROTOCOL), "--key-file", str(folder / "linkage")]
    return [*secrets, *_name_patterns()], [*command, "--site-key-file", str(folder / "site")]


def test_nothing_outlives_an_encoding_by_a_protocol(tmp_path: Path) -> None:
    patterns, command = _encode_by_protocol(tmp_path)
    assert _search(tmp_path, patterns, "nothing", command) == "nothing"


def test_nothing_outlives_an_encoding_by_a_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    (tmp_path / "key").write_text(SECRET, encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "names.csv").write_text("family_name\n" + "\n".join(NAMES) + "\n", encoding="utf-8")
    command = ["custodian", "encode", str(tmp_path / "names.csv"), str(tmp_path / "out.json")]
    command += ["--schema", str(tmp_path / "schema.json"), "--key-file", str(tmp_path / "key")]
    assert _search(tmp_path, [SECRET.encode(), *_name_patterns()], "nothing", command) == "nothing"


@pytest.mark.parametrize("plant", sorted(set(PLANTS) - {"nothing"}))
def test_the_search_finds_what_is_left_behind(tmp_path: Path, plant: str) -> None:
    command = ["custodian", "keygen", "--role", "site", "--out", str(tmp_path / "key")]
    assert _search(tmp_path, [b"Quxelborn-left-behind"], plant, command) != "nothing"
