"""The epoch is rotated between two nights, as the runbook says, with every way of doing it by halves in between."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage_core.audit.deletion_records import open_deletion
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.protocol.key_files import parse_key_file
from tests.faults.night_world import FIRST_NIGHT, NightWorld, make_night_world
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CUSTODIANS = ("hospital", "pharmacy")
NEW_KEY = "linkage-2027.key"


def install_key(world: NightWorld, text: str, custodian: str) -> None:
    """A key that was handed over: in the custodian's secrets, for its own user alone."""
    path, owner = world.folder(custodian) / "secrets" / NEW_KEY, world.folder(custodian).stat()
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    os.chown(path, owner.st_uid, owner.st_gid)


def change(world: NightWorld, party: str, old: str, new: str) -> None:
    """One word of a party's settings, for good."""
    path = world.folder(party) / "settings.toml"
    text = path.read_text()
    assert old in text
    with path.open("w") as file:  # owner and mode stay
        file.write(text.replace(old, new))


def refused(world: NightWorld, party: str, night: str, words: str) -> None:
    """The party refuses for its epoch's sake, and nothing was scored."""
    running = world.run_party(party, night)
    assert running.process.returncode == 1, running.text
    assert running.text.splitlines()[-1].startswith("E-KEY-EPOCH: "), running.text
    assert words in running.text
    assert "block records" not in running.text and "encode identifiers" not in running.text


def manifest(delivery: Path) -> dict[str, object]:
    return json.loads((delivery / "manifest.json").read_bytes())["manifest"]


def values(world: NightWorld, delivery: Path) -> tuple[set[bytes], set[bytes]]:
    """All pseudonyms and all tokens of a delivery, as a holder of every key reads them."""
    tables = [pq.read_table(pa.BufferReader(part)) for part in world.opened_parts(delivery)]
    pseudonyms = {value for table in tables for value in table["record_pseudonym"].to_pylist()}
    rows = [row for table in tables for row in table["tokens"].to_pylist()]
    return pseudonyms, {row[i : i + 8] for row in rows for i in range(0, len(row), 8)} - {bytes(8)}


def open_entities(world: NightWorld) -> dict[str, set[str]]:
    """The records of each entity that is served."""
    rows = world.query(
        "SELECT entity_id::text, record::text FROM linkage.entity_member WHERE valid_to = 'infinity'"
    )
    found: dict[str, set[str]] = {}
    for entity, record in rows:
        found.setdefault(str(entity), set()).add(str(record))
    return found


