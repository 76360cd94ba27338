"""Content into the warehouse, by a custodian's own content role, apart from encodings and links.

Zone: custodian. The role can stage rows and publish what it staged; it can read nothing of the warehouse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Literal

from sqlalchemy import Engine, text

from linkage_core.errors import NightlinkError
from sql.copy_rows import CopyValue, copy_rows
from sql.statements import load_statements
from sql.warehouse.migrate import check_schema_version
from sql.warehouse.transactions import warehouse_transaction

AdmissionRow = tuple[str, date, date | None, str | None]
"""Record pseudonym as UUID text, admitted, discharged, diagnosis code."""
DispensingRow = tuple[str, date, str, int | Decimal | None]
"""Record pseudonym as UUID text, dispensed, ATC code, quantity."""
CONTENT_TABLES = ("admission", "dispensing")

_statements = partial(load_statements, "sql.warehouse", "content.sql")


@dataclass(frozen=True)
class ContentLoad:
    """What a load did.

    Attributes
    ----------
    status : str
        ``loaded``, or ``unchanged`` when this run had loaded the same rows before.
    rows : mapping of str to int
        By table.
    digest : str
        64 hex digits over the tables' names and their COPY lines, in the order given.
    audit_sequence : int
        Of the load's entry in the audit log (of the earlier load, when unchanged).
    """

    status: Literal["loaded", "unchanged"]
    rows: Mapping[str, int]
    digest: str
    audit_sequence: int


def load_content(
    engine: Engine,
    *,
    run_id: str,
    as_of: date,
    tables: Mapping[str, Iterable[tuple[CopyValue, ...]]],
    make_event: Callable[[str, Mapping[str, int]], str],
) -> ContentLoad:
    """Bring a custodian's content of a night, with an audit event, in one transaction.

    Readers go on seeing the version that is served, until :func:`sql.warehouse.links.publish_links` publishes the
    night and this one with it. Versions that no night published are removed. Who the custodian is, the warehouse
    knows from the login.

    Parameters
    ----------
    engine : Engine
        As the custodian's content loader.
    tables : mapping of str to iterable
        ``admission`` to :data:`AdmissionRow`, ``dispensing`` to :data:`DispensingRow`: those that the custodian
        may load. Streamed; a stable order gives a stable digest.
    make_event : callable
        From digest and rows by table to the canonical ``content_loaded`` event, whose ``manifest_sha256`` is the
        digest.

    Raises
    ------
    NightlinkError
        E-RUN-FENCED when content of a later day is there; E-INPUT for rows without a pseudonym, date or code;
        E-WH-SCHEMA for a table that the role may not load, or a warehouse of another version;
        E-WH-UNAVAILABLE.
    """
    _check_tables(tables)
    with warehouse_transaction(engine, doing="loading content") as connection:
        check_schema_version(connection)
        connection.execute(text(_statements()["empty_staging"]))
        rows, digest = {}, hashlib.sha256()
        for table in sorted(tables):
            staged = copy_rows(connection, _statements()[f"stage_{table}"], tables[table])
            rows[table] = staged.row_count
            digest.update(f"{table} {staged.row_count} {staged.digest()}\n".encode())
        published = connection.execute(
            text(_statements()["publish_content"]),
            {
                "run_id": run_id,
                "as_of": as_of,
                "digest": digest.hexdigest(),
                "row_count": sum(rows.values()),
                "event": make_event(digest.hexdigest(), rows),
            },
        )
        status, audit_sequence = published.one()
    return ContentLoad(status, rows, digest.hexdigest(), audit_sequence)


def _check_tables(tables: Mapping[str, object]) -> None:
    unknown = sorted(set(tables) - set(CONTENT_TABLES))
    if unknown or not tables:
        raise NightlinkError(
            "E-INPUT",
            found=f"content tables {unknown}" if unknown else "no content table",
            expected=f"one or more of {', '.join(CONTENT_TABLES)}",
            remedy="Correct content_table in the custodian's settings.",
        )
