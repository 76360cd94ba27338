"""Log: encodings that were deleted, by the linkage unit or a custodian, become audit events. Zone: linkage_unit.

A custodian's deletion is its signed ``deletion.json`` beside the manifest: the event holds that record's digest. What
the linkage unit itself deleted is noted (:mod:`tasks.linkage_unit.deletion_notes`) until it is logged.
"""

from __future__ import annotations

import hashlib

from linkage_core.audit.audit_events import EncodingsDeleted, canonical_event
from linkage_core.audit.deletion_records import MAX_RECORD_BYTES, open_deletion
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from sql.warehouse.deletions import DeletedEncodings, known_deletions, record_deletion
from tasks.linkage_unit.deletion_notes import forget_notes, noted_deletions
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import DELETION_NAME, DeliveryFolder, all_deliveries, read_file
from tasks.protocol.stages import announce, stage


@stage("log deleted encodings")
def log_deletions(run: NightRun, unit: LinkageUnit) -> None:
    """One event for each delivery whose encodings are gone and that the log does not know of yet."""
    project, state_folder = unit.protocol.project, unit.settings.state_folder
    known, logged = known_deletions(run.engine, project), 0
    own = [
        (DeletedEncodings(name, sha256, "linkage_unit", epoch), None)
        for name, sha256, epoch in noted_deletions(state_folder)
    ]
    for deleted, record_sha256 in [*own, *_of_custodians(unit)]:
        if (deleted.custodian, deleted.manifest_sha256, deleted.deleted_at) in known:
            continue
        event = canonical_event(
            EncodingsDeleted(
                project=project,
                custodian=deleted.custodian,
                manifest_sha256=deleted.manifest_sha256,
                deleted_at=deleted.deleted_at,
                key_epoch=deleted.key_epoch,
                record_sha256=record_sha256,
                code_version=code_version(),
            )
        )
        logged += record_deletion(run.engine, project, deleted, event)
    forget_notes(state_folder)
    if logged:
        announce(f"deletions of encodings logged: {logged}")


def _of_custodians(unit: LinkageUnit) -> list[tuple[DeletedEncodings, str]]:
    """Of each custodian the deliveries with a record of deletion that is its own; another is told and passed over."""
    found = []
    for custodian in unit.protocol.custodians:
        for folder in all_deliveries(unit.settings.exchange, custodian):
            if (folder.path / DELETION_NAME).exists():
                found += _record_of(folder, unit)
    return found


def _record_of(folder: DeliveryFolder, unit: LinkageUnit) -> list[tuple[DeletedEncodings, str]]:
    signer = public_key_from_hex(unit.settings.custodian_public_keys[folder.custodian])
    try:
        data = read_file(folder, DELETION_NAME, MAX_RECORD_BYTES)
        record = open_deletion(data, signer)
    except NightlinkError as error:  # the night is published: a custodian's broken word must not fail it
        announce(f"{folder.custodian}'s record of a deletion is not its own or cannot be read: {error.code}")
        return []
    named = (record.project, record.custodian, record.run_id, record.sequence)
    if named != (unit.protocol.project, folder.custodian, folder.run_id, folder.sequence):
        announce(f"{folder.custodian}'s record of a deletion lies beside another delivery")
        return []
    deleted = DeletedEncodings(folder.custodian, record.manifest_sha256, "custodian", record.key_epoch)
    return [(deleted, hashlib.sha256(data).hexdigest())]
