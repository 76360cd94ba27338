"""Deletions of encodings: each entered once, with its audit event. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from sqlalchemy import Engine, text

from sql.statements import load_statements
from sql.warehouse.transactions import warehouse_transaction

DeletedAt = Literal["custodian", "linkage_unit"]
_statements = partial(load_statements, "sql.warehouse", "deletions.sql")


@dataclass(frozen=True)
class DeletedEncodings:
    """Whose delivery, by its manifest's digest, of which epoch, and who deleted its encodings."""

    custodian: str
    manifest_sha256: str
    deleted_at: DeletedAt
    key_epoch: str


def known_deletions(engine: Engine, project: str) -> set[tuple[str, str, str]]:
    """Custodian, manifest digest and party of every deletion that the log has."""
    with warehouse_transaction(engine, doing="reading what was deleted") as connection:
        rows = connection.execute(text(_statements()["known_deletions"]), {"project": project}).all()
    return {(row.custodian, row.manifest_sha256, row.deleted_at) for row in rows}


def record_deletion(engine: Engine, project: str, deleted: DeletedEncodings, event: str) -> bool:
    """Enter one with its ``encodings_deleted`` event; False when it is there already."""
    with warehouse_transaction(engine, doing="entering a deletion") as connection:
        key = {"project": project, **asdict(deleted), "event": event}
        return bool(connection.execute(text(_statements()["record_deletion"]), key).scalar_one())
