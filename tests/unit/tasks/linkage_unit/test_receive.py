"""A delivery is verified whole before a byte of it is used: every way in which it may be wrong is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.forgotten_records import pseudonym_texts
from linkage_core.protocol.delivery_manifest import (
    PartEntry,
    describe_part,
    seal_header,
    seal_manifest,
)
from linkage_core.protocol.encoded_records import concat_records, take_records
from linkage_core.protocol.sealed_parts import seal_part
from linkage_core.protocol.transfer_keys import agreement_public_hex, secret_at_custodian
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.deliver import already_delivered, deliver_encodings
from tasks.custodian.encode import aggregates_of
from tasks.custodian.night_folder import night_folder
from tasks.linkage_unit import receive
from tasks.linkage_unit.block import night_job
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.work_folder import begin_job, remove_work
from tests.reference.small_world import (
    NIGHT,
    SmallWorld,
    encode_people,
    encoded_records,
    few_people,
    key,
    make_site,
    make_unit,
    public_key,
    raw_table,
    shipped_protocol,
    transfer_public_key,
)
from tests.reference.tiny_delivery import same_records


def _code(world: SmallWorld, **unit: object) -> str:
    with pytest.raises(NightlinkError) as caught:
        receive_deliveries(NIGHT, make_unit(world.folder, **unit))
    return caught.value.code


def test_of_erased_records_nothing_is_left_to_compare_and_the_others_are_as_they_were(
    delivered_world: SmallWorld,
) -> None:
    whole, _ = receive_deliveries(NIGHT, delivered_world.unit)
    texts = pseudonym_texts(whole.records.record_pseudonyms)
    erased = {"hospital": {texts[3], texts[5]}, "pharmacy": set()}
    before = concat_records([whole.records])  # mapped files go with the next receive

    received, _ = receive_deliveries(
        NIGHT, delivered_world.unit, lambda custodian, asked: erased[custodian] & set(asked)
    )

    left = received.records
    assert len(left) == len(before)
    assert same_records(take_records(left, slice(0, 3)), take_records(before, slice(0, 3)))
    assert same_records(take_records(left, slice(6, None)), take_records(before, slice(6, None)))
    for row in (3, 5):
        evidence = left.evidence
        columns = (evidence.tokens, *evidence.group_filters, evidence.rarity, evidence.sex)
        assert not any(np.any(column[row]) for column in columns)
    names = pseudonym_texts(left.record_pseudonyms)
    assert not erased["hospital"] & set(names)
    assert len(set(names)) == len(before)


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
    part = world.delivery(custodian) / "part-0000.sealed"
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


def _resign(world: SmallWorld, custodian: str = "hospital", /, **changes: object) -> None:
    """A manifest changed by its own custodian, properly signed: only its content is wrong."""
    path, key = world.delivery(custodian) / "manifest.json", world.sites[custodian].signing_key
    path.write_bytes(seal_manifest(world.manifest(custodian).model_copy(update=changes), key))


def _replay_as_next(world: SmallWorld) -> None:
    shutil.copytree(world.delivery("hospital"), world.delivery("hospital", 2))


def _swap_parts(world: SmallWorld) -> None:
    """Each custodian's manifest over the other's part, properly signed: digests agree, seals do not."""
    parts = {name: world.delivery(name) / "part-0000.sealed" for name in ("hospital", "pharmacy")}
    data = {name: path.read_bytes() for name, path in parts.items()}
    for name, other in (("hospital", "pharmacy"), ("pharmacy", "hospital")):
        parts[name].write_bytes(data[other])
        _resign(world, name, parts=(_described(world, name, data[other]),))


def _described(world: SmallWorld, custodian: str, data: bytes) -> PartEntry:
    return describe_part("part-0000.sealed", world.encoded[custodian].rows, data)


def _seal_anew(
    world: SmallWorld, *, header: dict[str, object] | None = None, cut: int = 0, plain: bool = False
) -> None:
    """The hospital's part sealed in another place, cut, or not sealed at all; properly signed."""
    path, site = world.delivery("hospital") / "part-0000.sealed", world.sites["hospital"]
    manifest = world.manifest("hospital")
    data = write_part(encoded_records(world.encoded["hospital"]), site.protocol)
    if not plain:
        place = replace(seal_header(manifest), **(header or {}))
        data = seal_part(data, path.name, place, site.transfer_secret)
    data = data[: len(data) - cut]
    path.write_bytes(data)
    _resign(world, parts=(_described(world, "hospital", data),))


