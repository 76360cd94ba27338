"""A superuser can change anything. What a custodian holds, and the log itself, find and name it.

Five nights are published with the real functions and receipts; each test tampers with a copy of the database.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg2
import pytest

from flows.command_line import main
from linkage_core.audit.merkle_tree import inclusion_holds
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import DeliveryManifest
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_from_document
from sql.servers import PostgresServer
from tasks.custodian.settings import CustodianSite
from tasks.custodian.witness import has_receipt, newest_checkpoint, take_receipts, witnessed_log
from tasks.linkage_unit.explain_link import explain_link
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.receipts import compare_with_witnesses, hand_out_receipts
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.verify_audit import VerifiedAudit, verify_audit
from tasks.protocol.exchange import receipt_names
from tasks.protocol.witnessed import read_witnessed
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link
from tests.reference.small_world import (
    UNIT_SIGNING_PUBLIC_KEY,
    make_site,
    make_unit,
    shipped_protocol,
)
from tests.reference.tiny_delivery import tiny_manifest

PROJECT, NIGHTS = "tampered", 5
KEPT = [link(a=f"00000000-0000-4000-8000-00000000000{n}") for n in range(3)]


@dataclass
class World:
    """Nights in one database, the linkage unit that signed them, and the custodians that keep its receipts."""

    server: PostgresServer
    warehouse: Warehouse
    folder: Path
    unit: LinkageUnit
    sites: dict[str, CustodianSite]
    copies: list[str] = field(default_factory=list)

    @property
    def nights(self) -> Nights:
        return Nights(self.warehouse, PROJECT)

    def night(self, number: int, *, receipts: bool = True) -> NightRun:
        """Publish a night and hand out its receipts."""
        ledger = self.nights.night(f"n{number}", [*KEPT, link(), link()], day(number))
        run = NightRun(self.warehouse.loader, ledger, False)
        if receipts:
            hand_out_receipts(run, self.unit)
        return run

    def copy(self) -> Warehouse:
        """The database as it is now, under another name; a backup, restored."""
        database = f"copy_{secrets.token_hex(4)}"
        original = self.warehouse.urls["auditor"].rpartition("/")[2]
        with_admin(
            self.server,
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{original}'",
            f"CREATE DATABASE {database} OWNER warehouse_owner TEMPLATE {original}",
            "UPDATE pg_database SET datacl = (SELECT datacl FROM pg_database"
            f" WHERE datname = '{original}') WHERE datname = '{database}'",
        )
        self.copies.append(database)
        urls = {role: url.rpartition("/")[0] + f"/{database}" for role, url in self.warehouse.urls.items()}
        return Warehouse(urls, self.server.superuser_url(database))

    def verify(self, warehouse: Warehouse, *witnesses: Path) -> VerifiedAudit:
        """`nightlink audit verify --from`; by default from what the hospital keeps."""
        paths = witnesses or (self.witness("hospital"),)
        return verify_audit(self.url_file(warehouse), read_witnessed(paths, UNIT_SIGNING_PUBLIC_KEY))

    def url_file(self, warehouse: Warehouse) -> Path:
        path = self.folder / f"{secrets.token_hex(4)}.url"
        path.touch(0o600)
        path.write_text(warehouse.urls["auditor"])
        return path

    def witness(self, custodian: str) -> Path:
        return self.sites[custodian].settings.state_folder / "witness"

    def restored(self, warehouse: Warehouse) -> World:
        """The same parties, with another database in the place of theirs."""
        return replace(self, warehouse=warehouse)


def with_admin(server: PostgresServer, *statements: str) -> None:
    connection = psycopg2.connect(server.superuser_url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def of_this_project() -> LinkageProtocol:
    return protocol_from_document(shipped_protocol().model_dump(mode="json") | {"project": PROJECT})


@pytest.fixture(scope="module")
def world(
    postgres_server: PostgresServer, warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tampered")
    unit = replace(make_unit(folder), protocol=of_this_project())
    sites = {
        name: replace(make_site(folder, name), protocol=of_this_project())
        for name in ("hospital", "pharmacy")
    }
    world = World(postgres_server, warehouse, folder, unit, sites)
    for number in range(NIGHTS):
        world.night(number)
        take_receipts(sites["hospital"])  # the pharmacy takes its receipts all at once, later
    yield world
    with_admin(postgres_server, *(f"DROP DATABASE {copy} WITH (FORCE)" for copy in world.copies))


def refusal(world: World, warehouse: Warehouse, *witnesses: Path) -> str:
    with pytest.raises(NightlinkError) as caught:
        world.verify(warehouse, *witnesses)
    assert caught.value.code == "E-AUDIT-BROKEN"
    return caught.value.found


# -- receipts


def test_what_was_not_altered_verifies_against_every_custodian(world: World) -> None:
    take_receipts(world.sites["pharmacy"])
    for custodian in world.sites:
        verified = world.verify(world.warehouse, world.witness(custodian))
        assert verified.checkpoints == verified.witnessed_size == verified.entries == NIGHTS
    assert list(verified.nights.values()) == [5] * NIGHTS
    assert newest_checkpoint(world.sites["hospital"]).root == newest_checkpoint(world.sites["pharmacy"]).root


def test_a_custodian_knows_of_which_deliveries_it_has_a_receipt(world: World) -> None:
    hospital = world.sites["hospital"]
    take_receipts(hospital)
    kept = sorted(path for path in world.witness("hospital").iterdir() if path.name[0].isdigit())
    told = [json.loads(path.read_bytes())["receipt"] for path in kept]
    assert all(has_receipt(r["run_id"], r["manifest_sha256"], hospital) for r in told)
    assert not has_receipt(told[0]["run_id"], "0" * 64, hospital)
    assert not has_receipt("a night that was refused", told[0]["manifest_sha256"], hospital)


def test_receipts_are_handed_out_once_and_taken_once(world: World) -> None:
    run = NightRun(world.warehouse.loader, world.nights.describe("n4"), True)  # type: ignore[arg-type]
    hand_out_receipts(run, world.unit)
    assert len(receipt_names(world.unit.settings.exchange, "hospital")) == NIGHTS
    before = sorted(world.witness("hospital").iterdir())
    take_receipts(world.sites["hospital"])
    assert sorted(world.witness("hospital").iterdir()) == before


def test_a_bare_checkpoint_is_a_witness_too_and_the_command_says_what_it_bears_out(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = sorted(world.witness("hospital").iterdir())[2]
    note = read_note(receipt)
    path = world.folder / "third.checkpoint"
    path.write_text(note, encoding="utf-8")
    words = ["audit", "verify", "--url-file", str(world.url_file(world.warehouse))]
    with pytest.raises(SystemExit) as caught:
        main([*words, "--from", str(path), "--linkage-unit-key", UNIT_SIGNING_PUBLIC_KEY])
    told = capsys.readouterr().out
    assert (caught.value.code, "1 checkpoints bear out the first 3 entries" in told) == (0, True)
    with pytest.raises(SystemExit):
        main(words)
    assert "no witness" in capsys.readouterr().out
    with pytest.raises(NightlinkError, match="E-AUDIT-RECEIPT"):
        read_witnessed([path], "ab" * 32)


def read_note(receipt: Path) -> str:
    return str(json.loads(receipt.read_bytes())["receipt"]["checkpoint"])


def delivery_of(site: CustodianSite) -> ReceivedDelivery:
    manifest: DeliveryManifest = tiny_manifest(custodian=site.name, witnessed=witnessed_log(site))
    return ReceivedDelivery(manifest, "a" * 64, None, [])  # type: ignore[arg-type]


def test_a_night_is_not_begun_on_a_log_that_its_witnesses_do_not_know(world: World) -> None:
    delivery = delivery_of(world.sites["hospital"])
    assert delivery.manifest.witnessed.size == NIGHTS
    run = NightRun(world.warehouse.loader, None, False)  # type: ignore[arg-type]
    compare_with_witnesses(run, [delivery])
    shorter = cut_off(world.copy())
    with pytest.raises(NightlinkError, match="E-AUDIT-FORK.*log of 4 entries.*the 5 which"):
        compare_with_witnesses(replace(run, engine=shorter.loader), [delivery])


def test_the_linkage_unit_signs_no_fork_and_a_custodian_takes_none(world: World) -> None:
    forked = world.restored(cut_off(world.copy()))
    with pytest.raises(NightlinkError, match="E-AUDIT-FORK"):
        forked.night(6)
    # A linkage unit that hides what it handed out before, and signs whatever its database says:
    elsewhere = replace(
        forked.unit, settings=forked.unit.settings.model_copy(update={"exchange": world.folder / "x"})
    )
    run = NightRun(forked.warehouse.loader, forked.nights.describe("n6"), True)  # type: ignore[arg-type]
    forked.night(7, receipts=False)
    hand_out_receipts(run, elsewhere)
    site = world.sites["hospital"]
    shown = replace(site, settings=site.settings.model_copy(update={"exchange": world.folder / "x"}))
    with pytest.raises(NightlinkError, match="E-AUDIT-FORK.*6 entries.*the 5 which"):
        take_receipts(shown)
    [evidence] = world.witness("hospital").glob("refused-*")
    evidence.unlink()
    assert newest_checkpoint(site).size == NIGHTS


# -- one link


def link_of(warehouse: Warehouse, run_id: str) -> int:
    query = f"SELECT max(link_id) FROM linkage.link WHERE opened_by_run = '{run_id}'"
    return int(warehouse.as_superuser(query)[0][0])


def test_one_link_is_explained_with_proofs_that_hold(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    link_id = link_of(world.warehouse, "tampered.n1")
    words = ["audit", "explain", str(link_id), "--url-file", str(world.url_file(world.warehouse))]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert not caught.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["link"]["as_it_was_opened"] is True
    assert told["link"]["evidence"]["score_band"] == "0.90-0.95"
    assert told["log"]["root"] == newest_checkpoint(world.sites["hospital"]).root.hex()
    assert told["closed"]["event"]["run_id"] == "tampered.n2"
    opened = told["opened"]
    assert {d["custodian"]: d["manifest_sha256"] for d in opened["deliveries"]} == opened["event"][
        "deliveries"
    ]
    assert (opened["event"]["run_id"], opened["entry"]["by"]) == ("tampered.n1", "linkage_loader")
    proof = [bytes.fromhex(node) for node in opened["entry"]["inclusion_proof"]]
    leaf, root = bytes.fromhex(opened["entry"]["leaf"]), bytes.fromhex(told["log"]["root"])
    assert inclusion_holds(leaf, opened["entry"]["number"] - 1, told["log"]["entries"], proof, root)


def test_a_link_of_an_altered_entry_is_not_explained(world: World) -> None:
    altered = world.copy()
    altered.as_superuser(EDIT_EVENT, replica=True)
    with pytest.raises(NightlinkError, match=r"E-AUDIT-BROKEN.*entry 3 of the night tampered\.n2 altered"):
        explain_link(world.url_file(altered), link_of(altered, "tampered.n2"))
    with pytest.raises(NightlinkError, match="E-INPUT.*no link 0"):
        explain_link(world.url_file(altered), 0)


# -- tampering as a superuser

NEWEST = "(SELECT max(sequence) FROM audit.event)"
REBUILD = """
DELETE FROM audit.node;
DO $$ DECLARE r record; v_level integer; v_position bigint; v_hash bytea; BEGIN
  FOR r IN SELECT sequence, entry FROM audit.event ORDER BY sequence LOOP
    v_level := 0; v_position := r.sequence - 1; v_hash := sha256('\\x00'::bytea || convert_to(r.entry, 'UTF8'));
    UPDATE linkage.link_run SET audit_event_hash = v_hash WHERE audit_sequence = r.sequence;
    LOOP
      INSERT INTO audit.node VALUES (v_level, v_position, v_hash);
      EXIT WHEN v_position % 2 = 0;
      SELECT sha256('\\x01'::bytea || hash || v_hash) INTO v_hash FROM audit.node
       WHERE level = v_level AND position = v_position - 1;
      v_level := v_level + 1; v_position := v_position / 2;
    END LOOP;
  END LOOP; END $$;
