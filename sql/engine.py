"""Database engines with a deadline, and database errors without their words.

Zone: protocol (both sides use it). Two promises live here:

- **A call ends.** ``statement_timeout`` is the server's word, and a server that hangs keeps no word; keepalives
  are answered by a hung server's kernel. So every connection carries a watchdog of ours, which shuts the
  socket down when the deadline has passed, whatever the connection waits for (also in the middle of a COPY).
- **No value in words.** A database's message may quote a row ("Failing row contains ..."), and a driver's
  may quote SQL and parameters. What leaves this module is the SQLSTATE and nothing else.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, TypeVar

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from linkage_core.errors import NightlinkError

UnavailableCode = Literal["E-SRC-UNAVAILABLE", "E-WH-UNAVAILABLE"]

LONGEST_CONNECT_S = 10
# SQLSTATE classes after which the same call, made again, may succeed: the connection broke, the server was
# stopped by an operator or crashed, or the transaction lost a race.
TRANSIENT_PREFIXES = ("08", "57P", "40")
# Classes that say "this is not the database that the code was written for": undefined table, no privilege.
_SCHEMA_CLASSES = ("42", "3F", "3D", "0A")
_UNAVAILABLE_CLASSES = ("08", "25", "28", "40", "53", "54", "55", "57", "58")

_Result = TypeVar("_Result")


class DeadlineConnection(psycopg2.extensions.connection):
    """A psycopg2 connection whose socket is shut down when its deadline has passed.

    The watchdog owns a duplicate of the file descriptor: should the connection be closed and the number be
    used again by another socket, the watchdog can still only reach its own.
    """

    _watched: socket.socket | None = None
    _timer: threading.Timer | None = None

    def arm(self, seconds: float) -> None:
        """(Re)start the countdown: ``seconds`` from now the socket is shut down."""
        self.disarm()
        self._watched = socket.socket(fileno=os.dup(self.fileno()))
        self._timer = threading.Timer(max(seconds, 0.0), _shut_down, args=(self._watched,))
        self._timer.daemon = True
        self._timer.start()

    def disarm(self) -> None:
        """Stop the countdown, for a session that only waits (a held lock)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watched is not None:
            self._watched.close()
            self._watched = None

    def close(self) -> None:
        self.disarm()
        super().close()


def _shut_down(watched: socket.socket) -> None:
    with suppress(OSError):  # closed a moment ago: nothing left to end
        watched.shutdown(socket.SHUT_RDWR)


