"""Two nights with null people and canary pairs, from the custodians' records to a real warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from flows.linkage_unit import link_and_load as prose
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.quality.masked_evidence import NOT_COMPARED
from linkage_core.protocol.evidence_spec import evidence_of
from sql.warehouse.login_roles import OWNER, RESEARCHER, admit_research, content_role
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.encode import add_sealed_people, encode_identifiers
from tasks.custodian.name_sealed_people import name_sealed_people
from tasks.custodian.night_folder import night_folder
from tasks.custodian.normalise import normalise_identifiers
from tasks.custodian.report_delivery import report_delivery
from tasks.custodian.settings import CustodianSite, SealedPeopleSettings
from tasks.custodian.validate import validate_identifiers
from tasks.linkage_unit.explain_evidence import explain_evidence
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import Warehouse
from tests.reference.small_world import (
    CUSTODIANS,
    NIGHT,
    few_people,
    fill_spool,
    make_site,
    make_unit,
    raw_table,
)

PEOPLE, NULLS, CANARIES = 400, 60, 50
NIGHTS = (NIGHT, NIGHT + timedelta(days=1))


def deliver(site: CustodianSite, night: date) -> None:
    """A custodian's night from its records on, as ``encode_and_deliver`` goes."""
    people = few_people(PEOPLE)
    table = raw_table(people.side_a if site.name == "hospital" else people.side_b)
    with night_folder(site.settings.state_folder) as folder:
        validated = validate_identifiers(fill_spool(folder, table), night, site, folder)
        normalised = normalise_identifiers(validated, night, site, folder)
        encoded = add_sealed_people(encode_identifiers(normalised, site, folder), site)
        name_sealed_people(encoded, night, site)
        deliver_encodings(encoded, night, site)
        report_delivery(night, site, encoded.sealed)


def sealing_site(folder: Path, custodian: str, warehouse: Warehouse) -> CustodianSite:
    url = folder / f"{custodian}.url"
    url.write_text(warehouse.urls[content_role(custodian)])
    url.chmod(0o600)
    site = make_site(folder, custodian)
    wanted = SealedPeopleSettings(null_people=NULLS, canary_pairs=CANARIES, most_share=0.2)
    changes = {"warehouse_content_url_file": url, "sealed_people": wanted}
    return replace(site, settings=site.settings.model_copy(update=changes))


@dataclass
class Nights:
    folder: Path
    warehouse: Warehouse
    unit: LinkageUnit

    def rows(self, query: str) -> list[tuple]:
        return self.warehouse.as_superuser(query)


