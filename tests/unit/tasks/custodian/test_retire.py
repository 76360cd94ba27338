"""Deliveries of former epochs are deleted with signed word of it; those of this epoch never, whatever is mixed up."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from linkage_core.audit.deletion_records import open_deletion
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from tasks.custodian import retire
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.erase import expire_deliveries, purge_deliveries, write_record_file
from tasks.custodian.retire import DELETIONS_FILE, delete_retired, retired_deliveries
from tasks.custodian.settings import CustodianSite
from tests.reference.small_world import NIGHT, SmallWorld

NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def hospital(delivered_world: SmallWorld, tmp_path: Path) -> CustodianSite:
    """The hospital in a new epoch, with one delivery of the former one in an exchange of its own."""
    shutil.copytree(delivered_world.folder / "exchange", tmp_path / "exchange")
    site, state = delivered_world.sites["hospital"], tmp_path / "state"
    state.mkdir()
    places = {"exchange": tmp_path / "exchange", "state_folder": state}
    protocol = site.protocol.model_copy(update={"key_epoch": "2027"})
    return replace(site, settings=site.settings.model_copy(update=places), protocol=protocol)


def deliver(world: SmallWorld, site: CustodianSite, night: date) -> Path:
    deliver_encodings(world.encoded["hospital"], night, site)
    [folder] = (site.settings.exchange / "hospital" / night.isoformat()).iterdir()
    return folder


def old_folder(site: CustodianSite) -> Path:
    return site.settings.exchange / "hospital" / NIGHT.isoformat() / "000001"


def test_parts_of_a_former_epoch_go_and_a_signed_record_stays(
    delivered_world: SmallWorld, hospital: CustodianSite
) -> None:
    new = deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    kept = {path.name: path.read_bytes() for path in new.iterdir()}
    manifest = (old_folder(hospital) / "manifest.json").read_bytes()

    [record] = delete_retired(hospital, NOW)

    assert sorted(path.name for path in old_folder(hospital).iterdir()) == ["deletion.json", "manifest.json"]
    assert (old_folder(hospital) / "manifest.json").read_bytes() == manifest
    assert {path.name: path.read_bytes() for path in new.iterdir()} == kept
    data = (old_folder(hospital) / "deletion.json").read_bytes()
    assert open_deletion(data, hospital.signing_key.public_key()) == record
    assert (hospital.settings.state_folder / DELETIONS_FILE).read_bytes() == data + b"\n"
    assert (record.run_id, record.sequence, record.key_epoch, record.epoch_in_use) == (
        NIGHT.isoformat(),
        1,
        "2026",
        "2027",
    )
    assert record.deleted_at == NOW and record.deleted_by
    assert [part.name for part in record.parts] == ["part-0000.sealed"]

    assert delete_retired(hospital, NOW) == []
    assert [delivery.deleted for delivery in retired_deliveries(hospital)] == [True]
    assert (hospital.settings.state_folder / DELETIONS_FILE).read_bytes() == data + b"\n"


def test_an_erasure_deletes_all_that_was_kept_and_says_why(
    delivered_world: SmallWorld, hospital: CustodianSite, tmp_path: Path
) -> None:
    new = deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    ids = tmp_path / "ids"
    ids.write_text("H1\nH2\r\n\n", encoding="utf-8-sig")  # as Excel saves it
    assert write_record_file(hospital, ids, tmp_path / "records") == 2
    names = record_pseudonyms(
        hospital.site_key, ["H1", "H2"], project=hospital.protocol.project, epoch="2027"
    )
    expected = [str(uuid.UUID(bytes=name.tobytes())) for name in names]
    assert (tmp_path / "records").read_text().split() == expected
    assert (tmp_path / "records").stat().st_mode & 0o777 == 0o600
    records = purge_deliveries(hospital, NOW)
    assert [record.reason for record in records] == ["erasure", "erasure"]
    for folder in (old_folder(hospital), new):
        assert sorted(path.name for path in folder.iterdir()) == ["deletion.json", "manifest.json"]
        data = (folder / "deletion.json").read_bytes()
        assert open_deletion(data, hospital.signing_key.public_key()) in records
    assert purge_deliveries(hospital, NOW) == []
    ids.write_text("\n")
    with pytest.raises(NightlinkError, match="E-INPUT: found no source id"):
        write_record_file(hospital, ids, tmp_path / "none")
    ids.write_bytes("H1\nJosé".encode("cp1252"))
    with pytest.raises(NightlinkError, match="E-INPUT: found a byte that is no UTF-8, 6 bytes into") as told:
        write_record_file(hospital, ids, tmp_path / "none")
    assert "Jos" not in str(told.value) and told.value.__suppress_context__


def test_deliveries_expire_but_for_the_newest(delivered_world: SmallWorld, hospital: CustodianSite) -> None:
    new = deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    assert expire_deliveries(hospital, NOW, 10_000) == []
    [record] = expire_deliveries(hospital, NOW, 1)
    assert (record.sequence, record.reason) == (1, "retention")
    assert not (new / "deletion.json").exists()


def test_without_a_delivery_of_this_epoch_nothing_is_deleted(hospital: CustodianSite) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT: found no delivery of hospital in the epoch 2027"):
        delete_retired(hospital, NOW)
    assert (old_folder(hospital) / "part-0000.sealed").exists()


def test_with_the_former_protocol_in_place_this_epochs_deliveries_are_no_retired_ones(
    delivered_world: SmallWorld, hospital: CustodianSite
) -> None:
    new = deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    mistaken = replace(hospital, protocol=delivered_world.sites["hospital"].protocol)
    assert retired_deliveries(mistaken) == []
    assert delete_retired(mistaken, NOW) == []
    assert (new / "part-0000.sealed").exists()


def test_a_killed_deletion_is_finished_by_the_next(
    delivered_world: SmallWorld, hospital: CustodianSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    with monkeypatch.context() as killed:
        killed.setattr(retire, "record_deletion", lambda *_, **__: pytest.fail("killed here"))
        with pytest.raises(pytest.fail.Exception):
            delete_retired(hospital, NOW)
    assert [path.name for path in old_folder(hospital).iterdir()] == ["manifest.json"]
    assert len(delete_retired(hospital, NOW)) == 1
    assert (old_folder(hospital) / "deletion.json").exists()


def test_an_unfinished_delivery_is_left_to_the_night(
    delivered_world: SmallWorld, hospital: CustodianSite
) -> None:
    deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    (old_folder(hospital) / "manifest.json").unlink()
    assert delete_retired(hospital, NOW) == []
    assert (old_folder(hospital) / "part-0000.sealed").exists()


def test_nothing_is_deleted_on_the_word_of_an_altered_or_moved_manifest(
    delivered_world: SmallWorld, hospital: CustodianSite
) -> None:
    deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    path = old_folder(hospital) / "manifest.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"key_epoch":"2026"', b'"key_epoch":"2025"'))
    with pytest.raises(NightlinkError, match="E-DLV-SIGNATURE"):
        delete_retired(hospital, NOW)
    path.write_bytes(data)
    old_folder(hospital).rename(old_folder(hospital).with_name("000007"))
    with pytest.raises(NightlinkError, match="E-DLV-FOREIGN"):
        delete_retired(hospital, NOW)
    assert (old_folder(hospital).with_name("000007") / "part-0000.sealed").exists()


def test_an_altered_record_is_refused(delivered_world: SmallWorld, hospital: CustodianSite) -> None:
    deliver(delivered_world, hospital, NIGHT + timedelta(days=1))
    delete_retired(hospital, NOW)
    path = old_folder(hospital) / "deletion.json"
    data = path.read_bytes()
    signer = hospital.signing_key.public_key()
    for altered, code in [
        (data.replace(b"2027-01-02", b"2027-01-03"), "E-DLV-SIGNATURE"),
        (data + b"\n", "E-DLV-MANIFEST"),
        (data[:-1], "E-DLV-MANIFEST"),
        (b"{}", "E-DLV-MANIFEST"),
        (b" " * (1 << 20) + data, "E-DLV-MANIFEST"),
        (json.dumps(json.loads(data)).encode(), "E-DLV-MANIFEST"),
        (data.replace(b'"epoch_in_use":"2027"', b'"epoch_in_use":"2026"'), "E-DLV-MANIFEST"),
        (data.replace(b"03:04:05Z", b"03:04:05"), "E-DLV-MANIFEST"),
    ]:
        assert altered != data
        with pytest.raises(NightlinkError) as caught:
            open_deletion(altered, signer)
        assert caught.value.code == code
    path.write_bytes(data.replace(b"2027-01-02", b"2027-01-03"))
    with pytest.raises(NightlinkError, match="E-DLV-SIGNATURE"):
        retired_deliveries(hospital)
