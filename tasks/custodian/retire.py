"""Retire: delete the parts of deliveries of former epochs, and leave signed word of it. Zone: custodian.

After a rotation the old encodings are of no use to anybody but an attacker who has, or gets, the old key. Each
custodian owns its part of the exchange, so each deletes its own; copies elsewhere (backups) become unreadable when
the linkage unit destroys the encryption key that they were sealed to.
"""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage_core.audit.deletion_records import (
    DeletionReason,
    DeletionRecord,
    open_deletion,
    record_deletion,
    seal_deletion,
)
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import DeliveryManifest, manifest_digest, open_manifest
from tasks.custodian.row_entries import forget_entries
from tasks.custodian.settings import CustodianSite
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import (
    DELETION_NAME,
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    DeliveryFolder,
    all_deliveries,
    read_file,
    remove_file,
    write_file,
)
from tasks.protocol.stages import announce

DELETIONS_FILE = "deletions.jsonl"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class OwnDelivery:
    """A delivery of one's own, and whether its parts are deleted."""

    folder: DeliveryFolder
    manifest: DeliveryManifest
    manifest_sha256: str
    deleted: bool


def retired_deliveries(site: CustodianSite) -> list[OwnDelivery]:
    """This custodian's deliveries of former epochs, in order of their numbers.

    Only what is older than the newest delivery of today's epoch counts: with last epoch's protocol file in place by
    mistake, this epoch's deliveries must not look like retired ones.

    Raises
    ------
    NightlinkError
        E-INPUT when nothing was delivered in today's epoch yet. E-DLV-MANIFEST or E-DLV-SIGNATURE for a manifest
        that this custodian did not write: nothing is deleted on its word.
    """
    known = own_deliveries(site)
    epoch = site.protocol.key_epoch
    newest = max((d.folder.sequence for d in known if d.manifest.key_epoch == epoch), default=0)
    if not newest:
        raise NightlinkError(
            "E-INPUT",
            found=f"no delivery of {site.name} in the epoch {epoch}",
            expected="at least one: else the protocol's key_epoch may be a former one",
            remedy="Deliver a night in the new epoch first, and let the linkage unit publish it.",
        )
    retired = [d for d in known if d.manifest.key_epoch != epoch and d.folder.sequence < newest]
    return sorted(retired, key=lambda delivery: delivery.folder.sequence)


def delete_retired(site: CustodianSite, now: datetime) -> list[DeletionRecord]:
    """Delete the parts of :func:`retired_deliveries`; returns the records of what was deleted.

    The record is written when the parts are gone, so that it never says too much; after a kill in between, the next
    call finishes. A second call changes nothing.
    """
    return [delete_parts(d, site, now) for d in retired_deliveries(site) if not d.deleted]


def own_deliveries(site: CustodianSite) -> list[OwnDelivery]:
    """All of this custodian's deliveries, whatever became of them; E-DLV-... for a manifest that is not its own."""
    return [_describe(folder, site) for folder in all_deliveries(site.settings.exchange, site.name)]


def delete_parts(
    delivery: OwnDelivery, site: CustodianSite, now: datetime, reason: DeletionReason | None = None
) -> DeletionRecord:
    """Delete a delivery's parts, then write the signed record of it."""
    for part in delivery.manifest.files:
        remove_file(delivery.folder, part.name)
    forget_entries(delivery.manifest.sequence, site)
    record = record_deletion(
        delivery.manifest,
        delivery.manifest_sha256,
        epoch_in_use=site.protocol.key_epoch,
        deleted_by=_operator(),
        deleted_at=now,
        code_version=code_version(),
        reason=reason,
    )
    sealed = seal_deletion(record, site.signing_key)
    _append(site.settings.state_folder / DELETIONS_FILE, sealed)
    write_file(delivery.folder, DELETION_NAME, sealed)
    announce(
        f"deleted {len(record.parts)} parts of delivery {record.sequence} ({record.run_id}, epoch {record.key_epoch})"
    )
    return record


def _describe(folder: DeliveryFolder, site: CustodianSite) -> OwnDelivery:
    data = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
    manifest = open_manifest(data, site.signing_key.public_key())
    place = (manifest.custodian, manifest.run_id, manifest.sequence)
    if place != (site.name, folder.run_id, folder.sequence) or manifest.project != site.protocol.project:
        raise NightlinkError(
            "E-DLV-FOREIGN",
            found=f"the manifest of {place[0]}'s delivery {place[2]} ({place[1]}) in the folder of {folder.sequence}",
            expected="each manifest in its own folder",
            remedy="Nothing more was deleted; find out who moved it.",
        )
    return OwnDelivery(folder, manifest, manifest_digest(data), _is_deleted(folder, site))


def _is_deleted(folder: DeliveryFolder, site: CustodianSite) -> bool:
    if not (folder.path / DELETION_NAME).exists():
        return False
    open_deletion(read_file(folder, DELETION_NAME, MANIFEST_MAX_BYTES), site.signing_key.public_key())
    return True


def _append(path: Path, line: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _operator() -> str:
    """The operating-system user, as a name that a record may carry; its number where it has no name."""
    try:
        import pwd

        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = f"user-{os.geteuid()}"
    except ImportError:  # Windows
        name = getpass.getuser()
    return _NOT_IN_NAMES.sub("_", name)[:100] or "unknown"
