"""Read a custodian's source: one snapshot, streamed in batches, within a deadline. Zone: custodian.

An extract statement declares in comment lines what it counts on, and is refused where that is not so::

    -- reads patient: patient_id text, birth_date date       every column of the table, with its type
    -- may have patient: note text                           columns that may be there or not
    -- returns: source_id, birth_date                        the columns of the result

So a renamed, retyped, removed or added column ends the night with its name, and never with wrong records.
"""

from __future__ import annotations

import itertools
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from linkage_core.custodian.binary_rows import read_binary_rows
from linkage_core.errors import NightlinkError
from sql.engine import (
    DeadlineConnection,
    coded_database_errors,
    driver_connection,
    make_engine,
    retry_transient,
)
from sql.statements import load_statements, read_sql

DEFAULT_RETRY_WINDOW_S = 30.0
_PIECES_AHEAD = 2
_POLL_S = 0.2
_TEXT_TYPE_NUMBERS = frozenset({25, 1042, 1043})  # text, char(n), varchar(n) in pg_type
_DECLARATION = re.compile(r"^--\s*(reads|may have)\s+([\w.]+):(.*)$", re.MULTILINE)
_RETURNS = re.compile(r"^--\s*returns:(.*)$", re.MULTILINE)
_COLUMN = re.compile(r"(\w+)\s+((?:[^,(]|\([^)]*\))+)")
_MOST_NAMES_SHOWN = 20
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SourceSnapshot:
    """An open snapshot; everything streamed from it shows the source at one moment.

    Attributes
    ----------
    taken_at : datetime
        The source's own clock at that moment, with time zone.
    """

    taken_at: datetime
    _connection: Connection = field(repr=False)
    _numbers: Iterator[int] = field(repr=False, default_factory=itertools.count)


@contextmanager
def source_snapshot(
    url: str, deadline_s: float, *, retry_window_s: float = DEFAULT_RETRY_WINDOW_S
) -> Iterator[SourceSnapshot]:
    """Open one REPEATABLE READ, READ ONLY transaction; it ends with the block.

    Parameters
    ----------
    url : str
        ``postgresql://role:password@host:port/database``; appears in no error.
    deadline_s : float
        Seconds from now after which nothing is waited for any longer, be it the connection or a row.
    retry_window_s : float
        Seconds during which a source that cannot be reached is tried again, with doubling pauses.

    Raises
    ------
    NightlinkError
        ``E-SRC-UNAVAILABLE`` within the deadline when the source is down, refuses, or does not answer;
        ``E-SETTINGS`` for a URL that is none.
    """
    deadline = time.monotonic() + deadline_s
    connection, taken_at = retry_transient(
        lambda: _coded(lambda: _open_transaction(url, deadline), "opening a snapshot"),
        window_s=min(retry_window_s, max(deadline_s - 1.0, 0.0)),
    )
    try:
        yield SourceSnapshot(taken_at, connection)
    finally:
        connection.invalidate()  # closes at once: nothing was written, and a hung server needs no goodbye
        connection.close()