"""
EDIT_EVENT = "UPDATE audit.event SET entry = replace(entry, '\"kept\":3', '\"kept\":9') WHERE sequence = 3;"
RUN = "linkage.link_run SET {} WHERE run_id = 'tampered.n2'"
LAST_LINK = "(SELECT max(link_id) FROM linkage.link WHERE opened_by_run = 'tampered.n2')"


def cut_off(warehouse: Warehouse) -> Warehouse:
    """Take the newest night out, as if it had never been: entry, nodes, ledger and links."""
    warehouse.as_superuser(
        f"DELETE FROM audit.event WHERE sequence = {NEWEST};"
        "DELETE FROM linkage.link WHERE opened_by_run = 'tampered.n4';"
        "UPDATE linkage.link SET closed_by_run = NULL, valid_to = 'infinity', closed_because = NULL"
        " WHERE closed_by_run = 'tampered.n4';"
        "DELETE FROM linkage.entity_member WHERE opened_by_run = 'tampered.n4';"
        "UPDATE linkage.entity_member SET closed_by_run = NULL, valid_to = 'infinity'"
        " WHERE closed_by_run = 'tampered.n4';"
        "DELETE FROM linkage.run_delivery WHERE run_id = 'tampered.n4';"
        "UPDATE linkage.project SET head_run = 'tampered.n3', head_fence = 4;"
        "DELETE FROM linkage.link_run WHERE run_id = 'tampered.n4';" + REBUILD,
        replica=True,
    )
    return warehouse


TAMPERINGS = {
    "edit a link": (
        f"UPDATE linkage.link SET score_band = '0.95-1.00' WHERE link_id = {LAST_LINK}",
        r"link \d+ of night tampered\.n2: is not as it was opened; night tampered\.n2: links with another digest",
    ),
    "edit a link and its leaf": (
        f"UPDATE linkage.link SET score_band = '0.95-1.00' WHERE link_id = {LAST_LINK};"
        "UPDATE linkage.link AS l SET leaf = linkage.link_leaf(l, true)",
        r"^night tampered\.n2: links with another digest",
    ),
    "delete a link": (
        "DELETE FROM linkage.link WHERE record_a = '00000000-0000-4000-8000-000000000001'",
        r"^night tampered\.n0 to tampered\.n4 \(5 nights\): links with another digest",
    ),
    "bury a link in silence": (
        f"SELECT linkage.bury_links(ARRAY[{LAST_LINK}])",
        r"^project tampered: another number of buried links",
    ),
    "edit an entry": (EDIT_EVENT, r"^entry 3: is altered"),
    "edit an entry and everything that was hashed": (
        EDIT_EVENT + REBUILD,
        r"^entry 3: is not the one that a receipt names \(night tampered\.n2\)",
    ),
    "delete an entry": ("DELETE FROM audit.event WHERE sequence = 3", r"^entry 3: is missing; night tampered\.n2"),
    "delete the newest": (
        f"DELETE FROM audit.event WHERE sequence = {NEWEST}; DELETE FROM audit.node WHERE (position + 1) << level > 4",
        r"^entries 5 to 5 \(of night tampered\.n4\): are gone",
    ),
    "swap two nights in the log": (
        "UPDATE audit.event AS e SET entry = o.entry FROM audit.event AS o WHERE e.sequence + o.sequence = 5"
        " AND e.sequence IN (2, 3)",
        r"^entry 2: is altered.*; entry 3: is altered",
    ),
    "swap two nights in the log, hashed anew": (
        "UPDATE audit.event AS e SET entry = o.entry FROM audit.event AS o WHERE e.sequence + o.sequence = 5"
        " AND e.sequence IN (2, 3);"
        "UPDATE linkage.link_run SET audit_sequence = 5 - audit_sequence + 100 WHERE audit_sequence IN (2, 3);"
        "UPDATE linkage.link_run SET audit_sequence = audit_sequence - 100 WHERE audit_sequence > 100;" + REBUILD,
        r"^entry 2: is not the one .*\(night tampered\.n1\); entry 3: is not the one .*\(night tampered\.n2\)",
    ),
    "swap the links of two nights": (
        "UPDATE linkage.link SET (opened_by_run, closed_by_run) = (SELECT CASE opened_by_run WHEN 'tampered.n2' THEN"
        " 'tampered.n3' ELSE 'tampered.n2' END, CASE opened_by_run WHEN 'tampered.n2' THEN 'tampered.n4' ELSE"
        " 'tampered.n3' END) WHERE opened_by_run IN ('tampered.n2', 'tampered.n3')",
        r"night tampered\.n2 to tampered\.n3 \(2 nights\): links with another digest",
    ),
    "swap two nights in the ledger": (
        "UPDATE linkage.link_run AS r SET as_of = o.as_of FROM linkage.link_run AS o WHERE r.run_id <> o.run_id"
        " AND r.run_id IN ('tampered.n2', 'tampered.n3') AND o.run_id IN ('tampered.n2', 'tampered.n3')",
        r"^night tampered\.n2: stands otherwise in the ledger.*; night tampered\.n3: stands otherwise",
    ),
    "edit the night's figures": (
        "UPDATE " + RUN.format("counts = '{\"expected_precision\": 1}'"),
        r"^night tampered\.n2: stands otherwise in the ledger than in entry 3",
    ),
    "name another delivery": (
        "UPDATE linkage.run_delivery SET manifest_sha256 = (SELECT max(manifest_sha256) FROM linkage.run_delivery"
        " WHERE run_id = 'tampered.n1') WHERE run_id = 'tampered.n2' AND manifest_sha256 ="
        " (SELECT max(manifest_sha256) FROM linkage.run_delivery WHERE run_id = 'tampered.n2')",
        r"^night tampered\.n2: other deliveries",
    ),
    "hide a night": (
        "UPDATE " + RUN.format("status = 'failed', failure_code = 'E-INPUT', links_opened = NULL, links_closed = NULL,"
                               " links_kept = NULL"),
        r"^night tampered\.n2: is published in the log, and not in the ledger",
    ),
    "edit an entity": (
        "UPDATE linkage.entity_member SET custodian = 'gp' WHERE ctid = (SELECT max(ctid) FROM linkage.entity_member"
        " WHERE opened_by_run = 'tampered.n4')",
        r"^night tampered\.n4: entities with another digest",
    ),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found_and_named(world: World, tampering: str) -> None:
    statement, named = TAMPERINGS[tampering]
    altered = world.copy()
    altered.as_superuser(statement, replica=True)
    found = refusal(world, altered)
    assert re.search(named, found), found


def test_yesterday_s_backup_restored_is_whole_and_found_all_the_same(world: World) -> None:
    yesterday = world.copy()
    world.night(NIGHTS)
    take_receipts(world.sites["hospital"])
    assert world.verify(world.warehouse).entries == NIGHTS + 1
    found = refusal(world, yesterday)
    assert re.match(rf"^entries 6 to 6 \(of night tampered\.n{NIGHTS}\): are gone.*an older backup", found)
    assert verify_audit(world.url_file(yesterday)).entries == NIGHTS
