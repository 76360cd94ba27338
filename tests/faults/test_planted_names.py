"""Ten planted names through a night that succeeds; the fixture searches again after every fault of the other tests."""

from __future__ import annotations

import csv
import re

import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.protocol.row_rules import ROW_RULES
from tests.faults.night_world import FIRST_NIGHT, NightWorld
from tests.faults.planted_people import REASONS, TEN_PEOPLE

pytestmark = pytest.mark.timeout(240)


def test_names_and_keys_are_nowhere_after_a_night_that_succeeded(night_world: NightWorld) -> None:
    assert night_world.ledger(FIRST_NIGHT.isoformat()) == ("published", None)
    assert night_world.find_leaks() == []


def test_the_search_finds_what_is_planted_among_the_parties_files(night_world: NightWorld) -> None:
    reports = night_world.folder("linkage-unit") / "reports"
    planted = {
        reports / "name.html": f"<td>{TEN_PEOPLE[1].family.upper()}</td>".encode(),
        night_world.root / "exchange" / "hospital" / "key.bin": night_world.demo.keys["hospital"].linkage,
        reports / "unit.key": night_world.demo.encryption_key.hex().encode(),
        night_world.root / "exchange" / "pharmacy" / "transfer.bin": night_world.demo.keys[
            "pharmacy"
        ].transfer,
        night_world.folder("hospital") / "home" / "utf16": TEN_PEOPLE[8].family.encode("utf-16"),
    }
    for path, content in planted.items():
        path.write_bytes(b"before " + content + b" after")
    try:
        found = {leak.path for leak in night_world.find_leaks()}  # type: ignore[attr-defined]
    finally:
        for path in planted:
            path.unlink()
    assert found == set(planted)


@pytest.mark.parametrize("custodian", ["hospital", "pharmacy"])
def test_bad_rows_are_in_quarantine_with_reasons_and_without_values(
    night_world: NightWorld, custodian: str
) -> None:
    file = night_world.folder(custodian) / "state" / "quarantine" / f"{FIRST_NIGHT.isoformat()}.csv"
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    told = {(row["record_pseudonym"], row["field"], row["reason"]) for row in rows}
    planted = REASONS[custodian]
    pseudonyms = record_pseudonyms(
        night_world.demo.keys[custodian].site, list(planted), project="discharge_followup", epoch="2026"
    )

    assert told >= {(p.tobytes().hex(), *why) for p, why in zip(pseudonyms, planted.values(), strict=True)}
    assert list(rows[0]) == ["row_number", "record_pseudonym", "field", "reason"]
    assert all(re.fullmatch("[0-9a-f]{32}", row["record_pseudonym"]) for row in rows)
    assert all(row["row_number"].isdigit() and row["reason"] in ROW_RULES for row in rows)
    assert file.stat().st_mode & 0o077 == 0


def test_planted_people_whose_rows_are_sound_were_linked(night_world: NightWorld) -> None:
    [(links,)] = night_world.query("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'")
    [(content,)] = night_world.query("SELECT count(*) FROM research.admission_v1", "researcher")

    assert isinstance(links, int) and links > 300
    assert isinstance(content, int) and content > 10


def test_the_world_is_searched_whole(night_world: NightWorld) -> None:
    night_world.find_leaks()
    searched = night_world.root / "searched"

    [warehouse] = (searched / "tables").glob("*warehouse*.txt")
    assert warehouse.stat().st_size > 100_000
    assert "records delivered" in "".join(p.read_text() for p in (searched / "transcripts").iterdir())
    assert list((searched / "parts").iterdir())
