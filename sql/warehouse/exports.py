"""Rows for files, streamed in one snapshot as a research project. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from sql.statements import load_statements
from sql.warehouse.transactions import warehouse_errors, warehouse_snapshot

_ROWS_PER_FETCH = 5_000
_statements = partial(load_statements, "sql.warehouse", "exports.sql")


@contextmanager
def research_snapshot(engine: Engine) -> Iterator[Connection]:
    """One moment of the warehouse, without the researcher's limit on a statement's time: the engine has a deadline."""
    with warehouse_snapshot(engine, doing="reading for an export") as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield connection


def stream_rows(connection: Connection, name: str, **parameters: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a statement of exports.sql, in its order."""
    options = {"stream_results": True, "max_row_buffer": _ROWS_PER_FETCH}
    with warehouse_errors("reading for an export"):
        rows = connection.execute(text(_statements()[name]), parameters, execution_options=options)
        yield from (tuple(row) for row in rows)