def test_the_epoch_is_rotated_between_two_nights() -> None:
    with ExitStack() as stack:
        world = make_night_world(stack)
        first, second = FIRST_NIGHT.isoformat(), world.next_night()
        assert world.run_night(first).process.returncode == 0
        served = world.served_links()
        before = {name: world.deliveries(name, first)[-1] for name in CUSTODIANS}
        assert len(served) > 300

        # The new protocol file, and a new key at one custodian; the others know nothing of it yet.
        protocol = world.root / "linkage_protocol_2027.toml"
        text = (world.root / "linkage_protocol.toml").read_text()
        protocol.write_text(text.replace('key_epoch = "2026"', 'key_epoch = "2027"'))
        protocol.chmod(0o644)
        assert protocol.read_text() != text
        change(world, "pharmacy", "linkage_protocol.toml", protocol.name)
        refused(world, "pharmacy", second, "a linkage key of the epoch 2026")

        # The key, and a site key of the new epoch too.
        secrets = world.folder("pharmacy") / "secrets"
        made = ["--role", "linkage", "--epoch", "2027", "--out", str(secrets / NEW_KEY)]
        assert world.run_command("pharmacy", "custodian", "keygen", *made) == ""
        change(world, "pharmacy", "secrets/linkage.key", f"secrets/{NEW_KEY}")
        refused(world, "pharmacy", second, "a site key of the epoch 2026")
        for name in CUSTODIANS:
            out = str(world.folder(name) / "secrets" / "site-2027.key")
            world.run_command(name, "custodian", "keygen", "--role", "site", "--epoch", "2027", "--out", out)
        change(world, "pharmacy", "secrets/site.key", "secrets/site-2027.key")
        key_text = (secrets / NEW_KEY).read_text()
        world.more_secrets.append(parse_key_file(key_text, "linkage", epoch="2027"))

        # While the former site key is there: which records go on under which new pseudonym.
        persons = open_entities(world)
        carried = ["--former-site-key-file", str(secrets / "site.key"), "--former-epoch", "2026"]
        assert "records go on from 2026 to 2027" in world.run_command(
            "pharmacy", "custodian", "carry-epoch", *carried
        )
        again = world.run_command("pharmacy", "custodian", "carry-epoch", *carried)
        assert again.splitlines()[-1] == "carried into 2027 already"

        # A delivery of the new epoch meets one of the old: refused before scoring, whichever the unit is in.
        assert world.run_party("pharmacy", second).process.returncode == 0
        assert world.run_party("hospital", second).process.returncode == 0
        refused(world, "linkage_unit", second, "the delivery of pharmacy under the epoch 2027")
        change(world, "linkage-unit", "linkage_protocol.toml", protocol.name)
        refused(world, "linkage_unit", second, "the delivery of hospital under the epoch 2026")
        assert world.served_links() == served

        # The hospital follows; the two compare by telephone; the night is run again.
        install_key(world, key_text, "hospital")
        change(world, "hospital", "linkage_protocol.toml", protocol.name)
        change(world, "hospital", "secrets/linkage.key", f"secrets/{NEW_KEY}")
        change(world, "hospital", "secrets/site.key", "secrets/site-2027.key")
        carried = ["--former-site-key-file", str(world.folder("hospital") / "secrets" / "site.key")]
        world.run_command("hospital", "custodian", "carry-epoch", *carried, "--former-epoch", "2026")
        spoken = {name: world.run_command(name, "custodian", "verify-key") for name in CUSTODIANS}
        first_lines = {tuple(text.splitlines()[:4]) for text in spoken.values()}
        assert len(first_lines) == 1 and "key epoch: 2027" in spoken["hospital"]
        at_unit = world.run_command("linkage_unit", "linkage-unit", "verify-keys").split("with ")[1:]
        for told, name in zip(at_unit, CUSTODIANS, strict=True):
            assert told.splitlines()[0] == f"{name}:"
            assert told.splitlines()[1:] == spoken[name].splitlines()[-3:], "the same ids at both ends"
        night = world.run_night(second)
        assert night.process.returncode == 0, night.text
        assert world.ledger(second) == ("published", None)
        assert (
            len(world.deliveries("hospital", second)) == 2 and len(world.deliveries("pharmacy", second)) == 1
        )

        # Nothing ties the two epochs together: key-check value, pseudonyms, tokens.
        after = {name: world.deliveries(name, second)[-1] for name in CUSTODIANS}
        for name in CUSTODIANS:
            assert manifest(before[name])["key_check_value"] != manifest(after[name])["key_check_value"]
            assert manifest(after[name])["key_epoch"] == "2027"
            (pseudonyms, tokens), (new_pseudonyms, new_tokens) = (
                values(world, delivery) for delivery in (before[name], after[name])
            )
            assert len(pseudonyms) == len(new_pseudonyms) > 400, "the same people"
            assert not pseudonyms & new_pseudonyms and not tokens & new_tokens
        counts = (f"count(*) FILTER (WHERE {what}_by_run = '{second}')" for what in ("opened", "closed"))
        [(opened, closed)] = world.query(f"SELECT {', '.join(counts)} FROM linkage.link")
        assert closed == len(served), "every link of the old epoch was closed"
        assert opened == len(world.served_links()) and abs(int(str(opened)) - len(served)) < 0.05 * len(
            served
        )

        # Whoever is linked as before is the same entity as before, though no pseudonym is.
        assert night.text.count("that go on from the epoch 2026") == 2
        now = open_entities(world)
        assert len(persons.keys() & now.keys()) > 0.95 * len(persons)
        assert not set().union(*persons.values()) & set().union(*now.values())
        assert world.query("SELECT * FROM linkage.epoch_staging") == []

        # Old encodings go, signed word of it stays; doing it again changes nothing.
        old_keys = [
            world.folder(n) / "secrets" / file for n in CUSTODIANS for file in ("linkage.key", "site.key")
        ]
        for path in old_keys:
            path.unlink()
        assert "would delete 1 parts" in world.run_command(
            "hospital", "custodian", "retire-deliveries", "--dry-run"
        )
        assert list(before["hospital"].glob("*.sealed"))
        for name, count in (("hospital", 2), ("pharmacy", 1)):
            told = world.run_command(name, "custodian", "retire-deliveries")
            assert told.splitlines()[-1] == f"{count} deliveries of former epochs deleted"
            assert "pairs of former and new pseudonyms deleted" in told
            assert [p.name for p in before[name].parents[1].glob("epoch-2027/*")] == ["passage.json"]
            assert world.run_command(name, "custodian", "retire-deliveries").startswith("0 deliveries")
            assert sorted(p.name for p in before[name].iterdir()) == ["deletion.json", "manifest.json"]
            assert list(after[name].glob("*.sealed")), "this epoch's delivery stays"
            signer = public_key_from_hex(world.demo.keys[name].public)
            record = open_deletion((before[name] / "deletion.json").read_bytes(), signer)
            assert (record.key_epoch, record.epoch_in_use, record.custodian) == ("2026", "2027", name)
            assert [part.model_dump() for part in record.parts] == manifest(before[name])["parts"]
            kept = (world.folder(name) / "state" / "deletions.jsonl").read_bytes().splitlines()
            assert len(kept) == count and kept[0] == (before[name] / "deletion.json").read_bytes()

        # And the nights go on, with the links of the new epoch kept.
        third = world.next_night()
        served = world.served_links()
        assert world.run_night(third).process.returncode == 0
        assert world.served_links() == served
        assert_warehouse_whole(world)

        # What is gone is in the audit log: the unit's own since the epoch's first night, the custodians' since now.
        gone = world.query(
            "SELECT d.custodian, d.deleted_at, d.key_epoch,"
            " e.entry::jsonb -> 'event' ->> 'manifest_sha256' = d.manifest_sha256"
            " FROM linkage.deleted_encodings AS d JOIN audit.event AS e ON e.sequence = d.audit_sequence ORDER BY 1, 2"
        )
        assert gone == [
            ("hospital", "custodian", "2026", True), ("hospital", "custodian", "2026", True),
            ("hospital", "linkage_unit", "2026", True), ("pharmacy", "custodian", "2026", True),
            ("pharmacy", "linkage_unit", "2026", True),
        ]  # fmt: skip
        world.stop_processes()
        assert world.find_leaks() == []