def make_engine(url: str | URL, *, deadline_s: float, application_name: str) -> Engine:
    """An engine whose every connection lives at most ``deadline_s`` seconds, connecting included.

    Parameters
    ----------
    url : str or sqlalchemy.URL
        ``postgresql://user:password@host:port/database``.
    deadline_s : float
        Seconds that one connection may live. There is no pool: a connection is one call.
    application_name : str
        Shown by the server; never a value of a record.

    Returns
    -------
    sqlalchemy.Engine
        psycopg2, no pool, parameters hidden from messages, sessions in UTC.

    Raises
    ------
    NightlinkError
        E-SETTINGS when the URL is not one of PostgreSQL; the URL itself, holding a password, is not repeated.
    """
    engine = create_engine(
        _postgresql_url(url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=connection_arguments(deadline_s, application_name),
    )
    event.listen(engine, "do_connect", _connect_within(deadline_s))
    return engine


def _postgresql_url(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise NightlinkError(
            "E-SETTINGS",
            found="a database URL that does not begin with postgresql:// or cannot be read",
            expected="postgresql://user:password@host:port/database",
            remedy="Correct the URL in the settings file.",
        ) from None
    return parsed.set(drivername="postgresql+psycopg2")


def connection_arguments(deadline_s: float, application_name: str) -> dict[str, Any]:
    """What libpq is told: how long to wait for what, so that it gives up before the watchdog must.

    ``connect_timeout`` counts per address, and a name such as ``localhost`` stands for two: half the
    deadline. ``idle_in_transaction_session_timeout`` ends, on the server's side, a transaction whose client
    was stopped while holding row locks.
    """
    deadline_ms = ceil(deadline_s * 1000)
    server_settings = {
        "statement_timeout": deadline_ms,
        "lock_timeout": deadline_ms,
        "idle_in_transaction_session_timeout": deadline_ms,
        "timezone": "UTC",
        "datestyle": "ISO",
    }
    return {
        "application_name": application_name,
        "client_encoding": "utf8",
        "connect_timeout": max(1, min(LONGEST_CONNECT_S, int(deadline_s / 2))),
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": min(deadline_ms, 30_000),
        "options": " ".join(f"-c {name}={value}" for name, value in server_settings.items()),
    }


def _connect_within(deadline_s: float) -> Callable[..., DeadlineConnection]:
    def connect(
        _dialect: Any, _record: Any, arguments: list[Any], parameters: dict[str, Any]
    ) -> DeadlineConnection:
        began = time.monotonic()
        connection: DeadlineConnection = psycopg2.connect(
            *arguments, connection_factory=DeadlineConnection, **parameters
        )
        connection.arm(deadline_s - (time.monotonic() - began))
        return connection

    return connect


@dataclass(frozen=True)
class DatabaseFault:
    """What may be said of a database error.

    Attributes
    ----------
    sqlstate : str or None
        Five characters, or None when the connection failed before the server gave one.
    transient : bool
        True when the same call, made again, may succeed.
    kind : str
        ``connection``, ``refused`` (credentials), ``schema``, ``unavailable`` or ``other``.
    """

    sqlstate: str | None
    transient: bool
    kind: str


def describe_database_error(error: BaseException) -> DatabaseFault:
    """Classify an error of SQLAlchemy or psycopg2 by its SQLSTATE alone."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    sqlstate = getattr(cause, "pgcode", None)
    if sqlstate is None:
        return _describe_without_sqlstate(cause)
    transient = sqlstate.startswith(TRANSIENT_PREFIXES)
    if sqlstate[:2] in _SCHEMA_CLASSES:
        return DatabaseFault(sqlstate, transient, "schema")
    kind = "unavailable" if sqlstate[:2] in _UNAVAILABLE_CLASSES else "other"
    return DatabaseFault(sqlstate, transient, kind)


def _describe_without_sqlstate(cause: BaseException) -> DatabaseFault:
    # libpq hands on no SQLSTATE for a refused start-up; its words are read here, and go no further.
    if isinstance(cause, psycopg2.OperationalError) and "authentication failed" in str(cause):
        return DatabaseFault(None, False, "refused")
    lost = isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError)
    broken = type(cause) is psycopg2.DatabaseError  # libpq lost the server in the middle of a COPY
    return DatabaseFault(None, lost or broken, "connection" if lost or broken else "other")


@contextmanager
def coded_database_errors(unavailable: UnavailableCode, *, doing: str) -> Iterator[None]:
    """Turn what a database or its driver raises into a coded error without SQL, parameters or server's words.

    Parameters
    ----------
    unavailable : str
        ``E-SRC-UNAVAILABLE`` for a custodian's source, ``E-WH-UNAVAILABLE`` for the warehouse.
    doing : str
        What was being done, for the message ("reading admissions").
    """
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        coded = coded_error(describe_database_error(error), unavailable, doing)
    else:
        return
    raise coded from None


def coded_error(fault: DatabaseFault, unavailable: UnavailableCode, doing: str) -> NightlinkError:
    """The coded error for a fault: unavailable, of the schema, or unforeseen, by its SQLSTATE's class."""
    source = unavailable == "E-SRC-UNAVAILABLE"
    place, schema = ("source", "E-SRC-SCHEMA") if source else ("warehouse", "E-WH-SCHEMA")
    state = f"SQLSTATE {fault.sqlstate}" if fault.sqlstate else "no answer from the server"
    if fault.kind == "refused":
        state = "the server refused the credentials"
    if fault.kind == "schema":
        return NightlinkError(
            schema,
            found=f"{state} while {doing}",
            expected=f"the tables, columns and privileges of the {place} that this version counts on",
            remedy="Compare the settings with the database; for the warehouse, run its migrations.",
        )
    if fault.kind == "other":
        return NightlinkError(
            "E-INTERNAL",
            found=f"{state} while {doing}",
            expected=f"the {place} to accept the statement",
            remedy="Look the SQLSTATE up in PostgreSQL's manual, and in the server's own log for the time.",
        )
    return NightlinkError(
        unavailable,
        found=f"{state} while {doing}",
        expected=f"the {place} to answer within the deadline",
        remedy=f"Check the {place}'s address, credentials and health; then run the night again.",
        transient=fault.transient,
    )


def driver_cursor(connection: Connection) -> psycopg2.extensions.cursor:
    """A psycopg2 cursor inside the SQLAlchemy connection's transaction, for COPY."""
    return connection.connection.cursor()


def driver_connection(connection: Connection) -> DeadlineConnection:
    """The psycopg2 connection below a SQLAlchemy connection."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, DeadlineConnection):
        raise NightlinkError(
            "E-INTERNAL",
            found=f"a connection of type {type(raw).__name__}",
            expected="an engine made by sql.engine.make_engine",
            remedy="Make the engine with make_engine.",
        )
    return raw


def retry_transient(
    call: Callable[[], _Result],
    *,
    window_s: float,
    first_pause_s: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _Result:
    """Call until it succeeds, fails for good, or the next attempt would begin after ``window_s`` seconds.

    Only errors marked transient are tried again; pauses double from ``first_pause_s``. The last error is
    raised.
    """
    began, pause = clock(), first_pause_s
    while True:
        try:
            return call()
        except NightlinkError as error:
            if not error.transient or clock() - began + pause > window_s:
                raise
        sleep(pause)
        pause *= 2