def stream_rows(
    snapshot: SourceSnapshot,
    statement_text: str,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    optional: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Run an extract statement through COPY and yield its rows in batches.

    The server runs ahead by two batches, in a thread of its own. One stream at a time may be read from a
    snapshot, and one that is left before its end takes the snapshot's connection with it.

    Parameters
    ----------
    snapshot : SourceSnapshot
        Of :func:`source_snapshot`.
    statement_text : str
        One SELECT whose columns are all text, with the declarations of the module's docstring.
    batch_rows : int
        Most rows to a batch, and so the measure of the memory needed.
    columns : sequence of str, optional
        The columns wanted, in this order; by default all that the statement returns. A column that its
        ``-- returns`` line declares and nobody wants is dropped at once.
    optional : sequence of str
        Those of `columns` that the statement need not return.

    Yields
    ------
    pyarrow.RecordBatch
        At most `batch_rows` rows of nullable utf8 columns, in the statement's order. A source without rows
        gives one empty batch, so that its columns are known.

    Raises
    ------
    NightlinkError
        ``E-SRC-SCHEMA`` with the columns that differ, before the first row; ``E-SRC-UNAVAILABLE`` when the
        source breaks off or the deadline passes.
    """
    if batch_rows < 1:
        raise NightlinkError(
            "E-INPUT", found="a batch of no rows", expected="1 or more", remedy="Correct batch_rows."
        )
    _coded(lambda: _check_tables(snapshot, statement_text), "reading the source's columns")
    description = _coded(lambda: _describe(snapshot, statement_text), "starting to read")
    names = _check_result(description, statement_text, columns, optional)
    wanted = [names.index(name) for name in (columns or names) if name in names]
    with _copied(snapshot, statement_text, batch_rows) as pieces:
        yield from read_binary_rows(pieces, names, wanted, batch_rows)


def read_extract(custodian: str, name: str) -> str:
    """Return a statement that ships with Nightlink, such as ``("hospital", "extract_identifiers")``."""
    if not re.fullmatch(r"[a-z_]+", custodian) or not re.fullmatch(r"[a-z_]+", name):
        raise NightlinkError(
            "E-INPUT", found="a name with other characters than a-z and _", expected="a shipped statement",
            remedy="Name a folder and a file of sql/custodian.",
        )  # fmt: skip
    return read_sql(f"sql.custodian.{custodian}", f"{name}.sql")


# -- the transaction --------------------------------------------------------------------------------------


def _open_transaction(url: str, deadline: float) -> tuple[Connection, datetime]:
    statements = load_statements("sql.custodian", "source.sql")
    remaining_s = max(deadline - time.monotonic(), 0.1)
    engine = make_engine(url, deadline_s=remaining_s, application_name="nightlink extract")
    connection = engine.connect()
    try:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        taken_at = connection.execute(text(statements["take_snapshot"])).scalar_one()
    except DBAPIError:
        connection.invalidate()
        connection.close()
        raise
    return connection, taken_at


def _describe(snapshot: SourceSnapshot, statement_text: str) -> Any:
    """The columns of the statement's result; no row is fetched."""
    name = f"nightlink_extract_{next(snapshot._numbers)}"
    with driver_connection(snapshot._connection).cursor(name=name) as cursor:
        cursor.execute(_one_statement(statement_text))  # no parameters: a % in the statement stays one
        cursor.fetchmany(0)
        return cursor.description


def _one_statement(statement_text: str) -> str:
    return statement_text.strip().rstrip(";")


class _LeftEarlyError(Exception):
    """Nobody reads the rows any more."""


@dataclass
class _CopySink:
    """Where the driver writes rows: gathered into pieces of about a batch, of which few wait to be read."""

    rows_a_piece: int
    pieces: queue.Queue[bytes | Exception | None]
    left: threading.Event
    _rows: list[bytes] = field(default_factory=list)

    def write(self, row: bytes) -> None:
        self._rows.append(row)
        if len(self._rows) >= self.rows_a_piece:
            self.pass_on()

    def pass_on(self) -> None:
        piece, self._rows = b"".join(self._rows), []
        self.put(piece)

    def put(self, piece: bytes | Exception | None) -> None:
        while True:
            if self.left.is_set():
                raise _LeftEarlyError
            with suppress(queue.Full):
                self.pieces.put(piece, timeout=_POLL_S)
                return


@contextmanager
def _copied(snapshot: SourceSnapshot, statement_text: str, rows_a_piece: int) -> Iterator[Iterator[bytes]]:
    """The statement's rows in the binary format of COPY, in pieces, read ahead by a thread."""
    sink = _CopySink(rows_a_piece, queue.Queue(maxsize=_PIECES_AHEAD), threading.Event())
    connection = driver_connection(snapshot._connection)
    thread = threading.Thread(
        target=_copy_into, args=(connection, statement_text, sink), name="nightlink extract", daemon=True
    )
    thread.start()
    try:
        yield _pieces_of(sink)
    finally:
        sink.left.set()
        thread.join(_POLL_S)
        if thread.is_alive():
            connection.arm(
                0.0
            )  # in the middle of a COPY nothing but the end of the connection stops the server
            thread.join()


def _pieces_of(sink: _CopySink) -> Iterator[bytes]:
    while (piece := sink.pieces.get()) is not None:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def _copy_into(connection: DeadlineConnection, statement_text: str, sink: _CopySink) -> None:
    def copy() -> None:
        with connection.cursor() as cursor:
            copied = load_statements("sql.custodian", "source.sql")["copy_rows"]
            cursor.copy_expert(copied.replace(":statement", _one_statement(statement_text)), sink)
        sink.pass_on()

    end: Exception | None = None
    try:
        _coded(copy, "reading rows")
    except _LeftEarlyError:
        return
    except Exception as error:  # whatever it is: who reads the rows must not wait for ever
        end = error
    with suppress(_LeftEarlyError):
        sink.put(end)


def _coded(call: Callable[[], _Result], doing: str) -> _Result:
    """Call; let a coded error out alone, without the driver's error (and its words) as its context."""
    try:
        with coded_database_errors("E-SRC-UNAVAILABLE", doing=doing):
            return call()
    except NightlinkError as error:
        coded = error
    except UnicodeError:
        coded = _schema_error("text that is not in the database's declared encoding", "valid text")
    coded.__context__ = coded.__cause__ = None
    raise coded


# -- the columns ------------------------------------------------------------------------------------------


def _schema_error(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-SRC-SCHEMA",
        found=found,
        expected=expected,
        remedy="Adapt the extract statement and its declarations to the source, or ask for the column back.",
    )


def _declared_tables(statement_text: str) -> dict[str, dict[str, dict[str, str]]]:
    """Return table -> {"reads" | "may have" -> {column -> type}}; lines of one table add up."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for kind, table, listed in _DECLARATION.findall(statement_text):
        columns = {name: " ".join(kept.split()) for name, kept in _COLUMN.findall(listed)}
        tables.setdefault(table, {"reads": {}, "may have": {}})[kind].update(columns)
    return tables


def _check_tables(snapshot: SourceSnapshot, statement_text: str) -> None:
    look_up = text(load_statements("sql.custodian", "source.sql")["table_columns"])
    differences: list[str] = []
    for table, declared in _declared_tables(statement_text).items():
        found = dict(map(tuple, snapshot._connection.execute(look_up, {"table_name": table}).all()))
        differences += (
            _compare_columns(table, found, declared["reads"], declared["may have"])
            if found
            else [f"no table {table}"]
        )
    if differences:
        raise _schema_error(_listed(differences), "the columns that the extract statement declares")


def _compare_columns(
    table: str, found: dict[str, str], required: dict[str, str], optional: dict[str, str]
) -> list[str]:
    known = {**required, **optional}
    return [
        *(f"missing {table}.{name}" for name in required if name not in found),
        *(f"unexpected {table}.{name}" for name in found if name not in known),
        *(
            f"{table}.{name} of type {found[name]} and not {kind}"
            for name, kind in known.items()
            if name in found and found[name] != kind
        ),
    ]


def _check_result(
    description: Any, statement_text: str, columns: Sequence[str] | None, optional: Sequence[str]
) -> list[str]:
    """Return the result's column names once they are those declared and wanted, each once, all text."""
    names = [column.name for column in description]
    declared = [name for line in _RETURNS.findall(statement_text) for name in re.findall(r"\w+", line)]
    required = set(declared or (() if columns else names)) | (set(columns or ()) - set(optional))
    known = set(declared or columns or names)
    differences = [
        *(f"missing {name}" for name in sorted(required - set(names))),
        *(f"unexpected {name}" for name in names if name not in known),
        *(f"{name} twice" for name in sorted({name for name in names if names.count(name) > 1})),
        *(f"{c.name} not text" for c in description if c.type_code not in _TEXT_TYPE_NUMBERS),
    ]
    if differences:
        raise _schema_error(f"a result with {_listed(differences)}", "the columns declared, cast to text")
    return names


def _listed(differences: list[str]) -> str:
    shown = ", ".join(differences[:_MOST_NAMES_SHOWN])
    more = len(differences) - _MOST_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
