"""The run ledger: begin, fail, look up, and the lock that lets one run at a time work on a project.

Zone: linkage_unit. The ledger, and not an orchestrator, is the truth about runs. A lock can be lost (a failover,
a stopped process); the fence, checked in the publishing transaction, is what a run that lost it cannot get round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from linkage_core.errors import NightlinkError
from sql.engine import driver_connection
from sql.statements import load_statements
from sql.warehouse.migrate import check_schema_version
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

RunStatus = Literal["running", "published", "failed"]
_statements = partial(load_statements, "sql.warehouse", "ledger.sql")


@dataclass(frozen=True)
class RunDescription:
    """What a run is, before it begins.

    Attributes
    ----------
    run_id : str
        One night of one project: ``[A-Za-z0-9._-]{1,100}``.
    project : str
    as_of : datetime.date
        The day whose state of the sources is linked; links are valid from it.
    custodians : tuple of str
        In the protocol's order; of a link's two records the earlier custodian's is ``record_a``.
    protocol_version : int
    protocol_fingerprint : str
        64 hex digits.
    key_epoch, code_version : str
    resolution : str
        As the protocol's ``decision.resolution``.
    """

    run_id: str
    project: str
    as_of: date
    custodians: tuple[str, ...]
    protocol_version: int
    protocol_fingerprint: str
    key_epoch: str
    code_version: str
    resolution: str = "one_to_one"


@dataclass(frozen=True)
class LedgerRun:
    """A row of ``linkage.link_run``; the last six attributes are None until the run has ended."""

    run_id: str
    project: str
    as_of: date
    custodians: tuple[str, ...]
    resolution: str
    fence: int
    attempts: int
    status: RunStatus
    protocol_version: int
    protocol_fingerprint: str
    key_epoch: str
    code_version: str
    started_at: datetime
    counts: Mapping[str, Any]
    failure_code: str | None
    finished_at: datetime | None
    links_opened: int | None
    links_closed: int | None
    links_kept: int | None
    audit_sequence: int | None
    audit_event_hash: bytes | None

    @property
    def is_published(self) -> bool:
        return self.status == "published"


def begin_run(engine: Engine, description: RunDescription) -> LedgerRun:
    """Enter a run in the ledger, with a fence above all that were handed out for its project.

    A run that is published already is left as it is, and nothing at all is written: ask ``is_published``. A run
    that failed or died begins anew; the staging of dead runs of the project is emptied.

    Raises
    ------
    NightlinkError
        E-RUN-FENCED when a later day is published; E-INPUT when the run id belongs to another night;
        E-WH-SCHEMA when the warehouse is not of this version.
    """
    with warehouse_transaction(engine, doing="beginning a run") as connection:
        check_schema_version(connection)
        parameters = asdict(description) | {"custodians": list(description.custodians)}
        connection.execute(text(_statements()["begin_run"]), parameters)
        run = find_run(connection, description.run_id)
    if run is None:
        raise _vanished()
    return run


def fail_run(engine: Engine, run: LedgerRun, code: str, event: str) -> bool:
    """Enter a run's failure and its ``run_failed`` event; False when the run had ended already.

    Raises
    ------
    NightlinkError
        E-RUN-FENCED when a newer run began: what it entered stands.
    """
    with warehouse_transaction(engine, doing="entering a failure") as connection:
        answer = connection.execute(
            text(_statements()["fail_run"]),
            {"run_id": run.run_id, "fence": run.fence, "code": code, "event": event},
        )
        return bool(answer.scalar_one())


def read_estimates(engine: Engine, run_id: str) -> list[dict[str, Any]]:
    """What a published run said of its own matches: measure, estimator, value, low, high, basis; no truth."""
    with warehouse_transaction(engine, doing="reading a run's estimates") as connection:
        rows = connection.execute(text(_statements()["read_estimates"]), {"run_id": run_id})
        return [dict(row) for row in rows.mappings()]


def read_run(engine: Engine, run_id: str) -> LedgerRun | None:
    """The ledger's row of a run, or None."""
    with warehouse_transaction(engine, doing="reading the ledger") as connection:
        return find_run(connection, run_id)


def find_run(connection: Connection, run_id: str) -> LedgerRun | None:
    """:func:`read_run` inside a transaction of the caller's."""
    row = connection.execute(text(_statements()["read_run"]), {"run_id": run_id}).mappings().one_or_none()
    return None if row is None else _ledger_run(row)


def read_head(engine: Engine, project: str) -> LedgerRun | None:
    """The run whose links a project serves, or None before the first."""
    with warehouse_transaction(engine, doing="reading the ledger") as connection:
        row = (
            connection.execute(text(_statements()["read_head"]), {"project": project})
            .mappings()
            .one_or_none()
        )
    return None if row is None else _ledger_run(row)


def list_runs(engine: Engine, project: str) -> list[LedgerRun]:
    """All runs of a project, in the order of their fences."""
    with warehouse_transaction(engine, doing="reading the ledger") as connection:
        rows = connection.execute(text(_statements()["list_runs"]), {"project": project}).mappings().all()
    return [_ledger_run(row) for row in rows]


@contextmanager
def project_lock(engine: Engine, project: str) -> Iterator[None]:
    """Hold a project's advisory lock, in a session of its own, for the length of the block.

    The session dies with its process, and PostgreSQL frees the lock. It lives on after the engine's deadline,
    which only the taking of the lock is held to.

    Raises
    ------
    NightlinkError
        E-RUN-LOCKED, at once, when another session holds it.
    """
    with warehouse_errors("taking the project's lock"):
        session = engine.execution_options(isolation_level="AUTOCOMMIT").connect()
    try:
        with warehouse_errors("taking the project's lock"):
            taken = session.execute(text(_statements()["try_lock"]), {"key": lock_key(project)}).scalar_one()
            driver_connection(session).disarm()
        if not taken:
            raise _locked()
        yield
    finally:
        with suppress(SQLAlchemyError):  # the session may be gone, and the lock with it
            session.invalidate()
            session.close()


def lock_key(project: str) -> int:
    """The advisory lock's key: the first 8 bytes of a SHA-256, as PostgreSQL's signed bigint."""
    return int.from_bytes(
        hashlib.sha256(b"nightlink project\x00" + project.encode()).digest()[:8], "big", signed=True
    )


def _ledger_run(row: Mapping[Any, Any]) -> LedgerRun:
    values = {field.name: row[field.name] for field in fields(LedgerRun)}
    values["custodians"] = tuple(values["custodians"])
    if values["audit_event_hash"] is not None:
        values["audit_event_hash"] = bytes(values["audit_event_hash"])
    return LedgerRun(**values)


def _locked() -> NightlinkError:
    return NightlinkError(
        "E-RUN-LOCKED",
        found="the project's lock held by another run",
        expected="one run of a project at a time",
        remedy="Nothing is wrong if a night is running; wait for it to end.",
    )


def _vanished() -> NightlinkError:
    return NightlinkError(
        "E-INTERNAL",
        found="no row in the ledger for a run that just began",
        expected="the run's row",
        remedy="Check the linkage loader's privileges.",
    )