@pytest.fixture(scope="module")
def nights(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("sealed")
    unit = replace(make_unit(folder), warehouse_url=warehouse.urls["linkage_loader"])
    admit_research(warehouse.engine(OWNER), RESEARCHER, [unit.protocol.project])
    patch = pytest.MonkeyPatch()
    patch.setattr(prose, "linkage_unit", lambda: unit)
    for night in NIGHTS:
        for custodian in CUSTODIANS:
            deliver(sealing_site(folder, custodian, warehouse), night)
        prose.link_and_load(night.isoformat())
    yield Nights(folder, warehouse, unit)
    patch.undo()


def test_sealed_people_are_counted(nights: Nights) -> None:
    counted = nights.rows(
        "SELECT sealed_a, sealed_b, null_a, null_b, canary_pairs, canary_matches, matches_left"
        " FROM linkage.unsealed ORDER BY run_id"
    )
    assert len(counted) == 2
    for *numbers, found, left in counted:
        assert numbers == [NULLS + CANARIES, NULLS + CANARIES, NULLS, NULLS, CANARIES]
        assert found >= 35
        assert left > 150


def test_no_reader_sees_one(nights: Nights) -> None:
    named = {row[0] for row in nights.rows("SELECT DISTINCT record::text FROM sealed.person")}
    assert len(named) == 2 * (
        NULLS + CANARIES
    )  # the same on both nights: a delivery of changes brings none of them
    for query in (
        "SELECT inside::text FROM access.pseudonym",
        "SELECT record_a::text FROM linkage.link UNION SELECT record_b::text FROM linkage.link",
        "SELECT record::text FROM linkage.entity_member",
        "SELECT record_a::text FROM review.pair UNION SELECT record_b::text FROM review.pair",
    ):
        assert not named & {row[0] for row in nights.rows(query)}
    lone = "SELECT entity_id FROM linkage.entity_member WHERE valid_to = 'infinity' GROUP BY 1 HAVING count(*) < 2"
    assert nights.rows(lone) == []


def test_links_stay_as_they_are_where_no_record_changes(nights: Nights) -> None:
    told = nights.rows("SELECT links_opened, links_closed, links_kept FROM linkage.link_run ORDER BY as_of")
    assert told[1][:2] == (0, 0) and told[1][2] == told[0][0]
    open_links = "SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'"
    assert nights.rows(open_links) == [(told[1][2],)]


def test_the_audit_still_reproduces_both_digests(nights: Nights) -> None:
    file = nights.folder / "auditor.url"
    file.write_text(nights.warehouse.urls["auditor"])
    file.chmod(0o600)
    assert len(verify_audit(file).nights) == 2
    kinds = [
        row[0]
        for row in nights.rows("SELECT entry::jsonb #>> '{event,kind}' FROM audit.event ORDER BY sequence")
    ]
    each = ["people_sealed", "people_sealed", "night_published", "night_unsealed"]
    assert kinds == each * 2


def test_the_report_and_the_researchers_view_say_what_they_tell(nights: Nights) -> None:
    page = (nights.folder / "reports" / f"{NIGHT.isoformat()}.html").read_text()
    assert "Null people, sealed until the links were published" in page
    assert "canary pairs, sealed until the links were published" in page
    assert "taken out before anybody could see them" in page
    told = nights.warehouse.as_researcher(
        "SELECT measure, method, interval_low <= estimate AND estimate <= interval_high"
        " FROM research.linkage_quality_v1 WHERE method IN ('null_people', 'canary_pairs') ORDER BY run_id, method"
    )
    assert told == [("recall", "canary_pairs", True), ("precision", "null_people", True)] * 2


def test_a_links_evidence_explains_itself(nights: Nights) -> None:
    """Every served link, and one that has ended; fields that agree speak for it, and no value is told."""
    links = nights.rows(
        "SELECT link_id FROM linkage.link WHERE valid_to = 'infinity' ORDER BY link_id LIMIT 3"
    )
    for (link_id,) in links:
        told = explain_evidence(link_id, nights.unit)
        assert told["night"] == NIGHTS[1].isoformat() and told["decision"] == "match"
        fields = {field["field"]: field for field in told["fields"]}
        assert set(fields) == set(evidence_of(nights.unit.protocol).fields)
        assert told["collision_score_bits"] > 10
        assert told["bits_of_all_fields"] == sum(field["bits"] for field in told["fields"]) > 10
        assert all(
            field["bits"] > 0 for field in fields.values() if field["level"] == "exact" and field["common"]
        )
        assert all(field["bits"] == 0 for field in fields.values() if field["level"] == NOT_COMPARED)
    with pytest.raises(NightlinkError, match="no link 999999"):
        explain_evidence(999999, nights.unit)
    assert not list(nights.unit.settings.state_folder.glob("explaining-*"))


def test_the_custodians_own_report_counts_people_who_exist(nights: Nights) -> None:
    report = (nights.folder / "hospital-state" / "reports" / f"{NIGHT.isoformat()}.txt").read_text()
    assert f"{NULLS + CANARIES} people who do not exist" in report
    [(extracted,)] = nights.rows(
        f"SELECT counts #>> '{{custodians,hospital,extracted}}' FROM linkage.link_run WHERE as_of = '{NIGHT}'"
    )
    assert int(extracted) == PEOPLE + NULLS + CANARIES
