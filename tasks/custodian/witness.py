"""Witness: take the linkage unit's receipts, and keep the newest checkpoint of its log. Zone: custodian.

What a custodian keeps in ``state_folder/witness`` is what an auditor verifies the warehouse against: nobody else's
word of what the log once was is worth as much. A receipt whose log does not begin with the one that was seen before is
kept under ``refused-`` as evidence, and nothing more is delivered.
"""

from __future__ import annotations

from pathlib import Path

from linkage_core.audit.checkpoints import Checkpoint
from linkage_core.audit.receipts import MAX_RECEIPT_BYTES, OpenedReceipt, check_continues, open_receipt
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import WitnessedLog
from tasks.custodian.settings import CustodianSite
from tasks.protocol.exchange import read_receipt, receipt_name, receipt_names
from tasks.protocol.output_files import replace_file
from tasks.protocol.stages import announce, stage

WITNESS_FOLDER = "witness"


@stage("take receipts")
def take_receipts(site: CustodianSite) -> Checkpoint | None:
    """Check every receipt that came since the last time, keep it, and return the newest checkpoint.

    Raises
    ------
    NightlinkError
        E-AUDIT-RECEIPT for one that the linkage unit did not write for this custodian; E-AUDIT-FORK for a log that
        does not begin with the one that was seen before.
    """
    home = _home(site)
    seen = newest_checkpoint(site)
    known = {path.name for path in home.iterdir()}
    taken = 0
    for name in receipt_names(site.settings.exchange, site.name):
        if name not in known:
            seen = _take(name, site, seen)
            taken += 1
    told = "none yet" if seen is None else f"log of {seen.size} entries, root {seen.root.hex()[:16]}"
    announce(f"receipts taken: {taken}; newest checkpoint: {told}")
    return seen


def newest_checkpoint(site: CustodianSite) -> Checkpoint | None:
    """The newest checkpoint that this custodian holds, its signature checked again."""
    kept = sorted(path for path in _home(site).iterdir() if path.name[0].isdigit())
    return _open(kept[-1].read_bytes(), kept[-1].name, site).checkpoint if kept else None


def witnessed_log(site: CustodianSite) -> WitnessedLog | None:
    """The newest checkpoint as a manifest names it."""
    seen = newest_checkpoint(site)
    return None if seen is None else WitnessedLog(size=seen.size, root=seen.root.hex())


def has_receipt(run_id: str, manifest_sha256: str, site: CustodianSite) -> bool:
    """Whether a receipt was taken that says this very delivery is in a published night."""
    kept = [path for path in _home(site).glob(f"*-{run_id}.json") if path.name[0].isdigit()]
    receipts = (_open(path.read_bytes(), path.name, site).receipt for path in kept)
    return any(r.run_id == run_id and r.manifest_sha256 == manifest_sha256 for r in receipts)


def _take(name: str, site: CustodianSite, seen: Checkpoint | None) -> Checkpoint:
    data = read_receipt(site.settings.exchange, site.name, name, MAX_RECEIPT_BYTES)
    try:
        opened = _open(data, name, site)
        check_continues(opened, seen)
    except NightlinkError:
        replace_file(_home(site) / f"refused-{name}", data)
        raise
    replace_file(_home(site) / name, data)
    return opened.checkpoint


def _open(data: bytes, name: str, site: CustodianSite) -> OpenedReceipt:
    signer = public_key_from_hex(site.settings.linkage_unit_signing_key)
    opened = open_receipt(data, signer, site.protocol.project)
    receipt = opened.receipt
    if receipt.custodian != site.name or name != receipt_name(opened.checkpoint.size, receipt.run_id):
        raise NightlinkError(
            "E-AUDIT-RECEIPT",
            found=f"a receipt for {receipt.custodian}'s run {receipt.run_id} under the name {name}",
            expected=f"one for {site.name}, named by its log's size and its run",
            remedy="Keep it as evidence, and ask the linkage unit what happened to its receipts.",
        )
    return opened


def _home(site: CustodianSite) -> Path:
    home = site.settings.state_folder / WITNESS_FOLDER
    home.mkdir(mode=0o700, exist_ok=True)
    return home
