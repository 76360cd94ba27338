"""Deliver: encodings to the exchange, all of them or what changed since the last delivery. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from linkage_core.audit.row_commitments import Entries
from linkage_core.audit.signatures import public_key_hex
from linkage_core.custodian.commit_rows import row_entries
from linkage_core.custodian.field_group_filters import FilterFill
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import (
    Changes,
    DeliveryManifest,
    PartEntry,
    Sealing,
    check_part,
    describe_part,
    manifest_digest,
    open_manifest,
    seal_manifest,
)
from linkage_core.protocol.encoded_records import EncodedRecords, concat_records, take_records
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from linkage_core.protocol.record_state import (
    StateRows,
    changed_rows,
    concat_state_rows,
    gone_pseudonyms,
    state_digest,
    state_rows,
    take_state_rows,
)
from linkage_core.protocol.sealed_parts import SealHeader, seal_part
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.delivered_state import DeliveredState, remember_state, remembered_state
from tasks.custodian.encode import PART_ROWS, EncodedDelivery, aggregates_of
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.row_entries import KeptEntries, kept_entries
from tasks.custodian.settings import CustodianSite
from tasks.custodian.witness import has_receipt, witnessed_log
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import (
    DELETION_NAME,
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    DeliveryFolder,
    complete_deliveries,
    next_sequence,
    open_delivery,
    read_file,
    remove_unfinished,
    write_file,
)
from tasks.protocol.output_files import replace_file
from tasks.protocol.stages import announce, stage
from tasks.protocol.watched import with_progress

GONE_NAME = "gone.sealed"
PROGRESS_KEY = "delivery-progress"
R = TypeVar("R")


@stage("look for an earlier delivery")
def already_delivered(night: date, site: CustodianSite) -> bool:
    """Whether the night's newest delivery is complete and was made under today's protocol and keys.

    A delivery is what the night saw; it is never replaced while it is usable. One made under another protocol or
    key, or sealed with another, is useless to the linkage unit, and a new one gets the next sequence number. So
    does one of changes whose state is no longer remembered: who removed that asks for all records.
    """
    deliveries = complete_deliveries(site.settings.exchange, site.name, night.isoformat())
    if not deliveries:
        return False
    try:
        manifest = _usable_manifest(deliveries[-1], site)
    except NightlinkError:
        return False
    known = manifest.changes is None or remembered_state(site) is not None
    if known:
        announce(f"already delivered as sequence {deliveries[-1].sequence}: nothing to do")
    return known


def _usable_manifest(folder: DeliveryFolder, site: CustodianSite) -> DeliveryManifest:
    """The manifest of a delivery of one's own that is whole and of today's protocol and keys; else E-DLV-..."""
    manifest = open_manifest(
        read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES), site.signing_key.public_key()
    )
    for file in manifest.files:
        check_part(file, read_file(folder, file.name, file.bytes))
    if not _made_under_todays_rules(manifest, site):
        raise NightlinkError(
            "E-DLV-FOREIGN",
            found=f"delivery {folder.sequence} of another protocol or key",
            expected="today's",
            remedy="Deliver again.",
        )
    return manifest


def _made_under_todays_rules(manifest: DeliveryManifest, site: CustodianSite) -> bool:
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    return (
        manifest.protocol_fingerprint == protocol_fingerprint(site.protocol)
        and manifest.key_check_value == keys.key_check_value.hex()
        and manifest.sealing == _sealing(site)
    )


@stage("deliver encodings")
def deliver_encodings(encoded: EncodedDelivery, night: date, site: CustodianSite) -> None:
    """Sealed parts first, the signed manifest last: until then the delivery does not exist.

    What was delivered last is remembered row by row, so that a later night delivers only what changed. Where it cannot
    be known that the linkage unit can build on it, all records go, and the reason is said.
    """
    remove_unfinished(site.settings.exchange, site.name, night.isoformat())
    base, why_all = _base_of_changes(night, site)
    sequence = _take_sequence(site)
    folder = open_delivery(site.settings.exchange, site.name, night.isoformat(), sequence)
    with kept_entries(sequence, site) as kept:
        written = (
            _write_all(encoded, folder, site, kept)
            if base is None
            else _write_changes(encoded, base, folder, site, kept)
        )
    sealed = seal_manifest(_describe(encoded, written, night, sequence, site), site.signing_key)
    write_file(folder, MANIFEST_NAME, sealed)
    # Killed before this, the next delivery builds on the one before: that is in the exchange as well.
    remember_state(DeliveredState(folder.run_id, sequence, manifest_digest(sealed), written.rows), site)
    _announce(written, sequence, why_all, site)


def _announce(written: _Written, sequence: int, why_all: str, site: CustodianSite) -> None:
    if written.changes is None:
        what = f"records delivered: {len(written.rows)} ({why_all})"
    else:
        gone = 0 if written.changes.gone is None else written.changes.gone.rows
        brought = sum(part.rows for part in written.parts)
        what = (
            f"records delivered: {brought} new or changed, {gone} gone, of {len(written.rows)}, "
            f"since sequence {written.changes.base_sequence}"
        )
    announce(f"{what}, sequence {sequence}, signer {public_key_hex(site.signing_key)[:16]}")


def _base_of_changes(night: date, site: CustodianSite) -> tuple[DeliveredState | None, str]:
    """The delivery that changes may build on; or None, and why all records go."""
    base = remembered_state(site)
    if base is None:
        return None, "no earlier delivery is remembered"
    if complete_deliveries(site.settings.exchange, site.name, night.isoformat()):
        return None, "this night's earlier delivery is not usable"
    # Refused or never read, the linkage unit may be unable to build on it; nobody tells a custodian which.
    if not has_receipt(base.run_id, base.manifest_sha256, site):
        return None, "of the last delivery no receipt has come"
    earlier = complete_deliveries(site.settings.exchange, site.name, base.run_id)
    folders = [folder for folder in earlier if folder.sequence == base.sequence]
    if not folders or (folders[0].path / DELETION_NAME).exists():
        return None, "the last delivery is no longer in the exchange"
    try:
        _usable_manifest(folders[0], site)
        data = read_file(folders[0], MANIFEST_NAME, MANIFEST_MAX_BYTES)
    except NightlinkError as error:
        return None, f"the last delivery cannot be built on: {error.code}"
    if manifest_digest(data) != base.manifest_sha256:
        return None, "the last delivery is not the one that is remembered"
    return base, ""


def _take_sequence(site: CustodianSite) -> int:
    """The next sequence number, remembered here too: an exchange that was emptied must not make one come twice."""
    memory = site.settings.state_folder / "last_sequence"
    remembered = _remembered_sequence(memory)
    sequence = max(next_sequence(site.settings.exchange, site.name), remembered + 1)
    replace_file(memory, f"{sequence}\n".encode("ascii"))
    return sequence


def _remembered_sequence(memory: Path) -> int:
    text = memory.read_bytes().strip() if memory.exists() else b"0"
    if text.isdigit():
        return int(text)
    raise NightlinkError(
        "E-FILE",
        found=f"{memory}: {len(text)} bytes that are no number",
        expected="the number of the last delivery, which none after it may have again",
        remedy="Write the number of this custodian's newest delivery into it, as its folder in the exchange is named.",
    )


@dataclass(frozen=True)
class _Written:
    """What lies in the exchange by now, what the manifest says of all records, and their state."""

    parts: tuple[PartEntry, ...]
    changes: Changes | None
    rows: StateRows
    fills: tuple[tuple[FilterFill, ...], ...]
    row_commitments: bytes


def _write_all(
    encoded: EncodedDelivery, folder: DeliveryFolder, site: CustodianSite, kept: KeptEntries
) -> _Written:
    """Every part as it is encoded, several at the same time."""
    rows, fills, entries = [], [], []

    def write(number: int) -> tuple[PartEntry, StateRows, tuple[FilterFill, ...], Entries]:
        part = encoded.parts[number]()
        now = state_rows(part.records)
        committed = row_entries(part.rows, now, site.site_key, site.protocol)
        return _write_part(number, part.records, folder, site), now, part.fills, committed

    for entry, now, filled, committed in _each_part(encoded, write):
        entries.append(entry)
        rows.append(now)
        fills.append(filled)
        kept.add(committed)
    return _Written(tuple(entries), None, concat_state_rows(rows), tuple(fills), kept.root)


def _each_part(encoded: EncodedDelivery, work: Callable[[int], R]) -> Iterator[R]:
    """``work`` of the number of each part, in their order."""
    parts = len(encoded.parts)
    return with_progress(PROGRESS_KEY, parts, in_order(work, range(parts), usable_threads()))


def _write_changes(
    encoded: EncodedDelivery,
    base: DeliveredState,
    folder: DeliveryFolder,
    site: CustodianSite,
    kept: KeptEntries,
) -> _Written:
    """Parts of the records that are new or changed, and the pseudonyms of those that go."""
    rows, fills, entries, waiting = [], [], [], _Waiting()

    def encode(number: int) -> tuple[tuple[FilterFill, ...], StateRows, EncodedRecords, Entries]:
        part = encoded.parts[number]()
        now = state_rows(part.records)
        other = changed_rows(now, base.rows).nonzero()[0]
        committed = row_entries(
            part.rows.take(pa.array(other)), take_state_rows(now, other), site.site_key, site.protocol
        )
        return part.fills, now, take_records(part.records, other), committed

    for filled, now, changed, committed in _each_part(encoded, encode):
        rows.append(now)
        fills.append(filled)
        kept.add(committed)
        entries += [_write_part(len(entries), r, folder, site) for r in waiting.add(changed)]
    entries += [_write_part(len(entries), r, folder, site) for r in waiting.rest()]
    state = concat_state_rows(rows)
    gone = gone_pseudonyms(state, base.rows)
    described = write_sealed_file(GONE_NAME, len(gone), gone.tobytes(), folder, site) if len(gone) else None
    changes = Changes(base_sequence=base.sequence, base_manifest_sha256=base.manifest_sha256, gone=described)
    return _Written(tuple(entries), changes, state, tuple(fills), kept.root)


class _Waiting:
    """Records that wait until they are enough for a part."""

    def __init__(self) -> None:
        self._records: list[EncodedRecords] = []

    def add(self, records: EncodedRecords) -> Iterable[EncodedRecords]:
        """The next records; gives what is a part by now."""
        if len(records):
            self._records.append(records)
        return self.rest() if sum(map(len, self._records)) >= PART_ROWS else ()

    def rest(self) -> Iterable[EncodedRecords]:
        """What waits, as a part, if anything does."""
        waiting, self._records = self._records, []
        return (concat_records(waiting),) if waiting else ()


def _write_part(
    number: int, records: EncodedRecords, folder: DeliveryFolder, site: CustodianSite
) -> PartEntry:
    data = write_part(records, site.protocol)
    return write_sealed_file(f"part-{number:04d}.sealed", len(records), data, folder, site)


def write_sealed_file(
    name: str, rows: int, data: bytes, folder: DeliveryFolder, site: CustodianSite
) -> PartEntry:
    """Seal some bytes to the linkage unit and write them; what the manifest is to say of the file."""
    protocol = site.protocol
    header = SealHeader(protocol.project, protocol.key_epoch, site.name, folder.run_id, folder.sequence)
    sealed = seal_part(data, name, header, site.transfer_secret)
    write_file(folder, name, sealed)
    return describe_part(name, rows, sealed)


def _sealing(site: CustodianSite) -> Sealing:
    secret = site.transfer_secret
    return Sealing(transfer_key=secret.transfer_key_id, linkage_unit_key=secret.unit_key_id)


def _describe(
    encoded: EncodedDelivery, written: _Written, night: date, sequence: int, site: CustodianSite
) -> DeliveryManifest:
    validated = encoded.normalised.validated
    return DeliveryManifest(
        project=site.protocol.project,
        custodian=site.name,
        run_id=night.isoformat(),
        sequence=sequence,
        as_of=night,
        protocol_fingerprint=protocol_fingerprint(site.protocol),
        protocol_version=site.protocol.version,
        key_epoch=site.protocol.key_epoch,
        key_check_value=encoded.key_check_value.hex(),
        code_version=code_version(),
        sealing=_sealing(site),
        row_count=encoded.rows,
        state_digest=state_digest(written.rows),
        changes=written.changes,
        row_commitments=written.row_commitments.hex(),
        parts=written.parts,
        extracted=validated.extracted + encoded.made_up,
        rejected=validated.rejected,
        rejected_by_rule=validated.rejected_by_rule,
        expectations=tuple(encoded.normalised.expectations),
        witnessed=witnessed_log(site),
        aggregates=aggregates_of(encoded, written.fills, site),
    )
