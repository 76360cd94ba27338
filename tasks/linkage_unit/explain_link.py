"""Explain: the whole provenance of one link, with proofs that what made it is in the audit log. Zone: linkage_unit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from linkage_core.audit.audit_events import NightPublished, parse_entry
from linkage_core.audit.merkle_tree import inclusion_holds, inclusion_proof, leaf_hash, tree_root
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_table import link_line
from sql.engine import make_engine
from sql.warehouse.audit_log import (
    StoredLog,
    read_deliveries_of_run,
    read_entry,
    read_link,
    read_stored_log,
)
from sql.warehouse.transactions import Connection, warehouse_snapshot
from tasks.protocol.settings_files import read_secret

DEADLINE_S = 120.0


def explain_link(url_file: Path, link_id: int) -> dict[str, Any]:
    """Everything that the warehouse holds of why a link is there, JSON-able.

    ``link`` has its evidence and whether it is as it was opened; ``opened`` and, for a link that ended, ``closed`` have
    the night: its event (protocol, key epoch, thresholds, code version, digests), its deliveries, and its entry's
    number, leaf and inclusion proof under ``log``'s root. Whether that root is the one that was signed, a witness
    tells (``audit verify --from``).

    Raises
    ------
    NightlinkError
        E-INPUT for a link that there is not. E-AUDIT-BROKEN for an entry that is gone, altered, or not in the log.
    """
    engine = make_engine(read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink audit")
    with warehouse_snapshot(engine, doing="explaining a link") as connection:
        found = read_link(connection, link_id)
        if found is None:
            raise NightlinkError(
                "E-INPUT",
                found=f"no link {link_id}",
                expected="the link_id of a version of a link that was not erased",
                remedy="Look the link up in linkage.link.",
            )
        log = read_stored_log(connection)
        root = tree_root(log.size, log.node)
        explained = {"link": _describe(found), "log": {"entries": log.size, "root": root.hex()}}
        explained["opened"] = _explain_night(connection, log, root, found.opened_by_run)
        if found.closed_by_run is not None:
            explained["closed"] = _explain_night(connection, log, root, found.closed_by_run)
    return explained


def _describe(found: Any) -> dict[str, Any]:
    told = (
        found.record_a.replace("-", ""),
        found.record_b.replace("-", ""),
        found.decision,
        found.score_band,
    )
    leaf = hashlib.sha256(
        link_line(*told, found.passes_agreed, found.custodian_a, found.custodian_b)
    ).digest()
    return {
        "link_id": found.link_id,
        "project": found.project,
        "records": {found.custodian_a: found.record_a, found.custodian_b: found.record_b},
        "evidence": {
            "decision": found.decision,
            "score_band": found.score_band,
            "passes_agreed": list(found.passes_agreed),
        },
        "valid_from": found.valid_from.isoformat(),
        "valid_to": None if found.valid_to is None else found.valid_to.isoformat(),
        "ended_because": found.closed_because,
        "leaf": leaf.hex(),
        "as_it_was_opened": None if found.leaf is None else bytes(found.leaf) == leaf,
    }


def _explain_night(connection: Connection, log: StoredLog, root: bytes, run_id: str) -> dict[str, Any]:
    sequence, _ = log.entry_of_run(run_id)
    text = read_entry(connection, sequence)
    leaf, proof = leaf_hash(text.encode()), inclusion_proof(sequence - 1, log.size, log.node)
    if not inclusion_holds(leaf, sequence - 1, log.size, proof, root):
        raise _broken(f"entry {sequence} of the night {run_id} altered: it is not in the log's tree")
    entry = parse_entry(text)
    if not isinstance(entry.event, NightPublished) or entry.event.run_id != run_id:
        raise _broken(f"entry {sequence}, to which the night {run_id} points, of something else")
    return {
        "event": entry.event.model_dump(mode="json", exclude_none=True),
        "deliveries": [_delivery(delivery) for delivery in read_deliveries_of_run(connection, run_id)],
        "entry": {
            "number": sequence,
            "at": entry.at.isoformat(),
            "by": entry.by,
            "leaf": leaf.hex(),
            "inclusion_proof": [node.hex() for node in proof],
        },
    }


def _delivery(delivery: Any) -> dict[str, Any]:
    return {
        "custodian": delivery.custodian,
        "run_id": delivery.run_id,
        "sequence": delivery.sequence,
        "as_of": delivery.as_of.isoformat(),
        "rows": delivery.row_count,
        "manifest_sha256": delivery.manifest_sha256,
        "protocol_fingerprint": delivery.protocol_fingerprint,
        "key_check_value": delivery.key_check_value,
        "code_version": delivery.code_version,
    }


def _broken(found: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found=found,
        expected="the entry that published the night",
        remedy="Stop publishing, keep a copy of the database, and let an auditor verify it.",
    )
