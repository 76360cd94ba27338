"""What an auditor reads: events, publications, and the link table of any run. Zone: linkage_unit.

All functions take a connection, so that one snapshot (:func:`sql.warehouse.transactions.warehouse_snapshot`)
covers a whole verification; they stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import Connection, Row, text

from linkage_core.errors import NightlinkError
from sql.statements import load_statements
from sql.warehouse.links import Delivery, EntityRow, LinkRow
from sql.warehouse.transactions import warehouse_errors

_ROWS_PER_FETCH = 5_000
_statements = partial(load_statements, "sql.warehouse", "audit_log.sql")


@dataclass(frozen=True)
class RecordedPublication:
    """A published run, as the ledger has it; ``told`` has the columns :data:`TOLD`, which its entry repeats."""

    TOLD: ClassVar = (
        "run_id", "project", "as_of", "fence", "protocol_version", "protocol_fingerprint", "key_epoch", "code_version"
    )  # fmt: skip

    run_id: str
    told: tuple[Any, ...]
    custodians: tuple[str, ...]
    counts: Mapping[str, Any]
    audit_sequence: int | None
    audit_event_hash: bytes | None


def read_entries(connection: Connection) -> Iterator[tuple[int, str]]:
    """Entries of the log, each with its sequence number, in their order."""
    return ((row.sequence, row.entry) for row in _stream(connection, "read_entries"))


def read_nodes(connection: Connection) -> dict[tuple[int, int], bytes]:
    """The stored nodes of the Merkle tree, by level and position."""
    return {(level, position): bytes(found) for level, position, found in _stream(connection, "read_nodes")}


@dataclass(frozen=True)
class StoredLog:
    """The log's hashes, read out of an open snapshot as they are asked for."""

    connection: Connection
    size: int

    def node(self, level: int, position: int) -> bytes:
        """A complete node of the Merkle tree; E-AUDIT-BROKEN when it is not there."""
        [found] = [*_stream(self.connection, "read_node", level=level, position=position), None][:1]
        if found is None:
            raise _lost(f"node {level}/{position} of the audit log's tree")
        return bytes(found.hash)

    def entry_of_run(self, run_id: str) -> tuple[int, bytes]:
        """Number and leaf hash of a published run's entry, as the ledger has them."""
        [found] = [*_stream(self.connection, "read_entry_of_run", run_id=run_id), None][:1]
        if found is None:
            raise _lost(f"the audit entry of the published run {run_id}")
        return found.audit_sequence, self.node(0, found.audit_sequence - 1)


def read_stored_log(connection: Connection) -> StoredLog:
    """The log as its stored hashes tell it; nothing is checked."""
    [row] = _stream(connection, "read_log_size")
    return StoredLog(connection, row.size)


def read_links_of_run(connection: Connection, run_id: str) -> Iterator[LinkRow]:
    """The link table as a run published it, in ascending order of its two pseudonyms.

    Later nights change nothing about it: a link that they closed is still there, with its end.
    """
    for *link, passes, custodians in _stream(connection, "read_links_of_run", run_id=run_id):
        yield (*link, tuple(passes), *custodians)


def read_entities_of_run(connection: Connection, run_id: str) -> Iterator[EntityRow]:
    """Members of the entities as a run published them, in ascending order of entity and record."""
    for row in _stream(connection, "read_entities_of_run", run_id=run_id):
        yield row[0], row[1], row[2]


def read_link(connection: Connection, link_id: int) -> Row[Any] | None:
    """One link version with its evidence and the runs that opened and closed it, or None."""
    return next(_stream(connection, "read_link", link_id=link_id), None)


def read_entry(connection: Connection, sequence: int) -> str:
    """The text of one entry; E-AUDIT-BROKEN when it is not there."""
    found = next(_stream(connection, "read_entry", sequence=sequence), None)
    if found is None:
        raise _lost(f"entry {sequence} of the audit log")
    return str(found.entry)


def read_link_versions(connection: Connection, project: str) -> Iterator[Row[Any]]:
    """All versions of a project's links, in any order, with the fences of the nights that have them."""
    return _stream(connection, "read_link_versions", project=project)


def read_member_versions(connection: Connection, project: str) -> Iterator[Row[Any]]:
    """All versions of a project's entity members, in any order, with the fences of the nights that have them."""
    return _stream(connection, "read_member_versions", project=project)


def read_buried(connection: Connection, project: str) -> Iterator[Row[Any]]:
    """What is left of a project's rows that were erased or expired: kind, leaves, fences."""
    return _stream(connection, "read_buried", project=project)


def read_sealed_links(connection: Connection, project: str) -> Iterator[Row[Any]]:
    """Leaves of a project's links with people who do not exist, each with the fence of its only night."""
    return _stream(connection, "read_sealed_links", project=project)


def read_sealed_members(connection: Connection, project: str) -> Iterator[Row[Any]]:
    """As :func:`read_sealed_links`, of entity members."""
    return _stream(connection, "read_sealed_members", project=project)


def count_sealed(connection: Connection) -> dict[str, tuple[int, int]]:
    """Links and members of people who do not exist, by run; runs without any are left out."""
    counts = {row.run_id: (row.links, row.members) for row in _stream(connection, "count_sealed")}
    return {run_id: count for run_id, count in counts.items() if any(count)}


def read_all_deliveries(connection: Connection) -> dict[str, dict[str, str]]:
    """The manifests' digests of every run's deliveries, by run and custodian."""
    found: dict[str, dict[str, str]] = {}
    for row in _stream(connection, "read_all_deliveries"):
        found.setdefault(row.run_id, {})[row.custodian] = row.manifest_sha256
    return found


def count_buried(connection: Connection) -> dict[tuple[str, str], int]:
    """How many rows were buried, by project and kind (``link``, ``member``)."""
    return {(row.project, row.kind): row.count for row in _stream(connection, "count_buried")}


def read_publications(connection: Connection) -> list[RecordedPublication]:
    """Published runs, in the order of their audit events."""
    return [
        RecordedPublication(
            row.run_id,
            tuple(getattr(row, name) for name in RecordedPublication.TOLD),
            tuple(row.custodians),
            row.counts,
            row.audit_sequence,
            None if row.audit_event_hash is None else bytes(row.audit_event_hash),
        )
        for row in _stream(connection, "read_publications")
    ]


def read_head_runs(connection: Connection) -> dict[str, str | None]:
    """The run whose links each project serves."""
    rows = _stream(connection, "read_head_runs")
    return {row.project: row.head_run for row in rows}


def read_deliveries_of_run(connection: Connection, run_id: str) -> list[Delivery]:
    """The deliveries that a run compared, in the order of their custodians' names."""
    return [Delivery(*row) for row in _stream(connection, "read_deliveries_of_run", run_id=run_id)]


def _lost(what: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found=f"{what} is gone",
        expected="every hash that the log once had",
        remedy="Stop publishing, keep a copy of the database, and let an auditor verify it.",
    )


def _stream(connection: Connection, name: str, **parameters: str | int) -> Iterator[Row[Any]]:
    with warehouse_errors("reading the audit log and what it covers"):
        options = {"stream_results": True, "max_row_buffer": _ROWS_PER_FETCH}
        yield from connection.execute(text(_statements()[name]), parameters, execution_options=options)
