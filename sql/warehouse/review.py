"""Held nights and their approval, possible matches and what reviewers said of them. Zone: linkage_unit.

Reviewers have login roles of their own (``<person>_reviewer``); the database takes a person's name from the login.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from linkage_core.errors import NightlinkError
from sql.statements import load_statements
from sql.warehouse.ledger import LedgerRun
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

_statements = partial(load_statements, "sql.warehouse", "review.sql")


@dataclass(frozen=True)
class HeldNight:
    """A night that stopped before publication; ``persons`` approved so far, in order."""

    run_id: str
    project: str
    findings_sha256: str
    findings: Sequence[Mapping[str, Any]]
    persons: tuple[str, ...]


@dataclass(frozen=True)
class OpenPair:
    """A possible match that this login has not judged."""

    pair_id: int
    custodian_a: str
    custodian_b: str
    score_band: str
    evidence: Sequence[Mapping[str, Any]]


def recent_shapes(engine: Engine, run: LedgerRun, most: int) -> list[Mapping[str, Any]]:
    """Each custodian's part of the summaries of the last published nights under the run's protocol, newest first."""
    parameters = {
        "project": run.project,
        "protocol_fingerprint": run.protocol_fingerprint,
        "run_id": run.run_id,
        "most": most,
    }
    with warehouse_transaction(engine, doing="reading the last nights") as connection:
        return [row.custodians or {} for row in _run(connection, "recent_shapes", **parameters)]


def approvals(engine: Engine, run: LedgerRun, findings_sha256: str) -> tuple[str, ...]:
    """Persons who approved exactly these findings of the run, in order."""
    with warehouse_transaction(engine, doing="reading approvals") as connection:
        rows = _run(connection, "approvals", run_id=run.run_id, findings_sha256=findings_sha256)
        return tuple(row[0] for row in rows)


def hold_night(
    engine: Engine, run: LedgerRun, findings_sha256: str, findings: Sequence[Mapping[str, Any]], event: str
) -> None:
    """Enter that the run stopped before publication; E-RUN-FENCED when a newer run began."""
    with warehouse_transaction(engine, doing="holding a night") as connection:
        _run(
            connection, "hold_night", run_id=run.run_id, fence=run.fence, findings_sha256=findings_sha256,
            findings=json.dumps(list(findings)), event=event,
        )  # fmt: skip


def held_nights(engine: Engine) -> list[HeldNight]:
    """All that were held, in order; as a reviewer."""
    with warehouse_transaction(engine, doing="reading held nights") as connection:
        rows = _run(connection, "held_nights")
        return [HeldNight(r.run_id, r.project, r.findings_sha256, r.findings, tuple(r.persons)) for r in rows]


def approve_night(
    engine: Engine, run_id: str, reason: str, make_event: Callable[[HeldNight, str], str]
) -> tuple[str, ...]:
    """Approve the newest findings of a held night, as the person of the login; returns all who did so far.

    Raises
    ------
    NightlinkError
        E-INPUT when the night is not held, or this person approved it before.
    """
    held = [night for night in held_nights(engine) if night.run_id == run_id]
    if not held:
        raise NightlinkError(
            "E-INPUT", found="a night that is not held", expected="one of those that `nightlink review held` lists",
            remedy="Check the night's date.",
        )  # fmt: skip
    with warehouse_transaction(engine, doing="approving a night") as connection:
        [(person,)] = _run(connection, "who_am_i")
        _run(
            connection, "approve_night", run_id=run_id, findings_sha256=held[-1].findings_sha256, reason=reason,
            event=make_event(held[-1], person),
        )  # fmt: skip
    return (*held[-1].persons, person)


def queue_pairs(connection: Connection, run: LedgerRun, pairs: Sequence[Mapping[str, Any]]) -> None:
    """The night's possible matches, inside the transaction that publishes it."""
    with warehouse_errors("queueing pairs for review"):
        _run(connection, "queue_pairs", run_id=run.run_id, fence=run.fence, pairs=json.dumps(list(pairs)))


def open_pairs(engine: Engine, project: str, most: int) -> list[OpenPair]:
    """Pairs that this login has not judged; those that another one has come first."""
    with warehouse_transaction(engine, doing="reading the review queue") as connection:
        return [
            OpenPair(**row._mapping) for row in _run(connection, "open_pairs", project=project, most=most)
        ]


def decide_pair(
    engine: Engine, pair_id: int, verdict: str, reason: str, make_event: Callable[[str, str], str]
) -> str:
    """Record a verdict as the person of the login, whose name is returned; ``make_event`` gets project and person."""
    with warehouse_transaction(engine, doing="recording a verdict") as connection:
        [(project,)] = _run(connection, "project_of_pair", pair_id=pair_id)
        [(person,)] = _run(connection, "who_am_i")
        event = make_event(project or "none", person)
        _run(connection, "decide_pair", pair_id=pair_id, verdict=verdict, reason=reason, event=event)
    return str(person)


def read_verdicts(engine: Engine, project: str) -> list[Mapping[Any, Any]]:
    """The latest word of each person on each pair, in the order of the decisions."""
    with warehouse_transaction(engine, doing="reading reviewers' decisions") as connection:
        return [dict(row._mapping) for row in _run(connection, "verdicts", project=project)]


def _run(connection: Connection, statement: str, **parameters: Any) -> Sequence[Any]:
    return connection.execute(text(_statements()[statement]), parameters).all()
