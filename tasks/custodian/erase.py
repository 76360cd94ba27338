"""Erase: what a custodian deletes of its own, and the pseudonyms by which the others erase. Zone: custodian.

A sealed part cannot be opened for one record, so every delivery that was kept goes, with a signed record. The next
night delivers anew. The custodian's own source is its own affair: who is deleted there is not delivered again; who
must stay there is kept out by the warehouse's suppression entry, in this key epoch.
"""

from __future__ import annotations

import os
import uuid
from datetime import date, datetime, timedelta
from pathlib import Path

from linkage_core.audit.deletion_records import DeletionReason, DeletionRecord
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from tasks.custodian.retire import OwnDelivery, delete_parts, own_deliveries
from tasks.custodian.settings import CustodianSite
from tasks.protocol.bounded_files import read_bounded

MOST_IDS_BYTES = 1 << 24


def write_record_file(site: CustodianSite, ids_file: Path, out: Path) -> int:
    """Record pseudonyms of the people whose source ids a file lists, one a line; returns how many.

    Raises
    ------
    NightlinkError
        E-INPUT for a file that cannot be read, is not UTF-8 (a byte order mark is passed over) or holds no id;
        E-OUTPUT.
    """
    try:
        text = read_bounded(ids_file, MOST_IDS_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NightlinkError(
            "E-INPUT",
            found=f"a byte that is no UTF-8, {error.start} bytes into the file",
            expected="source ids in UTF-8, one in every line",
            remedy="Save the file of ids as UTF-8.",
        ) from None
    ids = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not ids:
        raise NightlinkError(
            "E-INPUT",
            found="no source id",
            expected="one in every line, as the source spells it",
            remedy="Write the ids of the people to be erased into the file.",
        )
    protocol = site.protocol
    names = record_pseudonyms(site.site_key, ids, project=protocol.project, epoch=protocol.key_epoch)
    _write_private(out, "".join(f"{uuid.UUID(bytes=name.tobytes())}\n" for name in names))
    return len(ids)


def purge_deliveries(site: CustodianSite, now: datetime) -> list[DeletionRecord]:
    """Delete the parts of every delivery that is kept: any may hold the record that must be erased."""
    return _delete(own_deliveries(site), site, now, "erasure")


def expire_deliveries(site: CustodianSite, now: datetime, days: int) -> list[DeletionRecord]:
    """Delete the parts of deliveries of nights more than so many days ago; the newest delivery stays."""
    own = own_deliveries(site)
    newest = max((d.folder.sequence for d in own), default=0)
    before: date = now.date() - timedelta(days=days)
    old = [d for d in own if d.manifest.as_of < before and d.folder.sequence < newest]
    return _delete(old, site, now, "retention")


def _delete(
    deliveries: list[OwnDelivery], site: CustodianSite, now: datetime, reason: DeletionReason
) -> list[DeletionRecord]:
    in_order = sorted(deliveries, key=lambda delivery: delivery.folder.sequence)
    return [delete_parts(d, site, now, reason) for d in in_order if not d.deleted]


def _write_private(path: Path, text: str) -> None:
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise NightlinkError(
            "E-OUTPUT",
            found=f"{path.name} cannot be written ({error.strerror})",
            expected="a new file",
            remedy="Choose another --records.",
        ) from None
