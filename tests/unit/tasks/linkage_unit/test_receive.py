"""A delivery is verified whole before a byte of it is used: every way in which it may be wrong is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linkage_core.custodian.encode_records import EncodedPart
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import open_manifest, seal_manifest
from tasks.custodian.deliver import already_delivered, deliver_encodings
from tasks.custodian.encode import aggregates_of
from tasks.custodian.night_folder import night_folder
from tasks.linkage_unit import receive
from tasks.linkage_unit.receive import receive_deliveries
from tests.reference.small_world import (
    NIGHT,
    SmallWorld,
    encode_people,
    encoded_records,
    few_people,
    make_site,
    make_unit,
    public_key,
    raw_table,
    shipped_protocol,
)
from tests.reference.tiny_delivery import same_records


def _code(world: SmallWorld, **unit: object) -> str:
    with pytest.raises(NightlinkError) as caught:
        receive_deliveries(NIGHT, make_unit(world.folder, **unit))
    return caught.value.code


def test_what_was_delivered_is_received(delivered_world: SmallWorld) -> None:
    received = receive_deliveries(NIGHT, delivered_world.unit)
    for delivery, custodian in zip(received, ("hospital", "pharmacy"), strict=True):
        encoded = delivered_world.encoded[custodian]
        sent, site = encoded_records(encoded), delivered_world.sites[custodian]
        assert delivery.manifest.custodian == custodian
        assert same_records(delivery.records, sent)
        fills = [part().fills for part in encoded.parts]
        assert delivery.manifest.aggregates == aggregates_of(encoded, fills, site)
        assert all(count.success and count.point == "delivery" for count in delivery.expectations)
        order = [bytes(p) for p in delivery.records.record_pseudonyms]
        assert order == sorted(order), "nothing tells the order in the source"


@pytest.mark.parametrize("custodian", ["hospital", "pharmacy"])
def test_every_altered_byte_of_a_part_is_refused(world: SmallWorld, custodian: str) -> None:
    part = world.delivery(custodian) / "part-0000.parquet"
    data = part.read_bytes()
    for position in (0, 4, len(data) // 2, len(data) - 5, len(data) - 1):
        part.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert _code(world) == "E-DLV-DIGEST"


def test_every_altered_byte_of_a_manifest_is_refused(world: SmallWorld) -> None:
    path = world.delivery("hospital") / "manifest.json"
    data = path.read_bytes()
    for position in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert _code(world) in ("E-DLV-SIGNATURE", "E-DLV-MANIFEST")


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _swap_deliveries(world: SmallWorld) -> None:
    first, second = world.delivery("hospital"), world.delivery("pharmacy")
    first.rename(world.folder / "x")
    second.rename(first)
    (world.folder / "x").rename(second)


def _resign(world: SmallWorld, **changes: object) -> None:
    """A manifest changed by its own custodian, properly signed: only its content is wrong."""
    path, key = world.delivery("hospital") / "manifest.json", world.sites["hospital"].signing_key
    manifest = open_manifest(path.read_bytes(), key.public_key())
    path.write_bytes(seal_manifest(manifest.model_copy(update=changes), key))


def _replay_as_next(world: SmallWorld) -> None:
    shutil.copytree(world.delivery("hospital"), world.delivery("hospital", 2))


def _move_to_night(world: SmallWorld) -> None:
    tomorrow = world.delivery("hospital").parent
    tomorrow.rename(tomorrow.parent / "2026-11-23")
    (tomorrow.parent / "2026-11-23").rename(tomorrow)


SPOILED: dict[str, tuple[Callable[[SmallWorld], object], str]] = {
    "part missing": (lambda w: (w.delivery("hospital") / "part-0000.parquet").unlink(), "E-DLV-DIGEST"),
    "part cut": (lambda w: _append(w.delivery("hospital") / "part-0000.parquet"), "E-DLV-DIGEST"),
    "manifest with a line feed": (
        lambda w: _append(w.delivery("hospital") / "manifest.json"),
        "E-DLV-MANIFEST",
    ),
    "manifest empty": (
        lambda w: (w.delivery("hospital") / "manifest.json").write_bytes(b""),
        "E-DLV-MANIFEST",
    ),
    "manifest missing": (lambda w: (w.delivery("pharmacy") / "manifest.json").unlink(), "E-DLV-MISSING"),
    "delivery missing": (lambda w: shutil.rmtree(w.delivery("pharmacy")), "E-DLV-MISSING"),
    "deliveries swapped": (_swap_deliveries, "E-DLV-SIGNATURE"),
    "replayed under a newer number": (_replay_as_next, "E-DLV-FOREIGN"),
    "another project": (lambda w: _resign(w, project="other"), "E-DLV-FOREIGN"),
    "another custodian": (lambda w: _resign(w, custodian="pharmacy"), "E-DLV-FOREIGN"),
    "another run": (lambda w: _resign(w, run_id="2026-11-21"), "E-DLV-FOREIGN"),
    "another number": (lambda w: _resign(w, sequence=2), "E-DLV-FOREIGN"),
    "another protocol": (lambda w: _resign(w, protocol_fingerprint="0" * 64), "E-PROTOCOL-MISMATCH"),
    "another protocol version": (lambda w: _resign(w, protocol_version=2), "E-PROTOCOL-MISMATCH"),
    "another key epoch": (lambda w: _resign(w, key_epoch="2027"), "E-PROTOCOL-MISMATCH"),
    "another key": (lambda w: _resign(w, key_check_value="0" * 16), "E-KEY-MISMATCH"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_delivery_is_refused(world: SmallWorld, kind: str) -> None:
    spoil, code = SPOILED[kind]
    spoil(world)
    assert _code(world) == code


def test_another_nights_delivery_is_missing_not_borrowed(world: SmallWorld) -> None:
    home = world.delivery("hospital").parent
    home.rename(home.with_name("2026-11-21"))
    assert _code(world) == "E-DLV-MISSING"


def test_an_unknown_signer_is_refused(world: SmallWorld) -> None:
    keys = {"hospital": public_key("stranger"), "pharmacy": public_key("pharmacy")}
    assert _code(world, custodian_public_keys=keys) == "E-DLV-SIGNATURE"


def test_more_rows_than_the_settings_allow_are_refused_before_a_part_is_read(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "_read_parts", lambda *_: pytest.fail("a part was read"))
    assert _code(world, max_delivery_rows=10) == "E-DLV-FOREIGN"


def test_keys_are_compared_before_a_part_is_read(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(world.folder, "pharmacy", linkage="another linkage key")
    shutil.rmtree(world.delivery("pharmacy"))
    with night_folder(site.settings.state_folder) as work:
        deliver_encodings(encode_people(site, raw_table(few_people().side_b), work), NIGHT, site)
    monkeypatch.setattr(receive, "_read_parts", lambda *_: pytest.fail("a part was read"))
    assert _code(world) == "E-KEY-MISMATCH"


def test_filters_that_are_nearly_full_break_an_expectation(world: SmallWorld) -> None:
    """All-ones filters are near each other: they would make strangers alike."""
    site, encoded = world.sites["hospital"], world.encoded["hospital"]
    records, fills = encoded_records(encoded), encoded.parts[0]().fills
    full = tuple(np.full_like(filters, 2**64 - 1) for filters in records.evidence.group_filters)
    forged = EncodedPart(replace(records, evidence=replace(records.evidence, group_filters=full)), fills)
    shutil.rmtree(world.delivery("hospital"))
    site = replace(site, settings=site.settings.model_copy(update={"exchange": world.folder / "exchange"}))
    deliver_encodings(replace(encoded, parts=[lambda: forged]), NIGHT, site)
    with pytest.raises(NightlinkError, match="E-DQ-EXPECTATION.*at the point delivery.*of fill"):
        receive_deliveries(NIGHT, world.unit)


def test_the_newest_complete_delivery_counts(world: SmallWorld) -> None:
    site = world.sites["hospital"]
    places = {"exchange": world.folder / "exchange", "state_folder": world.folder}
    site = replace(site, settings=site.settings.model_copy(update=places))
    assert already_delivered(NIGHT, site)
    deliver_encodings(world.encoded["hospital"], NIGHT, site)
    (world.delivery("hospital", 3)).mkdir()  # begun, never finished
    first, _ = receive_deliveries(NIGHT, world.unit)
    assert first.manifest.sequence == 2


def test_a_sequence_number_outlives_an_emptied_exchange(world: SmallWorld) -> None:
    site = world.sites["hospital"]
    places = {"exchange": world.folder / "exchange", "state_folder": world.folder}
    site = replace(site, settings=site.settings.model_copy(update=places))
    deliver_encodings(world.encoded["hospital"], NIGHT, site)
    shutil.rmtree(world.folder / "exchange" / "hospital")
    deliver_encodings(world.encoded["hospital"], NIGHT, site)
    first, _ = receive_deliveries(NIGHT, world.unit)
    assert first.manifest.sequence == 3


def test_a_custodian_delivers_again_only_what_is_not_usable(world: SmallWorld) -> None:
    site = world.sites["hospital"]
    site = replace(site, settings=site.settings.model_copy(update={"exchange": world.folder / "exchange"}))
    assert not already_delivered(NIGHT.replace(day=23), site)
    assert not already_delivered(NIGHT, replace(site, linkage_key=bytes(range(32))))
    changed = shipped_protocol().model_copy(update={"version": 2})
    assert not already_delivered(NIGHT, replace(site, protocol=changed))
    part = world.delivery("hospital") / "part-0000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert not already_delivered(NIGHT, site)


def test_a_unit_that_may_wait_sees_a_late_delivery(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "_POLL_S", 0.05)
    late = world.delivery("pharmacy") / "manifest.json"
    hidden = late.rename(late.with_suffix(".hidden"))
    arrival = threading.Timer(0.3, lambda: hidden.rename(late))
    arrival.start()
    received = receive_deliveries(NIGHT, make_unit(world.folder, wait_for_deliveries_s=30))
    arrival.join()
    assert [delivery.manifest.custodian for delivery in received] == ["hospital", "pharmacy"]


def test_a_unit_that_may_wait_gives_up_at_its_deadline(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "_POLL_S", 0.05)
    shutil.rmtree(world.delivery("pharmacy"))
    with pytest.raises(NightlinkError, match="E-DLV-MISSING.*no complete delivery of pharmacy") as caught:
        receive_deliveries(NIGHT, make_unit(world.folder, wait_for_deliveries_s=0.2))
    assert caught.value.transient
