"""A custodian's records as they stand after its newest delivery, whichever way they came. Zone: linkage_unit.

A delivery of all records is read as it is. One of changes is applied to the delivery that it builds on: to what was
kept of it when it was received, else to what the exchange still has of it. Both ways end in the same columns,
and in the digest that the manifest names, or nothing is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.forgotten_records import blank_records, pseudonym_texts
from linkage_core.protocol.delivery_manifest import DeliveryManifest, PartEntry, check_part, seal_header
from linkage_core.protocol.encoded_records import (
    PSEUDONYM_BYTES,
    PSEUDONYM_DTYPE,
    EncodedRecords,
    concat_records,
    empty_records,
    take_records,
)
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.record_state import (
    StateRows,
    apply_changes,
    check_ascending,
    concat_state_rows,
    no_state_rows,
    state_digest,
    state_rows,
    take_state_rows,
)
from linkage_core.protocol.sealed_parts import open_part
from linkage_core.protocol.transfer_keys import TransferSecret
from linkage_core.protocol.wire_format import read_part
from tasks.linkage_unit.deletion_notes import note_deletion
from tasks.linkage_unit.kept_comparisons import forget_comparisons
from tasks.linkage_unit.record_store import KeptRecords, forget_records, kept_records, unpack_records
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import (
    ColumnWriter,
    changes_folder,
    columns_folder,
    kept_folder,
    map_columns,
    map_state,
)
from tasks.protocol.exchange import DELETION_NAME, DeliveryFolder, all_deliveries, read_file
from tasks.protocol.stages import announce

ROWS_AT_A_TIME = 1 << 16
Pseudonyms = npt.NDArray[np.void]
ErasedOf = Callable[[str, Sequence[str]], set[str]]
"""From a custodian and record pseudonyms (UUID text) to those that were erased."""


@dataclass(frozen=True)
class OpenedDelivery:
    """A delivery whose manifest is verified."""

    folder: DeliveryFolder
    manifest: DeliveryManifest
    manifest_sha256: str
    secret: TransferSecret


OpenDelivery = Callable[[DeliveryFolder], OpenedDelivery]


@dataclass(frozen=True)
class CurrentRecords:
    """A custodian's records, as they are compared and as the custodian named them, mapped from columns on disk.

    Attributes
    ----------
    records : EncodedRecords
        Of those that were erased, nothing but the place.
    state : StateRows
        Of the same records, erased or not.
    """

    records: EncodedRecords
    state: StateRows


def current_records(
    newest: OpenedDelivery, open_delivery: OpenDelivery, unit: LinkageUnit, erased_of: ErasedOf | None
) -> CurrentRecords:
    """All records as they stand after a delivery.

    Raises
    ------
    NightlinkError
        E-DLV-GAP when changes build on a delivery that is neither kept nor in the exchange; E-DLV-STALE for one
        older than what is kept, E-DLV-EQUIVOCATION for another with the same number; E-DLV-STATE when changes
        lead elsewhere; E-DLV-DIGEST, E-DLV-SEAL, E-DLV-FORMAT for parts that are not as they should be.
    """
    work = _Work(newest.manifest.custodian, unit, erased_of)
    kept = _kept_of_this_epoch(newest, unit)
    steps = _steps_to(newest, kept, open_delivery, unit)
    current = work.nothing()
    if kept is not None and (not steps or steps[0].manifest.changes is not None):
        opened = work.unpack(kept)
        if opened is None:
            announce(f"what was kept of {kept.custodian} does not open: its deliveries are read again")
            steps, opened = _steps_to(newest, None, open_delivery, unit), current
        current = opened
    if not steps:
        current = work.without_newly_erased(current, newest)
    for step in steps:
        current = work.apply(current, step)
    return current


def _kept_of_this_epoch(newest: OpenedDelivery, unit: LinkageUnit) -> KeptRecords | None:
    """What is kept of the custodian; encodings of a former epoch are deleted instead."""
    state_folder = unit.settings.state_folder
    kept = kept_records(state_folder, newest.manifest.custodian, unit.storage_key)
    if kept is None:
        return None
    if kept.key_epoch != newest.manifest.key_epoch:
        forget_records(state_folder, kept.custodian)
        forget_comparisons(state_folder, kept.custodian)
        note_deletion(state_folder, kept.custodian, kept.manifest_sha256, kept.key_epoch)
        announce(f"records of {kept.custodian} that were kept of the epoch {kept.key_epoch}: deleted")
        return None
    number = newest.manifest.sequence
    if number < kept.sequence:
        raise NightlinkError(
            "E-DLV-STALE",
            found=f"delivery {number} of {kept.custodian}",
            expected=f"one later than {kept.sequence}, which was applied already",
            remedy="Nothing was applied: the newest delivery counts. Let the custodian deliver again.",
        )
    if number == kept.sequence and newest.manifest_sha256 != kept.manifest_sha256:
        raise _equivocation(kept.custodian, number)
    return kept


def _steps_to(
    newest: OpenedDelivery, kept: KeptRecords | None, open_delivery: OpenDelivery, unit: LinkageUnit
) -> list[OpenedDelivery]:
    """The deliveries to apply one after the other, from a full one or from what is kept; none when that is newest."""
    if kept is not None and newest.manifest_sha256 == kept.manifest_sha256:
        return []
    steps = [newest]
    while (changes := steps[0].manifest.changes) is not None:
        if kept is not None and changes.base_manifest_sha256 == kept.manifest_sha256:
            break
        base = open_delivery(_base_folder(steps[0], changes.base_sequence, unit))
        if base.manifest_sha256 != changes.base_manifest_sha256:
            raise _equivocation(base.manifest.custodian, base.manifest.sequence)
        steps.insert(0, base)
    return steps


def _base_folder(step: OpenedDelivery, sequence: int, unit: LinkageUnit) -> DeliveryFolder:
    custodian = step.manifest.custodian
    found = [f for f in all_deliveries(unit.settings.exchange, custodian) if f.sequence == sequence]
    if len(found) > 1:
        raise _equivocation(custodian, sequence)
    if not found or (found[0].path / DELETION_NAME).exists():
        raise NightlinkError(
            "E-DLV-GAP",
            found=f"{custodian}'s delivery {step.manifest.sequence}, of changes since its delivery {sequence}",
            expected="that delivery in the exchange, or its records kept by this linkage unit",
            remedy="If it is on its way, run the night again once it is there. Else the custodian removes "
            "delivered.state from its state folder and runs its night again: all records are delivered.",
            transient=True,
        )
    return found[0]


@dataclass(frozen=True)
class _Work:
    """How one custodian's columns are written."""

    custodian: str
    unit: LinkageUnit
    erased_of: ErasedOf | None

    def nothing(self) -> CurrentRecords:
        """No records."""
        return CurrentRecords(empty_records(evidence_of(self.unit.protocol)), no_state_rows())

    def unpack(self, kept: KeptRecords) -> CurrentRecords | None:
        """What is kept; None when it does not open."""
        state_folder, spec = self.unit.settings.state_folder, evidence_of(self.unit.protocol)
        # Beside the columns, not in their place: those tell whom an interrupted night did not know to be erased.
        folder = kept_folder(state_folder, kept.manifest_sha256)
        if not unpack_records(kept, folder, spec, state_folder, self.unit.storage_key):
            return None
        return self._mapped(folder, kept.rows)

    def without_newly_erased(self, current: CurrentRecords, newest: OpenedDelivery) -> CurrentRecords:
        """The same records, but for those that were erased since they were kept."""
        folder = columns_folder(self.unit.settings.state_folder, newest.manifest_sha256)
        return self._merge(current, self.nothing(), _no_pseudonyms(), folder)

    def apply(self, before: CurrentRecords, step: OpenedDelivery) -> CurrentRecords:
        """The records after one more delivery; E-DLV-STATE when they are not those that its manifest names."""
        manifest, state_folder = step.manifest, self.unit.settings.state_folder
        folder = columns_folder(state_folder, step.manifest_sha256)
        if manifest.changes is None:
            current = self._read_parts(step, folder)
        else:
            brought = self._read_parts(step, changes_folder(state_folder, step.manifest_sha256))
            current = self._merge(before, brought, _gone(step, manifest.changes.gone), folder)
        if len(current.state) != manifest.row_count or state_digest(current.state) != manifest.state_digest:
            raise NightlinkError(
                "E-DLV-STATE",
                found=f"delivery {manifest.sequence} of {self.custodian}, which leads to other records",
                expected=f"the {manifest.row_count} whose digest its manifest names",
                remedy="Nothing was used. The custodian removes delivered.state from its state folder and runs its "
                "night again: all records are delivered.",
            )
        return current

    def _read_parts(self, step: OpenedDelivery, folder: Path) -> CurrentRecords:
        """The records that a delivery brings; one part in memory at a time."""
        columns, states = ColumnWriter(folder, evidence_of(self.unit.protocol)), [no_state_rows()]
        erased: set[str] = set()
        for entry in step.manifest.parts:
            records = read_part(_open_file(step, entry), self.unit.protocol, entry.rows)
            states.append(state_rows(records))
            left, without = self._without_erased(records)
            columns.append(left, states[-1])
            erased |= without
        check_ascending(concat_state_rows(states).pseudonyms, self.custodian)
        columns.finish(erased)
        return self._mapped(folder, step.manifest.rows_in_parts)

    def _merge(
        self, before: CurrentRecords, brought: CurrentRecords, gone: Pseudonyms, folder: Path
    ) -> CurrentRecords:
        """What stays, and what is brought, in the order of pseudonyms; some rows in memory at a time."""
        source = apply_changes(before.state.pseudonyms, brought.state.pseudonyms, gone)
        columns = ColumnWriter(folder, evidence_of(self.unit.protocol))
        erased: set[str] = set()
        for start in range(0, len(source), ROWS_AT_A_TIME):
            records, state = _gather(before, brought, source[start : start + ROWS_AT_A_TIME])
            named = EncodedRecords(state.pseudonyms, records.evidence)
            left, without = self._without_erased(named)
            columns.append(left, state)
            erased |= without
        columns.finish(erased)
        return self._mapped(folder, len(source))

    def _without_erased(self, records: EncodedRecords) -> tuple[EncodedRecords, set[str]]:
        """The records with nothing left of those erased, and which they were."""
        if self.erased_of is None:
            return records, set()
        texts = pseudonym_texts(records.record_pseudonyms)
        erased = self.erased_of(self.custodian, texts)
        return blank_records(records, texts, erased) if erased else records, set(erased)

    def _mapped(self, folder: Path, rows: int) -> CurrentRecords:
        spec = evidence_of(self.unit.protocol)
        return CurrentRecords(map_columns(folder, spec, rows), map_state(folder, rows))


