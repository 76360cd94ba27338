"""Receive: every delivery is verified whole before a byte of it is used. Zone: linkage_unit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

import pandas as pd

from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.forgotten_records import blank_records, pseudonym_texts
from linkage_core.protocol.delivery_manifest import (
    DeliveryManifest,
    check_manifest,
    check_part,
    check_same_key,
    check_sealing,
    manifest_digest,
    open_manifest,
    seal_header,
)
from linkage_core.protocol.encoded_evidence import check_aggregates
from linkage_core.protocol.encoded_records import EncodedRecords, empty_records
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.sealed_parts import open_part
from linkage_core.protocol.transfer_keys import TransferSecret
from linkage_core.protocol.wire_format import read_part
from tasks.linkage_unit.expectations.received_delivery import describe_records, judge_delivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import ColumnWriter, columns_folder, job_of, remove_work
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


ErasedOf = Callable[[str, Sequence[str]], set[str]]
"""From a custodian and record pseudonyms (UUID text) to those that were erased."""


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
    """The newest delivery of each custodian, in the protocol's order; nothing of records that ``erased_of`` names.

    Raises
    ------
    NightlinkError
        E-DLV-MISSING, E-DLV-MANIFEST, E-DLV-SIGNATURE, E-DLV-FOREIGN, E-DLV-KEYS, E-DLV-DIGEST, E-DLV-SEAL,
        E-DLV-FORMAT, E-PROTOCOL-MISMATCH, E-KEY-MISMATCH, E-DQ-EXPECTATION.
    """
    folders = _wait_for_deliveries(night, unit)
    manifests = [_open(folder, night, unit) for folder in folders]
    # Keys are compared before any encoding is read: unlike keys would give silent non-matches.
    for manifest, _ in manifests[1:]:
        check_same_key(manifests[0][0], manifest)
    remove_work(unit.settings.state_folder, keep=_names_of_this_night(manifests, unit))
    return tuple(
        _receive(folder, *manifest, unit, erased_of)
        for folder, manifest in zip(folders, manifests, strict=True)
    )


def _names_of_this_night(manifests: list[tuple[DeliveryManifest, str]], unit: LinkageUnit) -> tuple[str, ...]:
    """Of the folders with working files, those from which a run that was interrupted resumes."""
    state, records = unit.settings.state_folder, unit.settings.chunk_records
    known = unit.known_links_sha256
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


def _open(folder: DeliveryFolder, night: date, unit: LinkageUnit) -> tuple[DeliveryManifest, str]:
    data = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
    signer = public_key_from_hex(unit.settings.custodian_public_keys[folder.custodian])
    manifest = open_manifest(data, signer)
    check_manifest(
        manifest,
        project=unit.protocol.project,
        custodian=folder.custodian,
        run_id=night.isoformat(),
        protocol=unit.protocol,
    )
    _check_place(manifest, folder, unit)
    check_sealing(manifest, _secret_of(manifest, unit))
    check_aggregates(manifest.aggregates, evidence_of(unit.protocol))
    return manifest, manifest_digest(data)


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


def _receive(
    folder: DeliveryFolder,
    manifest: DeliveryManifest,
    digest: str,
    unit: LinkageUnit,
    erased_of: ErasedOf | None,
) -> ReceivedDelivery:
    records, described = _read_parts(folder, manifest, digest, unit, erased_of)
    counts = judge_delivery(described, unit.protocol)
    refuse_broken(counts)
    announce(f"records received from {manifest.custodian}: {len(records)}")
    return ReceivedDelivery(manifest, digest, records, counts)


def _read_parts(
    folder: DeliveryFolder,
    manifest: DeliveryManifest,
    digest: str,
    unit: LinkageUnit,
    erased_of: ErasedOf | None,
) -> tuple[EncodedRecords, pd.DataFrame]:
    """All records as columns on disk, and what their expectations are judged by; one part in memory at a time."""
    header, secret = seal_header(manifest), _secret_of(manifest, unit)
    spec = evidence_of(unit.protocol)
    columns = ColumnWriter(unit.settings.state_folder, digest, spec)
    described = [describe_records(empty_records(spec), unit.protocol)]
    all_erased: set[str] = set()
    for entry in manifest.parts:
        sealed = read_file(folder, entry.name, entry.bytes)
        check_part(entry, sealed)
        # In the exchange a delivery stays sealed: it is opened into the linkage unit's own folder alone.
        records = read_part(open_part(sealed, entry.name, header, secret), unit.protocol, entry.rows)
        kept, erased = _without_erased(records, manifest.custodian, erased_of)
        all_erased |= erased
        columns.append(kept)
        described.append(describe_records(records, unit.protocol))
    return columns.finish(all_erased), pd.concat(described, ignore_index=True)


def _without_erased(
    records: EncodedRecords, custodian: str, erased_of: ErasedOf | None
) -> tuple[EncodedRecords, set[str]]:
    """The records with nothing left of those erased, and which they were."""
    if erased_of is None:
        return records, set()
    texts = pseudonym_texts(records.record_pseudonyms)
    erased = erased_of(custodian, texts)
    return blank_records(records, texts, erased) if erased else records, set(erased)
