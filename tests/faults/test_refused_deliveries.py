"""Deliveries that must not be used: altered, made with another key or under another protocol; and a zone that sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest

from linkage_core.protocol.key_files import format_key_file
from linkage_core.protocol.transfer_keys import agreement_public_hex
from tests.faults.night_world import NightWorld, source_superuser_url
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = pytest.mark.timeout(240)
OTHER_KEY = hashlib.sha256(b"the key of another project").digest()


def flip_byte(path: Path, place: Callable[[bytes], int]) -> None:
    """Alter one byte in place; owner, mode and length stay."""
    data = bytearray(path.read_bytes())
    data[place(bytes(data))] ^= 0x01
    with path.open("r+b") as file:
        file.write(data)


def within_row_count(data: bytes) -> int:
    return data.index(b'"row_count":') + len(b'"row_count":')


def half_way(data: bytes) -> int:
    return len(data) // 2


def last(data: bytes) -> int:
    return len(data) - 1


def refused(world: NightWorld, night: str, code: str, served: list[tuple[object, ...]]) -> None:
    """The linkage unit by itself refuses the night with this code, before scoring, and serves what it served."""
    unit = world.run_party("linkage_unit", night)
    assert unit.process.returncode == 1, unit.text
    assert unit.text.splitlines()[-1].startswith(f"{code}: "), unit.text
    assert f"receive deliveries failed {code}" in unit.text
    assert "block records" not in unit.text and "score pairs" not in unit.text
    assert world.ledger(night) == ("failed", code)
    assert world.served_links() == served


def test_altered_foreign_and_mismatching_deliveries_are_refused_until_they_are_made_anew(
    night_world: NightWorld,
) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    refused(night_world, night, "E-DLV-MISSING", served)

    # Other key at the pharmacy: its own run sees nothing wrong, the linkage unit does.
    key_file = night_world.folder("pharmacy") / "secrets" / "linkage.key"
    linkage_key = night_world.demo.keys["pharmacy"].linkage
    with night_world.changed_file(key_file, (linkage_key.hex(), OTHER_KEY.hex())):
        assert key_file.read_text() == format_key_file("linkage", OTHER_KEY, epoch="2026")
        whole = night_world.run_night(night)
    assert whole.process.returncode == 1
    assert "linkage_unit ended with exit code 1: E-KEY-MISMATCH" in whole.text
    assert "block records" not in whole.text
    refused(night_world, night, "E-KEY-MISMATCH", served)
    assert night_world.find_leaks() == []

    # Other protocol at the pharmacy, the right key: made anew, and refused for another reason.
    protocol = night_world.root / "other_protocol.toml"
    protocol.write_text(
        (night_world.root / "linkage_protocol.toml")
        .read_text()
        .replace("field_bits = 200", "field_bits = 201")
    )
    protocol.chmod(0o644)
    with night_world.changed_settings("pharmacy", ("linkage_protocol.toml", protocol.name)):
        assert night_world.run_party("pharmacy", night).process.returncode == 0
    refused(night_world, night, "E-PROTOCOL-MISMATCH", served)
    assert night_world.find_leaks() == []

    # Sealed to somebody else, whose public key was put in the linkage unit's place.
    unit_key = agreement_public_hex(night_world.demo.encryption_key)
    with night_world.changed_settings("pharmacy", (unit_key, agreement_public_hex(OTHER_KEY))):
        assert night_world.run_party("pharmacy", night).process.returncode == 0
    refused(night_world, night, "E-DLV-KEYS", served)

    # All mended by delivering again, under numbers of their own; then every kind of alteration.
    assert night_world.run_party("pharmacy", night).process.returncode == 0
    delivery = night_world.deliveries("pharmacy", night)[-1]
    [part] = delivery.glob("*.sealed")
    manifest = delivery / "manifest.json"
    for file, place, code in [
        (manifest, within_row_count, "E-DLV-SIGNATURE"),
        (manifest, lambda data: 0, "E-DLV-MANIFEST"),
        (part, half_way, "E-DLV-DIGEST"),
        (part, last, "E-DLV-DIGEST"),
    ]:
        flip_byte(file, place)
        refused(night_world, night, code, served)
        flip_byte(file, place)

    flip_byte(part, half_way)
    mended = night_world.run_night(night)
    assert mended.process.returncode == 0, mended.text
    assert len(night_world.deliveries("pharmacy", night)) == 5
    assert len(night_world.deliveries("hospital", night)) == 1
    assert night_world.ledger(night) == ("published", None)
    assert_warehouse_whole(night_world)


@pytest.mark.parametrize("party", ["hospital", "linkage_unit"])
def test_a_party_does_not_start_beside_the_settings_of_another(night_world: NightWorld, party: str) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    foreign = "NIGHTLINK_LINKAGE_UNIT_SETTINGS" if party == "hospital" else "NIGHTLINK_CUSTODIAN_SETTINGS"

    started = night_world.run_party(party, night, {foreign: "/nonexistent/settings.toml"})

    assert started.process.returncode == 1
    assert "E-ZONE" in started.text and foreign in started.text
    assert "started" not in started.text
    assert night_world.ledger(night) is None
    assert night_world.served_links() == served


def test_the_linkage_unit_does_not_start_where_it_can_read_a_linkage_key(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    key = night_world.folder("hospital") / "secrets" / "linkage.key"
    settings = night_world.folder("linkage-unit") / "settings.toml"
    with ExitStack() as opened:
        if (
            f'"{key}"' not in settings.read_text()
        ):  # one user for all parties: nothing is listed, all is readable
            opened.enter_context(
                night_world.changed_settings(
                    "linkage-unit", ("must_not_read = [", f'must_not_read = ["{key}", ')
                )
            )
        for path, mode in [(key, 0o644), (key.parent, 0o711), (key.parent.parent, 0o711)]:
            opened.callback(path.chmod, path.stat().st_mode & 0o777)
            path.chmod(mode)
        started = night_world.run_party("linkage_unit", night)

    assert started.process.returncode == 1
    assert "E-ZONE" in started.text and str(key) in started.text
    assert night_world.demo.keys["hospital"].linkage.hex() not in started.text
    assert night_world.ledger(night) is None
    assert night_world.served_links() == served


def test_a_batch_with_too_many_bad_rows_is_refused_as_a_whole(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()

    with night_world.changed_settings("pharmacy", ("max_reject_share = 0.05", "max_reject_share = 0.001")):
        failed = night_world.run_party("pharmacy", night)

    assert failed.process.returncode == 1
    assert failed.text.splitlines()[-1].startswith("E-DQ-REJECTS: ")
    assert "R-TOO-LONG 2" in failed.text
    assert night_world.deliveries("pharmacy", night) == []
    assert night_world.served_links() == served


def test_a_source_that_stands_still_is_refused_until_it_changes(night_world: NightWorld) -> None:
    """It answers, and brings the same rows: a warning from the third night on, here a refusal, until a row changes."""
    served = night_world.served_links()
    nights = [night_world.next_night() for _ in range(5)]
    assert night_world.run_party("hospital", nights[0]).process.returncode == 0
    warned = night_world.run_party("hospital", nights[2])
    assert warned.process.returncode == 0, warned.text
    assert "WARNING: the source has not changed since" in warned.text
    report = night_world.folder("hospital") / "state" / "reports" / f"{nights[2]}.txt"
    assert "WARNING: the source has not changed since" in report.read_text()
    with night_world.changed_settings("hospital", ("min_rows = 1", "min_rows = 1\nmost_still_nights = 1")):
        still = night_world.run_night(nights[3])
        assert still.process.returncode == 1, still.text
        assert "hospital: E-DQ-STALE: " in still.text, still.text
        assert night_world.served_links() == served
        change_source(night_world, "UPDATE admission SET diagnosis_code = 'Z00' WHERE admission_id ="
                      " (SELECT min(admission_id) FROM admission)")  # fmt: skip
        again = night_world.run_night(nights[4])
        assert again.process.returncode == 0, again.text
        assert "hospital: WARNING: the source" not in again.text
    assert night_world.served_links() == served
    assert_warehouse_whole(night_world)


def change_source(world: NightWorld, statement: str) -> None:
    connection = psycopg2.connect(source_superuser_url(world.demo, "hospital"))
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