def _gather(
    before: CurrentRecords, brought: CurrentRecords, source: npt.NDArray[np.intp]
) -> tuple[EncodedRecords, StateRows]:
    """Some rows of two, as :func:`apply_changes` numbers them."""
    stays = source < len(before.state)
    picks = ((before, source[stays]), (brought, source[~stays] - len(before.state)))
    # Those that stay come first in what is joined; from there each goes to its place.
    place = np.empty(len(source), np.intp)
    place[np.argsort(~stays, kind="stable")] = np.arange(len(source))
    records = concat_records([take_records(side.records, rows) for side, rows in picks])
    state = concat_state_rows([take_state_rows(side.state, rows) for side, rows in picks])
    return take_records(records, place), take_state_rows(state, place)


def _open_file(step: OpenedDelivery, entry: PartEntry) -> bytes:
    # In the exchange a delivery stays sealed: it is opened into the linkage unit's own folder alone.
    sealed = read_file(step.folder, entry.name, entry.bytes)
    check_part(entry, sealed)
    return open_part(sealed, entry.name, seal_header(step.manifest), step.secret)


def _gone(step: OpenedDelivery, entry: PartEntry | None) -> Pseudonyms:
    if entry is None:
        return _no_pseudonyms()
    content = _open_file(step, entry)
    if len(content) != entry.rows * PSEUDONYM_BYTES:
        raise NightlinkError(
            "E-DLV-FORMAT",
            found=f"{len(content)} bytes for {entry.rows} pseudonyms",
            expected=f"{PSEUDONYM_BYTES} each",
            remedy="The delivery is refused. Compare versions; the custodian delivers again.",
        )
    return np.frombuffer(content, PSEUDONYM_DTYPE)


def _no_pseudonyms() -> Pseudonyms:
    return np.empty(0, PSEUDONYM_DTYPE)


def _equivocation(custodian: str, sequence: int) -> NightlinkError:
    return NightlinkError(
        "E-DLV-EQUIVOCATION",
        found=f"two deliveries of {custodian} with the number {sequence}",
        expected="one",
        remedy="Nothing was used. Keep both, and ask the custodian which one is right.",
    )


def records_that_count(current: CurrentRecords) -> Iterable[EncodedRecords]:
    """The records some at a time, but for erased ones, which say nothing of a delivery; at least one batch."""
    for start in range(0, max(len(current.state), 1), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        records = take_records(current.records, rows)
        there = records.record_pseudonyms == current.state.pseudonyms[rows]
        yield records if there.all() else take_records(records, np.flatnonzero(there))
