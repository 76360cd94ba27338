"""A third custodian by configuration alone: three real deliveries, linked, joined and published in a real warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from flows.linkage_unit import link_and_load as prose
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_from_document
from sql.warehouse.login_roles import OWNER, RESEARCHER, admit_research
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.night_folder import night_folder
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import Warehouse
from tests.reference.small_world import (
    NIGHT,
    encode_people,
    few_people,
    make_site,
    make_unit,
    public_key,
    raw_table,
    shipped_protocol,
    transfer_public_key,
)

CUSTODIANS = ("hospital", "pharmacy", "laboratory")
PEOPLE, FROM_HOSPITAL, FROM_PHARMACY = 500, 150, 100


@dataclass
class ThreeCustodians:
    """Who delivered what, the unit that links it, and the warehouse."""

    warehouse: Warehouse
    unit: LinkageUnit
    auditor_url: Path
    truth: set[frozenset[tuple[str, str]]]
    """Pairs of (custodian, pseudonym) that are one person."""
    _inside: dict[str, str] = field(default_factory=dict)

    def night(self, monkeypatch: pytest.MonkeyPatch, later_days: int = 0) -> str:
        monkeypatch.setattr(prose, "linkage_unit", lambda: self.unit)
        as_of = (NIGHT + timedelta(days=later_days)).isoformat()
        prose.link_and_load(as_of)
        return as_of

    def rows(self, query: str) -> list[tuple]:
        """What a researcher is told; of the tables themselves, what a superuser is."""
        ask = self.warehouse.as_superuser if " linkage." in query else self.warehouse.as_researcher
        return ask(query)

    def inside(self, shown: str) -> str:
        """The record, 32 hex digits, behind a researcher's pseudonym."""
        if not self._inside:
            query = "SELECT outside::text, inside::text FROM access.pseudonym"
            self._inside.update(self.warehouse.as_superuser(query))
        return self._inside[shown].replace("-", "")


def three_protocol(**decision: object) -> LinkageProtocol:
    document = shipped_protocol().model_dump(mode="json")
    document |= {"custodians": list(CUSTODIANS), "project": "three"}
    document["decision"] |= decision
    return protocol_from_document(document)


def laboratory_people() -> tuple[pa.Table, list[str]]:
    """Samples of some patients as the hospital spells them, and of some customers as the pharmacy does."""
    people = few_people(PEOPLE)
    parts = [
        raw_table(people.side_a).slice(0, FROM_HOSPITAL),
        raw_table(people.side_b).slice(0, FROM_PHARMACY),
    ]
    table = pa.concat_tables(parts)
    return table.set_column(0, "source_id", pa.array([f"L{k}" for k in range(len(table))])), [
        *people.side_a["rid"].to_pylist()[:FROM_HOSPITAL],
        *people.side_b["rid"].to_pylist()[:FROM_PHARMACY],
    ]


def _true_pairs(protocol: LinkageProtocol, site_keys: dict[str, bytes]) -> set[frozenset[tuple[str, str]]]:
    people, (_, samples) = few_people(PEOPLE), laboratory_people()

    def named(custodian: str, rid: str) -> tuple[str, str]:
        ids = record_pseudonyms(
            site_keys[custodian], [rid], project=protocol.project, epoch=protocol.key_epoch
        )
        return custodian, ids[0].tobytes().hex()

    match_of: dict[str, str] = {}
    pairs = set()
    for a, b in zip(people.truth["rid_a"].to_pylist(), people.truth["rid_b"].to_pylist(), strict=True):
        pairs.add(frozenset({named("hospital", a), named("pharmacy", b)}))
        match_of[a], match_of[b] = b, a
    for k, rid in enumerate(samples):
        custodian, other = ("hospital", "pharmacy") if k < FROM_HOSPITAL else ("pharmacy", "hospital")
        pairs.add(frozenset({named("laboratory", f"L{k}"), named(custodian, rid)}))
        if rid in match_of:
            pairs.add(frozenset({named("laboratory", f"L{k}"), named(other, match_of[rid])}))
    return pairs


@pytest.fixture(scope="module")
def three(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeCustodians]:
    folder, protocol = tmp_path_factory.mktemp("three"), three_protocol()
    tables = [
        raw_table(few_people(PEOPLE).side_a),
        raw_table(few_people(PEOPLE).side_b),
        laboratory_people()[0],
    ]
    site_keys = {}
    for custodian, table in zip(CUSTODIANS, tables, strict=True):
        site = replace(make_site(folder, custodian), protocol=protocol)
        site_keys[custodian] = site.site_key
        with night_folder(site.settings.state_folder) as work:
            encoded = encode_people(site, table, work)
            for later in range(2):
                deliver_encodings(encoded, NIGHT + timedelta(days=later), site)
    unit = make_unit(
        folder,
        custodian_public_keys={name: public_key(name) for name in CUSTODIANS},
        custodian_transfer_keys={name: transfer_public_key(name) for name in CUSTODIANS},
    )
    admit_research(warehouse.engine(OWNER), RESEARCHER, [protocol.project])
    unit = replace(unit, protocol=protocol, warehouse_url=warehouse.urls["linkage_loader"])
    auditor = folder / "auditor.url"
    auditor.write_text(warehouse.urls["auditor"])
    auditor.chmod(0o600)
    yield ThreeCustodians(warehouse, unit, auditor, _true_pairs(protocol, site_keys))


