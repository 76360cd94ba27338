"""The key epoch is rotated between two nights, from files to a real warehouse: who goes on, and who stays away."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.csv
import pytest

from flows.linkage_unit import link_and_load as prose
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import format_key_file
from sql.warehouse.login_roles import OWNER, RESEARCHER, admit_research
from tasks.custodian.carry_epoch import carry_epoch, forget_passage
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.night_folder import night_folder
from tasks.custodian.retire import delete_retired
from tasks.custodian.settings import CustodianSite, FileSource
from tasks.linkage_unit import epoch_passage
from tasks.linkage_unit.forget import change_hold, erase_records
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import Warehouse
from tests.reference.small_world import (
    CUSTODIANS,
    NIGHT,
    encode_people,
    few_people,
    key,
    make_site,
    make_unit,
    raw_table,
)

PEOPLE = few_people(150)
TABLES = dict(zip(CUSTODIANS, (PEOPLE.side_a, PEOPLE.side_b), strict=True))
NIGHTS = [NIGHT + timedelta(days=n) for n in range(3)]
FORMER, NEW = "2026", "2027"


def site_of(folder: Path, custodian: str, epoch: str) -> CustodianSite:
    """A custodian with a file of people, in an epoch, with keys of that epoch."""
    people = folder / f"{custodian}.csv"
    if not people.exists():
        pyarrow.csv.write_csv(raw_table(TABLES[custodian]), people)
    site = make_site(folder, custodian, linkage=f"linkage {epoch}")
    source = FileSource.model_validate({"people_file": people, "format": site.settings.source.format})
    protocol = site.protocol.model_copy(update={"key_epoch": epoch})
    settings = site.settings.model_copy(update={"source": source})
    return replace(site, settings=settings, protocol=protocol, site_key=key(f"site {custodian} {epoch}"))


def deliver(site: CustodianSite, number: int) -> None:
    with night_folder(site.settings.state_folder) as working:
        deliver_encodings(encode_people(site, raw_table(TABLES[site.name]), working), NIGHTS[number], site)


def pseudonyms(site: CustodianSite) -> list[str]:
    ids = raw_table(TABLES[site.name])["source_id"].to_pylist()
    names = record_pseudonyms(
        site.site_key, ids, project=site.protocol.project, epoch=site.protocol.key_epoch
    )
    return [str(uuid.UUID(bytes=name.tobytes())) for name in names]


@dataclass
class Rotation:
    """Three nights, the epoch rotated between the first and the second, one person erased before."""

    folder: Path
    warehouse: Warehouse
    erased: int
    members: list[dict[str, str]]
    units: dict[str, LinkageUnit]
    held: int = -1
    said: list[str] = field(default_factory=list)

    def rows(self, query: str) -> list[tuple]:
        return self.warehouse.as_superuser(query)


def open_members(warehouse: Warehouse) -> dict[str, str]:
    rows = "SELECT record::text, entity_id::text FROM linkage.entity_member WHERE valid_to = 'infinity'"
    return dict(warehouse.as_superuser(rows))


def carry(folder: Path, custodian: str, epoch: str = FORMER) -> int | None:
    key_file = folder / f"{custodian}-former.key"
    key_file.write_text(format_key_file("site", key(f"site {custodian} {FORMER}"), epoch=FORMER))
    key_file.chmod(0o600)
    return carry_epoch(site_of(folder, custodian, NEW), key_file, epoch)


@pytest.fixture(scope="module")
def rotation(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotation]:
    folder = tmp_path_factory.mktemp("rotation")
    unit = replace(make_unit(folder), warehouse_url=warehouse.urls["linkage_loader"])
    units = {
        epoch: replace(unit, protocol=unit.protocol.model_copy(update={"key_epoch": epoch}))
        for epoch in (FORMER, NEW)
    }
    admit_research(warehouse.engine(OWNER), RESEARCHER, [unit.protocol.project])
    patch = pytest.MonkeyPatch()
    told = Rotation(folder, warehouse, 0, [], units)
    patch.setattr(epoch_passage, "announce", told.said.append)

    def link(number: int, epoch: str) -> None:
        for custodian in CUSTODIANS:
            deliver(site_of(folder, custodian, epoch), number)
        patch.setattr(prose, "linkage_unit", lambda: units[epoch])
        prose.link_and_load(NIGHTS[number].isoformat())
        told.members.append(open_members(warehouse))

    link(0, FORMER)
    former = pseudonyms(site_of(folder, "hospital", FORMER))
    told.erased = next(n for n, record in enumerate(former) if record in told.members[0])
    erase_records(units[FORMER], "hospital", [former[told.erased]])
    told.held = next(n for n, record in enumerate(former) if n != told.erased and record in told.members[0])
    for record in (former[told.held], str(uuid.uuid4())):  # of the other no pair tells
        assert change_hold(units[FORMER], "hospital", record, held=True)
    told.members[0] = open_members(warehouse)
    with pytest.raises(NightlinkError, match="E-KEY-EPOCH"):
        carry(folder, "hospital", "2025")
    for custodian in CUSTODIANS:
        delivered = f"SELECT row_count FROM linkage.delivery WHERE custodian = '{custodian}'"
        assert warehouse.as_superuser(delivered) == [(carry(folder, custodian),)], "nobody who was rejected"
        assert carry(folder, custodian) is None
    link(1, NEW)
    for custodian in CUSTODIANS:
        site = site_of(folder, custodian, NEW)
        assert len(delete_retired(site, datetime.now(UTC))) == 1
        assert forget_passage(site)
    link(2, NEW)
    yield told
    patch.undo()


def test_everybody_linked_as_before_is_the_same_entity_under_other_pseudonyms(rotation: Rotation) -> None:
    before, after, last = rotation.members
    assert not set(before) & set(after)
    for custodian in CUSTODIANS:
        former, new = (pseudonyms(site_of(rotation.folder, custodian, epoch)) for epoch in (FORMER, NEW))
        both = [(before[f], after[n]) for f, n in zip(former, new, strict=True) if f in before and n in after]
        assert len(both) > 60
        assert sum(f == n for f, n in both) > 0.97 * len(both)
    assert last == after
    assert rotation.rows("SELECT * FROM linkage.epoch_staging") == []


def test_who_was_erased_under_the_former_name_stays_away_under_the_new_one(rotation: Rotation) -> None:
    new = pseudonyms(site_of(rotation.folder, "hospital", NEW))[rotation.erased]
    assert all(new not in members for members in rotation.members)
    assert (
        rotation.rows(f"SELECT * FROM linkage.link WHERE '{new}' IN (record_a::text, record_b::text)") == []
    )


def test_who_is_held_stays_held_under_the_new_name_and_a_hold_left_behind_is_told(rotation: Rotation) -> None:
    new = pseudonyms(site_of(rotation.folder, "hospital", NEW))[rotation.held]
    with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
        erase_records(rotation.units[NEW], "hospital", [new])
    assert "legal holds of records that go on: 1 of 2" in rotation.said
    assert any(line.startswith("WARNING: the other holds") for line in rotation.said)


def test_nothing_of_the_former_epoch_is_kept_and_the_log_says_who_deleted_it(rotation: Rotation) -> None:
    told = rotation.rows(
        "SELECT d.custodian, d.deleted_at, d.key_epoch, e.entry::jsonb #>> '{event,kind}'"
        " FROM linkage.deleted_encodings AS d JOIN audit.event AS e ON e.sequence = d.audit_sequence ORDER BY 1, 2"
    )
    # What the unit kept of the hospital went with the erasure, which has an event of its own.
    assert told == [
        ("hospital", "custodian", FORMER, "encodings_deleted"),
        ("pharmacy", "custodian", FORMER, "encodings_deleted"),
        ("pharmacy", "linkage_unit", FORMER, "encodings_deleted"),
    ]
    assert not (rotation.folder / "unit-state" / "deleted.jsonl").exists()
    assert list(rotation.folder.glob("exchange/*/epoch-*/pairs.sealed")) == []
    assert len(list(rotation.folder.glob("exchange/*/epoch-*/passage.json"))) == 2


def test_the_audit_verifies_over_the_rotation(rotation: Rotation) -> None:
    file = rotation.folder / "auditor.url"
    file.write_text(rotation.warehouse.urls["auditor"])
    file.chmod(0o600)
    assert len(verify_audit(file).nights) == 3