def _rename_part(world: SmallWorld) -> None:
    path = world.delivery("hospital") / "part-0000.sealed"
    path.rename(path.with_name("part-0001.sealed"))
    [entry] = world.manifest("hospital").parts
    _resign(world, parts=(entry.model_copy(update={"name": "part-0001.sealed"}),))


def _move_to_night(world: SmallWorld) -> None:
    tomorrow = world.delivery("hospital").parent
    tomorrow.rename(tomorrow.parent / "2026-11-23")
    (tomorrow.parent / "2026-11-23").rename(tomorrow)


SPOILED: dict[str, tuple[Callable[[SmallWorld], object], str]] = {
    "part missing": (lambda w: (w.delivery("hospital") / "part-0000.sealed").unlink(), "E-DLV-DIGEST"),
    "part cut": (lambda w: _append(w.delivery("hospital") / "part-0000.sealed"), "E-DLV-DIGEST"),
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
    "another key epoch": (lambda w: _resign(w, key_epoch="2027"), "E-KEY-EPOCH"),
    "parts swapped between the custodians": (_swap_parts, "E-DLV-SEAL"),
    "a part under another name": (_rename_part, "E-DLV-SEAL"),
    "a part of another delivery": (lambda w: _seal_anew(w, header={"sequence": 2}), "E-DLV-SEAL"),
    "a part of another night": (lambda w: _seal_anew(w, header={"run_id": "2026-11-21"}), "E-DLV-SEAL"),
    "a part of another epoch": (lambda w: _seal_anew(w, header={"key_epoch": "2027"}), "E-DLV-SEAL"),
    "a part cut before it was signed": (lambda w: _seal_anew(w, cut=1), "E-DLV-SEAL"),
    "a part that is not sealed": (lambda w: _seal_anew(w, plain=True), "E-DLV-SEAL"),
    "a seal with another transfer key": (
        lambda w: _resign(
            w, sealing=w.manifest("hospital").sealing.model_copy(update={"transfer_key": "0" * 16})
        ),
        "E-DLV-KEYS",
    ),
    "a seal to another linkage unit": (
        lambda w: _resign(
            w, sealing=w.manifest("hospital").sealing.model_copy(update={"linkage_unit_key": "0" * 16})
        ),
        "E-DLV-KEYS",
    ),
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


def test_another_linkage_unit_cannot_open_a_delivery(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the signers' and the transfer keys' public halves, and a key of its own."""
    other = make_unit(world.folder, encryption=("another unit's",))
    with pytest.raises(NightlinkError, match="E-DLV-KEYS: found the delivery of hospital sealed between"):
        receive_deliveries(NIGHT, other)
    monkeypatch.setattr(receive, "check_sealing", lambda *_: None)  # one that does not care
    with pytest.raises(
        NightlinkError, match=r"E-DLV-SEAL: found part part-0000\.sealed of hospital's delivery 1"
    ):
        receive_deliveries(NIGHT, other)


def test_a_custodian_with_another_transfer_key_is_refused_before_a_part_is_read(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "current_records", lambda *_: pytest.fail("a part was read"))
    keys = {name: transfer_public_key("stranger") for name in ("hospital", "pharmacy")}
    assert _code(world, custodian_transfer_keys=keys) == "E-DLV-KEYS"


def test_a_delivery_sealed_to_a_retired_key_opens_while_the_unit_keeps_that_key(world: SmallWorld) -> None:
    unit = make_unit(world.folder, encryption=("tomorrow's", "encryption"))
    first, second = receive_deliveries(NIGHT, unit)
    assert len(first.records) and len(second.records)


def test_a_custodian_delivers_again_when_the_linkage_unit_has_a_new_key(world: SmallWorld) -> None:
    site = world.sites["hospital"]
    site = replace(site, settings=site.settings.model_copy(update={"exchange": world.folder / "exchange"}))
    assert already_delivered(NIGHT, site)
    renewed = secret_at_custodian(key("transfer hospital"), agreement_public_hex(key("tomorrow's")))
    assert not already_delivered(NIGHT, replace(site, transfer_secret=renewed))


def _windows(data: bytes) -> list[bytes]:
    return [data[i : i + 8] for i in range(len(data) - 7)]


def test_two_sites_files_share_no_token_without_the_linkage_units_key(world: SmallWorld) -> None:
    """No 8 bytes of one sealed file are in the other or come twice, and no token lies readable in either."""
    sealed = {n: (world.delivery(n) / "part-0000.sealed").read_bytes() for n in ("hospital", "pharmacy")}
    windows = {name: _windows(data) for name, data in sealed.items()}
    for seen in windows.values():
        assert len(set(seen)) == len(seen)
    assert not set(windows["hospital"]) & set(windows["pharmacy"])
    tokens = [encoded_records(world.encoded[name]).evidence.tokens for name in sealed]
    everywhere = set(windows["hospital"]) | set(windows["pharmacy"])
    values = {value.tobytes() for side in tokens for value in side.astype("<u8").ravel() if value}
    assert not values & everywhere
    # The positive control: within the seals both sites have many tokens in common, and tokens that come twice.
    first, second = ({int(value) for value in side.ravel()} - {0} for side in tokens)
    assert len(first & second) > 500
    assert sum(int(np.count_nonzero(side)) for side in tokens) > len(first) + len(second) + 500


def test_more_rows_than_the_settings_allow_are_refused_before_a_part_is_read(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "current_records", lambda *_: pytest.fail("a part was read"))
    assert _code(world, max_delivery_rows=10) == "E-DLV-FOREIGN"


def test_keys_are_compared_before_a_part_is_read(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(world.folder, "pharmacy", linkage="another linkage key")
    shutil.rmtree(world.delivery("pharmacy"))
    with night_folder(site.settings.state_folder) as work:
        deliver_encodings(encode_people(site, raw_table(few_people().side_b), work), NIGHT, site)
    monkeypatch.setattr(receive, "current_records", lambda *_: pytest.fail("a part was read"))
    assert _code(world) == "E-KEY-MISMATCH"


def test_filters_that_are_nearly_full_break_an_expectation(world: SmallWorld) -> None:
    """All-ones filters are near each other: they would make strangers alike."""
    site, encoded = world.sites["hospital"], world.encoded["hospital"]
    records, part = encoded_records(encoded), encoded.parts[0]()
    full = tuple(np.full_like(filters, 2**64 - 1) for filters in records.evidence.group_filters)
    forged = replace(part, records=replace(records, evidence=replace(records.evidence, group_filters=full)))
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
    part = world.delivery("hospital") / "part-0000.sealed"
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


def test_chunks_made_before_somebody_was_erased_are_not_resumed(delivered_world: SmallWorld) -> None:
    unit = delivered_world.unit
    a, b = receive_deliveries(NIGHT, unit)
    job = night_job(a, b, unit)
    begin_job(job)
    again = receive_deliveries(NIGHT, unit)
    assert job.folder.is_dir() and len(again) == 2
    gone = pseudonym_texts(a.records.record_pseudonyms[:1])[0]
    receive_deliveries(NIGHT, unit, lambda custodian, texts: {gone} & set(texts))
    assert not job.folder.exists() and job.columns(0).is_dir()
    begin_job(job)
    receive_deliveries(NIGHT, unit, lambda custodian, texts: {gone} & set(texts))
    assert job.folder.is_dir()
    remove_work(unit.settings.state_folder)