@pytest.fixture(scope="module")
def published(three: ThreeCustodians) -> ThreeCustodians:
    with pytest.MonkeyPatch.context() as patch:
        three.night(patch)
    return three


def test_every_two_custodians_are_linked_and_the_links_are_true(published: ThreeCustodians) -> None:
    rows = published.rows(
        "SELECT custodian_a, record_a, custodian_b, record_b FROM research.link_current_v1"
        " WHERE project = 'three' AND decision = 'match'"
    )
    linked = {frozenset({(a, published.inside(i)), (b, published.inside(j))}) for a, i, b, j in rows}
    assert {(a, b) for a, _, b, _ in rows} == {
        ("hospital", "pharmacy"), ("hospital", "laboratory"), ("pharmacy", "laboratory")
    }  # fmt: skip
    assert len(linked & published.truth) / len(linked) > 0.97
    assert len(linked & published.truth) / len(published.truth) > 0.9
    [(custodians, deliveries)] = published.rows(
        "SELECT custodians, deliveries FROM research.linkage_run_v1 WHERE project = 'three'"
    )
    assert (tuple(custodians), len(deliveries)) == (CUSTODIANS, 3)


def test_entities_join_them_one_record_a_custodian(published: ThreeCustodians) -> None:
    rows = published.rows(
        "SELECT entity_id, custodian, record_pseudonym FROM research.entity_member_v1"
        " WHERE project = 'three' AND valid_to = 'infinity'"
    )
    entities: dict[str, list[tuple[str, str]]] = {}
    for entity_id, custodian, record in rows:
        entities.setdefault(entity_id, []).append((custodian, published.inside(record)))
    assert all(len({c for c, _ in members}) == len(members) >= 2 for members in entities.values())
    of_three = [members for members in entities.values() if len(members) == 3]
    assert len(of_three) > 40
    pairs = {frozenset({x, y}) for members in entities.values() for x in members for y in members if x != y}
    assert len(pairs & published.truth) / len(pairs) > 0.97
    assert len({record for _, _, record in rows}) == len(rows)


def test_the_ledger_and_the_report_tell_of_each_pair(published: ThreeCustodians) -> None:
    [(counts,)] = published.rows(
        "SELECT counts FROM linkage.link_run WHERE project = 'three' ORDER BY fence LIMIT 1"
    )
    by_two = counts["pairs_of_custodians"]
    assert [two["candidates"]["custodians"] for two in by_two] == [
        ["hospital", "pharmacy"], ["hospital", "laboratory"], ["pharmacy", "laboratory"]
    ]  # fmt: skip
    assert counts["links"]["match"] == sum(two["links"]["match"] for two in by_two)
    assert counts["candidates"]["pairs"] == sum(two["candidates"]["pairs"] for two in by_two)
    assert counts["entities"]["members"] == published.rows(
        "SELECT count(*) FROM linkage.entity_member WHERE project = 'three' AND valid_to = 'infinity'"
    )[0][0]  # fmt: skip
    page = next(published.unit.settings.reports_folder.rglob("*.html")).read_text()
    assert all(name in page for name in (*CUSTODIANS, "Groups too large or too loose, split"))


def test_the_same_night_again_changes_nothing_and_the_next_keeps_all(
    published: ThreeCustodians, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published.warehouse.state()
    published.night(monkeypatch)
    assert published.warehouse.state() == before
    entities = "SELECT entity_id, record FROM linkage.entity_member WHERE valid_to = 'infinity' ORDER BY 1, 2"
    served = published.rows(entities)
    published.night(monkeypatch, later_days=1)
    [(opened, closed, kept)] = published.rows(
        "SELECT links_opened, links_closed, links_kept FROM linkage.link_run WHERE project = 'three'"
        " ORDER BY fence DESC LIMIT 1"
    )
    assert (opened, closed) == (0, 0) and kept > 0
    assert published.rows(entities) == served


def test_an_altered_custodian_or_entity_is_found(published: ThreeCustodians) -> None:
    assert NIGHT.isoformat() in verify_audit(published.auditor_url).nights
    alterations = [
        ("link SET custodian_b = 'gp'", "night .*: links with another digest"),
        ("entity_member SET custodian = 'gp'", "night .*: entities with another digest"),
    ]
    for alteration, found in alterations:
        table = alteration.split()[0]
        whole = f"SELECT ctid::text, * FROM linkage.{table} WHERE project = 'three' ORDER BY 1 LIMIT 1"
        (ctid, *_) = published.rows(whole)[0]
        column = alteration.split()[2]
        [(was,)] = published.rows(f"SELECT {column} FROM linkage.{table} WHERE ctid = '{ctid}'")
        [(new,)] = published.rows(f"UPDATE linkage.{alteration} WHERE ctid = '{ctid}' RETURNING ctid::text")
        with pytest.raises(NightlinkError, match=f"E-AUDIT-BROKEN.*{found}"):
            verify_audit(published.auditor_url)
        published.rows(f"UPDATE linkage.{table} SET {column} = '{was}' WHERE ctid = '{new}' RETURNING 1")
    verify_audit(published.auditor_url)
