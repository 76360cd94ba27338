"""People who do not exist: named by a custodian's content role, counted by the publication. Zone: protocol.

A custodian names them before it delivers; the linkage unit reads counts once its night is published, never names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from sql.statements import load_statements
from sql.warehouse.migrate import check_schema_version
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

_statements = partial(load_statements, "sql.warehouse", "sealed.sql")


@dataclass(frozen=True)
class UnsealedCounts:
    """What became of the people who do not exist, between two custodians, and of the real ones.

    Attributes
    ----------
    sealed_a, sealed_b : int
        People who do not exist, of each side's ``rows_a`` and ``rows_b`` delivered ones.
    null_a, null_b, null_matched_a, null_matched_b : int
        Null people, and those of them that were matched with a real record.
    canary_pairs, canary_matches : int
        Pairs that both sides delivered, and those of them that were matched with each other.
    matches_left : int
        Matches of two real records.
    """

    custodian_a: str
    custodian_b: str
    sealed_a: int
    sealed_b: int
    null_a: int
    null_b: int
    null_matched_a: int
    null_matched_b: int
    canary_pairs: int
    canary_matches: int
    matches_left: int
    rows_a: int
    rows_b: int


def name_sealed_people(
    engine: Engine, *, run_id: str, as_of: date, people: Sequence[tuple[str, int | None]], event: str
) -> None:
    """Name the people of a custodian's delivery who do not exist, in place of those named before.

    Parameters
    ----------
    engine : Engine
        As the custodian's content loader.
    people : sequence of (record pseudonym as UUID text, number of the canary pair or None)
    event : str
        The canonical ``people_sealed`` event.

    Raises
    ------
    NightlinkError
        E-RUN-FENCED when the night is published; E-WH-SCHEMA for a role that is no content loader; E-WH-UNAVAILABLE.
    """
    rows = [{"record": record, "canary": canary} for record, canary in people]
    with warehouse_transaction(engine, doing="naming sealed people") as connection:
        check_schema_version(connection)
        connection.execute(
            text(_statements()["seal_people"]),
            {"run_id": run_id, "as_of": as_of, "people": json.dumps(rows), "event": event},
        )


def read_unsealed(connection: Connection, run_id: str) -> list[UnsealedCounts]:
    """The counts of a published night, by custodians; empty for a night without such people."""
    with warehouse_errors("reading unsealed counts"):
        rows = connection.execute(text(_statements()["read_unsealed"]), {"run_id": run_id})
        return [UnsealedCounts(**row) for row in rows.mappings()]


def unsealed_of_run(engine: Engine, run_id: str) -> list[UnsealedCounts]:
    """:func:`read_unsealed` in a transaction of its own."""
    with warehouse_transaction(engine, doing="reading unsealed counts") as connection:
        return read_unsealed(connection, run_id)


def record_unsealed(
    connection: Connection, run_id: str, fence: int, estimates: Sequence[Mapping[str, Any]]
) -> None:
    """Keep what the counts say of precision and recall beside the night's other estimates."""
    with warehouse_errors("recording unsealed estimates"):
        connection.execute(
            text(_statements()["record_unsealed"]),
            {"run_id": run_id, "fence": fence, "estimates": json.dumps(list(estimates), allow_nan=False)},
        )
