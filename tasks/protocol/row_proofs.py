"""Check a custodian's proof of a row: for an auditor, with files alone. Zone: protocol."""

from __future__ import annotations

import json
from pathlib import Path

from linkage_core.audit.row_commitments import MAX_PROOF_BYTES, RowProof, check_row_proof, read_proof
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import MAX_MANIFEST_BYTES, manifest_digest, open_manifest
from tasks.protocol.bounded_files import read_bounded


def verify_row(proof_file: Path, row_file: Path, manifest_file: Path, custodian_key: str) -> RowProof:
    """The proof, if it leads from the row to the manifest's root and the custodian signed the manifest.

    Raises
    ------
    NightlinkError
        E-ROW-PROOF for a proof that does not hold; E-DLV-SIGNATURE or E-DLV-MANIFEST for a manifest that is not the
        custodian's; E-INPUT.
    """
    data = read_bounded(manifest_file, MAX_MANIFEST_BYTES)
    manifest = open_manifest(data, public_key_from_hex(custodian_key))
    proof = read_proof(read_bounded(proof_file, MAX_PROOF_BYTES))
    check_row_proof(proof, _read_row(row_file), manifest, manifest_digest(data))
    return proof


def _read_row(path: Path) -> dict[str, str | None]:
    try:
        row = json.loads(read_bounded(path, MAX_PROOF_BYTES))
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict) and all(value is None or isinstance(value, str) for value in row.values()):
        return row
    raise NightlinkError(
        "E-INPUT",
        found=f"no row in {path.name}",
        expected="a JSON object of texts, as `nightlink custodian prove-row --row-out` writes it",
        remedy="Ask the custodian for the row's file.",
    )
