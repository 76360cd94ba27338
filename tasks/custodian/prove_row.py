"""Prove of which row at the source a delivered record was made. Zone: custodian."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.audit.row_commitments import ProvenRow, Row, prove_row, write_proof
from linkage_core.custodian.commit_rows import row_salts
from linkage_core.custodian.field_rules import accepted_rows, check_rows
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from tasks.custodian.extract import extract_identifiers, open_source
from tasks.custodian.night_folder import night_folder
from tasks.custodian.retire import OwnDelivery, own_deliveries
from tasks.custodian.row_entries import read_entries
from tasks.custodian.settings import CustodianSite
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.output_files import whole_file

MOST_ID_BYTES = 1 << 12


def write_row_proof(
    site: CustodianSite, id_file: Path, out: Path, sequence: int | None, row_out: Path | None
) -> ProvenRow:
    """The proof that a delivery's record was made of the row which the source has now under an id.

    Parameters
    ----------
    id_file : Path
        The source id, in one line, as the source spells it.
    out : Path
        Where the proof goes; nothing in it is readable, but who holds it can try rows.
    sequence : int, optional
        The delivery; by default the newest that brought the record.
    row_out : Path, optional
        Where the normalised row goes, as JSON: readable, for whom the custodian wants to convince.

    Raises
    ------
    NightlinkError
        E-ROW-PROOF when the row is not the one that was delivered; E-INPUT for an id that the source does not have.
    """
    source_id = _read_id(id_file)
    delivery = _delivery_of(site, source_id, sequence)
    row = row_at_source(site, source_id, delivery.manifest.as_of)
    proven = prove_row(
        read_entries(delivery.manifest.sequence, site),
        row,
        row_salts(pa.array([source_id]), site.site_key, site.protocol).tobytes(),
        _pseudonym(site, source_id),
        delivery.manifest,
        delivery.manifest_sha256,
    )
    with whole_file(out) as file:
        file.write(write_proof(proven.proof))
    if row_out is not None:
        with whole_file(row_out) as file:
            file.write(json.dumps(dict(proven.row), ensure_ascii=False, indent=2).encode())
    return proven


def row_at_source(site: CustodianSite, source_id: str, night: date) -> Row:
    """The row that a night would encode now under this id, normalised; E-INPUT when it would encode none."""
    with night_folder(site.settings.state_folder) as folder, open_source(site) as snapshot:
        rows = _rows_with(source_id, extract_identifiers(snapshot, site, folder))
        form = site.settings.source.format
        accepted = accepted_rows(rows, check_rows(rows, site.protocol, form, night))
        if not accepted.num_rows:
            raise NightlinkError(
                "E-INPUT",
                found="no row of the source, or none that is accepted, under the id in the file",
                expected="an id as the source spells it",
                remedy="Look the id up at the source; a rejected row is in the quarantine file, with its reason.",
            )
        normalised = normalise_batch(accepted.slice(0, 1), site.protocol, form, night).records
    names = ("source_id", *site.protocol.field_names)
    [row] = normalised.to_pylist()
    return {name: row.get(name) for name in names}


def _rows_with(source_id: str, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    wanted, found, empty = source_id.encode(), [], None
    for batch in batches:
        ids = batch.column("source_id").cast(pa.binary())
        rows = batch.filter(pc.equal(ids, pa.scalar(wanted, pa.binary())).fill_null(False))
        empty = rows.slice(0, 0)
        found += [rows] if rows.num_rows else []
    return found[0] if found else empty


def _delivery_of(site: CustodianSite, source_id: str, sequence: int | None) -> OwnDelivery:
    """The delivery that is named, or else the newest that brought the record and is not deleted."""
    kept = sorted((d for d in own_deliveries(site) if not d.deleted), key=lambda d: -d.manifest.sequence)
    name = _pseudonym(site, source_id)
    for delivery in kept:
        if sequence == delivery.manifest.sequence or (sequence is None and _brought(delivery, name, site)):
            return delivery
    raise NightlinkError(
        "E-ROW-PROOF",
        found="no delivery that brought this record, or none of that number whose parts are kept",
        expected="a delivery of this key epoch that is still in the exchange",
        remedy="`nightlink audit explain` names the deliveries of a link; each key epoch has pseudonyms of its own.",
    )


def _brought(delivery: OwnDelivery, pseudonym: bytes, site: CustodianSite) -> bool:
    try:
        entries = read_entries(delivery.manifest.sequence, site)
    except NightlinkError:
        return False
    return bool((entries["pseudonym"].view("S16") == pseudonym.rstrip(b"\0")).any())


def _pseudonym(site: CustodianSite, source_id: str) -> bytes:
    protocol = site.protocol
    [name] = record_pseudonyms(site.site_key, [source_id], project=protocol.project, epoch=protocol.key_epoch)
    return bytes(name.tobytes())


def _read_id(path: Path) -> str:
    try:
        lines = read_bounded(path, MOST_ID_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = []
    ids = [line for line in lines if line.strip()]
    if len(ids) != 1:
        raise NightlinkError(
            "E-INPUT",
            found=f"{len(ids)} lines that can be read in {path.name}",
            expected="one source id, in UTF-8, as the source spells it",
            remedy="Write the id of one record into the file.",
        )
    return ids[0]
