"""Receipts: a signed checkpoint of the audit log for each custodian, with its proofs. Zone: linkage_unit.

The custodians are the log's witnesses: what they hold of it, no database administrator can take back. Before a night is
linked the log is compared with what they saw; after it is published each gets a receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from linkage_core.audit.checkpoints import Checkpoint, log_origin, sign_checkpoint
from linkage_core.audit.merkle_tree import tree_root
from linkage_core.audit.receipts import (
    MAX_RECEIPT_BYTES,
    Receipt,
    check_continues,
    log_fork,
    open_receipt,
    prove_receipt,
    seal_receipt,
)
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.protocol.delivery_manifest import DeliveryManifest, manifest_digest, open_manifest
from sql.warehouse.audit_log import StoredLog, read_deliveries_of_run, read_stored_log
from sql.warehouse.links import Delivery
from sql.warehouse.transactions import warehouse_snapshot
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.exchange import (
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    complete_deliveries,
    read_file,
    read_receipt,
    receipt_name,
    receipt_names,
    write_receipt,
)
from tasks.protocol.stages import announce, stage

MOST_RECEIPTS = 15
"""Of a custodian that has taken none for longer than so many nights, its manifest alone is believed."""


@stage("compare the log with its witnesses")
def compare_with_witnesses(run: NightRun, deliveries: Sequence[ReceivedDelivery]) -> None:
    """Refuse to go on, before anything is linked, with a log that is not what a custodian saw (E-AUDIT-FORK)."""
    with warehouse_snapshot(run.engine, doing="comparing the audit log with its witnesses") as connection:
        log = read_stored_log(connection)
        seen = [d.manifest.witnessed for d in deliveries if d.manifest.witnessed is not None]
        for witnessed in seen:
            _refuse_other_log(log, witnessed.size, bytes.fromhex(witnessed.root))
    announce(f"audit log of {log.size} entries, borne out by {len(seen)} witnesses")


@stage("hand out receipts")
def hand_out_receipts(run: NightRun, unit: LinkageUnit) -> None:
    """Write each custodian's receipt for a published night; one that is there already is left as it is."""
    run_id, exchange = run.ledger.run_id, unit.settings.exchange
    with warehouse_snapshot(run.engine, doing="reading the audit log") as connection:
        log = read_stored_log(connection)
        deliveries = read_deliveries_of_run(connection, run_id)
        signed = Checkpoint(
            log_origin(unit.protocol.project), log.size, tree_root(log.size, log.node), datetime.now(UTC)
        )
        for delivery in deliveries:
            names = receipt_names(exchange, delivery.custodian)
            if not any(name.partition("-")[2] == f"{run_id}.json" for name in names):
                sealed = _seal(delivery, run_id, signed, log, unit)
                write_receipt(exchange, delivery.custodian, receipt_name(signed.size, run_id), sealed)
    announce(
        f"receipts of {len(deliveries)} deliveries: log of {log.size} entries, root {signed.root.hex()[:16]}"
    )


def _seal(delivery: Delivery, run_id: str, signed: Checkpoint, log: StoredLog, unit: LinkageUnit) -> bytes:
    held = _held_checkpoints(delivery, unit)
    for checkpoint in held:
        _refuse_other_log(log, checkpoint.size, checkpoint.root)
    entry, leaf = log.entry_of_run(run_id)
    told = {
        "project": unit.protocol.project,
        "custodian": delivery.custodian,
        "run_id": run_id,
        "manifest_sha256": delivery.manifest_sha256,
        "entry": entry,
        "entry_leaf": leaf.hex(),
        "checkpoint": sign_checkpoint(signed, unit.signing_key),
        **prove_receipt(entry, signed, [checkpoint.size for checkpoint in held], log.node),
    }
    sealed = seal_receipt(Receipt.model_validate(told), unit.signing_key)
    # Nothing is handed out that its reader would refuse: stored nodes may be wrong where roots are right.
    opened = open_receipt(sealed, unit.signing_key.public_key(), unit.protocol.project)
    for checkpoint in held:
        check_continues(opened, checkpoint)
    return sealed


def _held_checkpoints(delivery: Delivery, unit: LinkageUnit) -> list[Checkpoint]:
    """What the custodian's manifest says it holds, and the receipts that it may have taken since."""
    manifest = _manifest(delivery, unit)
    seen = None if manifest is None else manifest.witnessed
    held: list[Checkpoint] = []
    if seen is not None:
        origin, root = log_origin(unit.protocol.project), bytes.fromhex(seen.root)
        held.append(Checkpoint(origin, seen.size, root, datetime.now(UTC)))
    least = 0 if seen is None else seen.size
    for name in receipt_names(unit.settings.exchange, delivery.custodian)[-MOST_RECEIPTS:]:
        if int(name.partition("-")[0]) > least:
            data = read_receipt(unit.settings.exchange, delivery.custodian, name, MAX_RECEIPT_BYTES)
            held.append(open_receipt(data, unit.signing_key.public_key(), unit.protocol.project).checkpoint)
    return held


def _manifest(delivery: Delivery, unit: LinkageUnit) -> DeliveryManifest | None:
    signer = public_key_from_hex(unit.settings.custodian_public_keys[delivery.custodian])
    for folder in complete_deliveries(unit.settings.exchange, delivery.custodian, delivery.run_id):
        data = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
        if manifest_digest(data) == delivery.manifest_sha256:
            return open_manifest(data, signer)
    return None


def _refuse_other_log(log: StoredLog, size: int, root: bytes) -> None:
    if size > log.size or tree_root(size, log.node) != root:
        raise log_fork(size, log.size)
