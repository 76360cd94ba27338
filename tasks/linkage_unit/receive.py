"""Receive: every delivery is verified whole before a byte of it is used. Zone: linkage_unit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import combinations

import pandas as pd

from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import (
    DeliveryManifest,
    check_manifest,
    check_same_key,
    check_sealing,
    manifest_digest,
    open_manifest,
)
from linkage_core.protocol.encoded_evidence import check_aggregates
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.transfer_keys import TransferSecret
from tasks.linkage_unit.current_records import (
    ErasedOf,
    OpenedDelivery,
    current_records,
    records_that_count,
)
from tasks.linkage_unit.expectations.received_delivery import describe_records, judge_delivery
from tasks.linkage_unit.record_store import KeptRecords, keep_records, kept_records
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import columns_folder, job_of, remove_work
from tasks.protocol.exchange import (
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    DeliveryFolder,
    complete_deliveries,
    missing_delivery,
    read_file,
)
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.stages import announce, stage

_POLL_S = 2.0


@dataclass(frozen=True)
class ReceivedDelivery:
    """One custodian's verified delivery."""

    manifest: DeliveryManifest
    manifest_sha256: str
    records: EncodedRecords
    expectations: list[ExpectationCount]


@stage("receive deliveries")
def receive_deliveries(
    night: date, unit: LinkageUnit, erased_of: ErasedOf | None = None
) -> tuple[ReceivedDelivery, ...]:
    """All records as the night's newest deliveries leave them, in the protocol's order of custodians.

    Of records that ``erased_of`` names nothing is there but the place.

    Raises
    ------
    NightlinkError
        E-DLV-MISSING, E-DLV-MANIFEST, E-DLV-SIGNATURE, E-DLV-FOREIGN, E-DLV-KEYS, E-DLV-DIGEST, E-DLV-SEAL,
        E-DLV-FORMAT, E-DLV-GAP, E-DLV-STALE, E-DLV-STATE, E-DLV-EQUIVOCATION, E-PROTOCOL-MISMATCH, E-KEY-MISMATCH,
        E-DQ-EXPECTATION.
    """
    newest = [_open(folder, unit) for folder in _wait_for_deliveries(night, unit)]
    # Keys are compared before any encoding is read: unlike keys would give silent non-matches.
    for delivery in newest[1:]:
        check_same_key(newest[0].manifest, delivery.manifest)
    remove_work(unit.settings.state_folder, keep=_names_of_this_night(newest, unit))
    return tuple(_receive(delivery, unit, erased_of) for delivery in newest)


def _names_of_this_night(newest: list[OpenedDelivery], unit: LinkageUnit) -> tuple[str, ...]:
    """Of the folders with working files, those from which a run that was interrupted resumes."""
    state, records = unit.settings.state_folder, unit.settings.chunk_records
    known = unit.known_links_sha256
    manifests = [(delivery.manifest, delivery.manifest_sha256) for delivery in newest]
    jobs = [
        job_of(state, unit.protocol, records, two, known, unit.trained) for two in combinations(manifests, 2)
    ]
    columns = [columns_folder(state, sha256).name for _, sha256 in manifests]
    return (*(job.folder.name for job in jobs), *columns)


def _wait_for_deliveries(night: date, unit: LinkageUnit) -> list[DeliveryFolder]:
    custodians, run_id = unit.protocol.custodians, night.isoformat()
    give_up = time.monotonic() + unit.settings.wait_for_deliveries_s
    while True:
        found = {name: complete_deliveries(unit.settings.exchange, name, run_id) for name in custodians}
        missing = [name for name in custodians if not found[name]]
        if not missing:
            return [found[name][-1] for name in custodians]
        if time.monotonic() >= give_up:
            raise missing_delivery(run_id, missing)
        time.sleep(_POLL_S)


def _open(folder: DeliveryFolder, unit: LinkageUnit) -> OpenedDelivery:
    data = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
    signer = public_key_from_hex(unit.settings.custodian_public_keys[folder.custodian])
    manifest = open_manifest(data, signer)
    check_manifest(
        manifest,
        project=unit.protocol.project,
        custodian=folder.custodian,
        run_id=folder.run_id,
        protocol=unit.protocol,
    )
    _check_place(manifest, folder, unit)
    secret = _secret_of(manifest, unit)
    check_sealing(manifest, secret)
    check_aggregates(manifest.aggregates, evidence_of(unit.protocol))
    return OpenedDelivery(folder, manifest, manifest_digest(data), secret)


def _secret_of(manifest: DeliveryManifest, unit: LinkageUnit) -> TransferSecret:
    """What is shared with the custodian under the key of ours that the manifest names; else under today's."""
    secrets = unit.transfer_secrets[manifest.custodian]
    named = [secret for secret in secrets if secret.unit_key_id == manifest.sealing.linkage_unit_key]
    return (*named, secrets[0])[0]


def _check_place(manifest: DeliveryManifest, folder: DeliveryFolder, unit: LinkageUnit) -> None:
    if manifest.sequence != folder.sequence or manifest.row_count > unit.settings.max_delivery_rows:
        raise NightlinkError(
            "E-DLV-FOREIGN",
            found=f"sequence {manifest.sequence} with {manifest.row_count} rows in the folder of {folder.sequence}",
            expected=f"its own sequence number and at most {unit.settings.max_delivery_rows} rows",
            remedy="The delivery is refused; the custodian must deliver again.",
        )


def _receive(delivery: OpenedDelivery, unit: LinkageUnit, erased_of: ErasedOf | None) -> ReceivedDelivery:
    current = current_records(delivery, partial(_open, unit=unit), unit, erased_of)
    described = [describe_records(records, unit.protocol) for records in records_that_count(current)]
    counts = judge_delivery(pd.concat(described, ignore_index=True), unit.protocol)
    refuse_broken(counts)
    _keep(delivery, unit)
    manifest = delivery.manifest
    brought = "all" if manifest.changes is None else f"{manifest.rows_in_parts} new or changed"
    announce(f"records received from {manifest.custodian}: {len(current.records)} ({brought})")
    return ReceivedDelivery(manifest, delivery.manifest_sha256, current.records, counts)


def _keep(delivery: OpenedDelivery, unit: LinkageUnit) -> None:
    """Keep the records, sealed, for deliveries of changes to build on."""
    state_folder, manifest = unit.settings.state_folder, delivery.manifest
    kept = KeptRecords(
        manifest.custodian,
        delivery.manifest_sha256,
        manifest.sequence,
        manifest.key_epoch,
        manifest.row_count,
    )
    if kept != kept_records(state_folder, manifest.custodian, unit.storage_key):
        columns = columns_folder(state_folder, delivery.manifest_sha256)
        keep_records(kept, columns, evidence_of(unit.protocol), state_folder, unit.storage_key)
