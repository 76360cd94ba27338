"""Bring a warehouse's schema to this version, and check that it is there.

Zone: protocol (every role may check; only ``warehouse_owner`` may migrate). Two kinds of files:

- ``migrations/NNNN_title.sql`` make and change what holds data. Each runs once, in one transaction, and is
  recorded with its SHA-256; a released one is never edited.
- ``schema/*.sql`` (functions), ``views/*.sql`` and ``roles/grants.sql`` hold no data. They can be run again, and
  are, all of them in one transaction, whenever one of them has changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from sqlalchemy import Connection, Engine, text

from linkage_core.errors import NightlinkError
from sql.engine import driver_cursor
from sql.statements import load_statements, read_sql
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_DEFINITIONS = (
    "schema/audit_functions.sql",
    "schema/access_functions.sql",
    "schema/review_functions.sql",
    "schema/erasure_functions.sql",
    "schema/sealed_functions.sql",
    "schema/deletion_functions.sql",
    "schema/ledger_functions.sql",
    "schema/content_functions.sql",
    "roles/row_security.sql",
    "views/research_v1.sql",
    "roles/grants.sql",
)
_statements = partial(load_statements, "sql.warehouse", "migrate.sql")


@dataclass(frozen=True)
class Migration:
    """A numbered migration."""

    number: int
    title: str
    sql: str

    @property
    def sha256(self) -> str:
        return _sha256(self.sql)


@dataclass(frozen=True)
class Definition:
    """A file of functions, views or grants that can be run again."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return _sha256(self.sql)


def shipped_migrations() -> tuple[Migration, ...]:
    """The migrations of this version, by number."""
    names = sorted(entry.name for entry in files("sql.warehouse").joinpath("migrations").iterdir())
    return tuple(
        Migration(int(match[1]), match[2], read_sql("sql.warehouse", f"migrations/{match[0]}"))
        for match in map(_FILE_NAME.fullmatch, names)
        if match
    )


def shipped_definitions() -> tuple[Definition, ...]:
    """The functions, views and grants of this version, in the order in which they are run."""
    return tuple(Definition(name, read_sql("sql.warehouse", name)) for name in _DEFINITIONS)


def apply_migrations(
    owner_engine: Engine,
    migrations: Sequence[Migration] | None = None,
    definitions: Sequence[Definition] | None = None,
) -> list[str]:
    """Bring a database to this version; a second call does nothing.

    Parameters
    ----------
    owner_engine : Engine
        As ``warehouse_owner``, who owns the database. The roles must exist (``sql.warehouse.login_roles``).
    migrations, definitions : optional
        By default those that ship with this version.

    Returns
    -------
    list of str
        Names of what was run, in order; empty when there was nothing to do.

    Raises
    ------
    NightlinkError
        E-WH-SCHEMA when a migration that ran was edited since, or the database is newer than this code;
        E-WH-UNAVAILABLE, transient, when another session held a lock for too long.
    """
    migrations = shipped_migrations() if migrations is None else migrations
    definitions = shipped_definitions() if definitions is None else definitions
    _check_numbering(migrations)
    with _our_turn(owner_engine) as connection:
        run_script(connection, read_sql("sql.warehouse", "migrations/bookkeeping.sql"))
    applied = [f"{m.number:04d}_{m.title}" for m in migrations if _apply_once(owner_engine, m, migrations)]
    return applied + _apply_definitions(owner_engine, definitions)


def check_schema_version(
    connection: Connection,
    migrations: Sequence[Migration] | None = None,
    definitions: Sequence[Definition] | None = None,
) -> None:
    """Refuse to work with a warehouse of another version (E-WH-SCHEMA), be it older, newer or edited."""
    migrations = shipped_migrations() if migrations is None else migrations
    definitions = shipped_definitions() if definitions is None else definitions
    with warehouse_errors("reading the schema's version"):
        recorded = _recorded(connection, "recorded_migrations")
        replaceable = _recorded(connection, "recorded_definitions")
    _check_unedited(recorded, migrations)
    if len(recorded) < len(migrations):
        raise _wrong_version(f"a warehouse at migration {len(recorded)}", f"migration {len(migrations)}")
    if replaceable != {d.name: d.sha256 for d in definitions}:
        raise _wrong_version("functions, views or grants of another version", "those of this version")


@contextmanager
def _our_turn(engine: Engine) -> Iterator[Connection]:
    """A transaction in which this process alone migrates."""
    with warehouse_transaction(engine, doing="migrating the warehouse") as connection:
        run_script(connection, _statements()["wait_our_turn"])
        yield connection


def run_script(connection: Connection, script: str) -> None:
    """Run several statements as they are written: no parameters, so that ``:`` and ``%`` mean themselves."""
    driver_cursor(connection).execute(script)


def _apply_once(engine: Engine, migration: Migration, shipped: Sequence[Migration]) -> bool:
    with _our_turn(engine) as connection:
        recorded = _recorded(connection, "recorded_migrations")
        _check_unedited(recorded, shipped)
        if migration.number in recorded:
            return False
        run_script(connection, migration.sql)
        connection.execute(
            text(_statements()["record_migration"]),
            {"number": migration.number, "title": migration.title, "sha256": migration.sha256},
        )
    return True


def _apply_definitions(engine: Engine, definitions: Sequence[Definition]) -> list[str]:
    with _our_turn(engine) as connection:
        recorded = _recorded(connection, "recorded_definitions")
        if recorded == {d.name: d.sha256 for d in definitions}:
            return []
        connection.execute(text(_statements()["forget_definitions"]))
        for definition in definitions:
            run_script(connection, definition.sql)
            connection.execute(
                text(_statements()["record_definition"]),
                {"name": definition.name, "sha256": definition.sha256},
            )
    return [definition.name for definition in definitions]


def _recorded(connection: Connection, name: str) -> dict[int | str, str]:
    rows = connection.execute(text(_statements()[name]))
    return {row[0]: row[1] for row in rows}


def _check_unedited(recorded: dict[int | str, str], shipped: Sequence[Migration]) -> None:
    known: dict[int | str, str] = {migration.number: migration.sha256 for migration in shipped}
    if max(recorded, default=0) not in known and recorded:
        raise _wrong_version(f"a warehouse at migration {len(recorded)}", f"at most migration {len(shipped)}")
    edited = [str(number) for number, sha256 in recorded.items() if known.get(number) != sha256]
    if edited:
        raise _wrong_version(
            f"another text of migration {', '.join(edited)} than the one that ran",
            "released migrations unedited",
        )


def _check_numbering(migrations: Sequence[Migration]) -> None:
    if [m.number for m in migrations] != list(range(1, len(migrations) + 1)):
        raise _wrong_version("migrations with a gap or a number twice", "0001, 0002 and so on")


def _wrong_version(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-WH-SCHEMA",
        found=found,
        expected=expected,
        remedy="Run `nightlink warehouse migrate` with the version that is to work here, as warehouse_owner.",
    )


def _sha256(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()
