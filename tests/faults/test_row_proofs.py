"""A custodian proves which row a delivered record was made of; another row, or a corrected one, proves nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import psycopg2
import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from tests.faults.night_world import FIRST_NIGHT, NightWorld

pytestmark = pytest.mark.timeout(600)
CORRECT = "UPDATE patient SET city = {} WHERE patient_id = '{}'"


def at_hospital(world: NightWorld, statement: str) -> list[tuple[object, ...]]:
    extractor = (world.folder("hospital") / "secrets" / "source.url").read_text().strip()
    url = world.demo.servers["hospital"].superuser_url(extractor.rpartition("/")[2])
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def prove(world: NightWorld, source_id: str, *, row_out: bool = True) -> tuple[int, str, Path, Path]:
    """`nightlink custodian prove-row` as the hospital: exit code, words, proof, row."""
    folder = world.folder("hospital")
    id_file, proof, row = folder / "id", folder / "proof.json", folder / "row.json"
    for path in (id_file, proof, row):
        path.unlink(missing_ok=True)
    id_file.write_text(source_id + "\n")
    os.chown(id_file, folder.stat().st_uid, folder.stat().st_gid)
    words = ["custodian", "prove-row", str(id_file), "--out", str(proof)]
    running = world.start_command("hospital", [*words, *(["--row-out", str(row)] if row_out else [])])
    return running.finish(), running.text, proof, row


def verify(world: NightWorld, proof: Path, row: Path, manifest: Path) -> tuple[int, str]:
    """`nightlink audit verify-row`, by somebody with files alone."""
    words = ["audit", "verify-row", str(proof), "--row", str(row), "--manifest", str(manifest)]
    running = world.start_command(
        "linkage_unit", [*words, "--custodian-key", world.demo.keys["hospital"].public]
    )
    return running.finish(), running.text


def test_a_row_is_proved_and_another_is_not(night_world: NightWorld, tmp_path: Path) -> None:
    [(one,), (other,)] = at_hospital(
        night_world, "SELECT patient_id FROM patient WHERE city IS NOT NULL ORDER BY 1 LIMIT 2 OFFSET 40"
    )
    hospital = night_world.folder("hospital")
    code, told, proof, row = prove(night_world, str(one))
    assert code == 0, told
    [pseudonym] = record_pseudonyms(
        night_world.demo.keys["hospital"].site, [str(one)], project="discharge_followup", epoch="2026"
    )
    assert pseudonym.tobytes().hex() in told
    sequence = int(re.search(r"delivery (\d+)", told)[1])  # type: ignore[index]
    [manifest] = (night_world.root / "exchange" / "hospital").glob(f"*/{sequence:06d}/manifest.json")
    handed = tmp_path / "handed"
    handed.mkdir()
    handed.chmod(0o755)
    tmp_path.chmod(0o755)
    files = [handed / name for name in ("proof.json", "row.json", "manifest.json")]
    for path, source in zip(files, (proof, row, manifest), strict=True):
        path.write_bytes(source.read_bytes())
        path.chmod(0o644)
    for path in reversed(handed.parents):  # pytest's own folders are closed to other users
        if str(path).startswith("/tmp/pytest"):
            path.chmod(0o755)
    assert verify(night_world, *files)[0] == 0

    values = [value for value in json.loads(row.read_text()).values() if value and len(value) > 3]
    assert values and not any(value in proof.read_text() for value in values)

    code, told, _, other_row = prove(night_world, str(other))
    assert code == 0, told
    files[1].write_bytes(other_row.read_bytes())
    code, told = verify(night_world, *files)
    assert code == 1 and told.splitlines()[-1].startswith("E-ROW-PROOF: "), told

    [(city,)] = at_hospital(night_world, f"SELECT city FROM patient WHERE patient_id = '{one}'")
    at_hospital(night_world, CORRECT.format("'Corrected Since'", one))
    try:
        code, told, proof, row = prove(night_world, str(one))
    finally:
        at_hospital(night_world, CORRECT.format("'" + str(city).replace("'", "''") + "'", one))
    assert code == 1 and told.splitlines()[-1].startswith("E-ROW-PROOF: found another row under this id"), (
        told
    )
    assert not proof.exists() and not row.exists()
    for path in hospital.glob("*.json"):
        path.unlink()
    (hospital / "id").unlink()
    assert night_world.ledger(FIRST_NIGHT.isoformat()) == ("published", None)
