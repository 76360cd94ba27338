"""Erased, delivered again with everybody else, and in no table all the same (fault 42)."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from tests.faults.night_world import NightWorld

pytestmark = pytest.mark.slow


def tables_with(world: NightWorld, record: str) -> set[str]:
    tables = world.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('linkage', 'content', 'audit', 'access')"
    )
    words = f"'%{record}%', '%{record.replace('-', '')}%'"
    found = {
        str(table): world.query(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY (ARRAY[{words}])")
        for (table,) in tables
    }
    return {table for table, rows in found.items() if rows != [(0,)]}


def hand_over(path: Path, folder: Path) -> Path:
    """A file as its new owner would have it."""
    copy = folder / path.name
    shutil.copyfile(path, copy)
    owner = folder.stat()
    os.chown(copy, owner.st_uid, owner.st_gid)
    copy.chmod(0o600)
    return copy


def test_who_was_erased_does_not_come_back_with_the_next_full_delivery(
    night_world: NightWorld, tmp_path: Path
) -> None:
    [(record,), *_] = night_world.query(
        "SELECT record_a::text FROM linkage.link WHERE decision = 'match' AND valid_to = 'infinity' ORDER BY 1"
    )
    ids = list(night_world.demo.fills["hospital"].source_ids.values())
    names = record_pseudonyms(
        night_world.demo.keys["hospital"].site, ids, project="discharge_followup", epoch="2026"
    )
    by_record = {
        str(uuid.UUID(bytes=name.tobytes())): source_id for name, source_id in zip(names, ids, strict=True)
    }
    (tmp_path / "ids").write_text(by_record[str(record)] + "\n")
    assert {"linkage.link", "access.pseudonym"} <= tables_with(night_world, str(record))

    hospital, unit = night_world.folder("hospital"), night_world.folder("linkage-unit")
    ids_file, records_file = hand_over(tmp_path / "ids", hospital), hospital / "records"
    custodian = night_world.start_command(
        "hospital", ["custodian", "erase", str(ids_file), "--records", str(records_file)]
    )
    assert custodian.finish() == 0, custodian.text
    handed = hand_over(records_file, unit)
    command = ["retention", "erase", "--custodian", "hospital", "--records", str(handed)]
    linkage_unit = night_world.start_command("linkage_unit", command)
    assert linkage_unit.finish() == 0, linkage_unit.text
    assert tables_with(night_world, str(record)) == set()
    assert not list((night_world.root / "exchange" / "hospital").rglob("*.sealed"))

    night = night_world.next_night()
    running = night_world.run_night(night)
    assert night_world.ledger(night) == ("published", None), running.text
    assert tables_with(night_world, str(record)) == set()
    assert night_world.query("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'") > [(100,)]
    events = night_world.query("SELECT count(*) FROM audit.event AS t WHERE t::text LIKE '%record_erased%'")
    assert events == [(1,)]
    night_world.verify()
    for path in (ids_file, records_file, handed):
        path.unlink()
