"""Make and fill a source database of the demo or a test; real custodians have theirs. Zone: custodian."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg2.extensions
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql as composed
from sqlalchemy.engine import make_url

from linkage_core.errors import NightlinkError
from sql.engine import coded_database_errors, driver_cursor, make_engine
from sql.statements import load_statements, read_sql

SOURCES = ("hospital", "pharmacy")
_APPLICATION = "nightlink source creation"
# Only a database with this comment is ever dropped: a URL that points at a real source must not lose it.
_OURS = "nightlink demo source"
_ROWS_PER_WRITE = 50_000


def extractor_role(custodian: str) -> str:
    """Return the name of the role that extracts: it may read the source's tables and nothing else."""
    if custodian not in SOURCES:
        raise NightlinkError(
            "E-INPUT",
            found="an unknown custodian",
            expected=" or ".join(SOURCES),
            remedy="Correct the custodian's name.",
        )
    return f"{custodian}_extractor"


def create_source(
    superuser_url: str, custodian: str, extractor_password: str, *, database: str, deadline_s: float = 60.0
) -> str:
    """Create the source's database, tables and extractor role; return the superuser's URL of the database.

    A database of that name that this function made before is dropped first.

    Parameters
    ----------
    superuser_url : str
        Any database of the server, as a role that may create databases and roles.
    custodian : str
        ``hospital`` or ``pharmacy``.
    extractor_password : str
        For the role of :func:`extractor_role`; only its SCRAM verifier travels to the server.
    database : str
        The database's name.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the database exists and is not ours; ``E-SRC-UNAVAILABLE``.
    """
    role = extractor_role(custodian)
    with _autocommit_cursor(superuser_url, deadline_s, "creating a source's database") as cursor:
        _drop_if_ours(cursor, database)
        name = composed.Identifier(database)
        cursor.execute(_statement("create_database", database=name))
        cursor.execute(_statement("mark_database", database=name, mark=composed.Literal(_OURS)))
    url = make_url(superuser_url).set(database=database).render_as_string(hide_password=False)
    with _autocommit_cursor(url, deadline_s, "creating a source's tables") as cursor:
        for script in ("schema.sql", "roles.sql"):
            cursor.execute(read_sql(f"sql.custodian.{custodian}", script))
        verifier = psycopg2.extensions.encrypt_password(
            extractor_password, role, scope=cursor.connection, algorithm="scram-sha-256"
        )
        cursor.execute(
            _statement("set_password", role=composed.Identifier(role), verifier=composed.Literal(verifier))
        )
    return url


def fill_tables(url: str, tables: Mapping[str, pa.Table], *, deadline_s: float = 600.0) -> None:
    """Append each table's rows to the database's table of that name by COPY, all in one transaction.

    Parameters
    ----------
    url : str
        The source's database, as a role that may write.
    tables : mapping of str to pyarrow.Table
        In the order of foreign keys; columns are matched by name, null stays null.

    Raises
    ------
    NightlinkError
        ``E-SRC-UNAVAILABLE``, ``E-SRC-SCHEMA``, or ``E-INTERNAL`` with the SQLSTATE for a row that the table
        refuses; the row is not quoted.
    """
    engine = make_engine(url, deadline_s=deadline_s, application_name=_APPLICATION)
    doing = "filling a source"
    with coded_database_errors("E-SRC-UNAVAILABLE", doing=doing), engine.begin() as connection:
        cursor = driver_cursor(connection)
        for name, rows in tables.items():
            columns = composed.SQL(", ").join(map(composed.Identifier, rows.column_names))
            copy = _statement("copy_rows", table=composed.Identifier(name), columns=columns)
            for batch in rows.to_batches(max_chunksize=_ROWS_PER_WRITE):
                cursor.copy_expert(copy, io.BytesIO(_as_csv(batch)))
        for name in tables:
            cursor.execute(_statement("analyze_table", table=composed.Identifier(name)))


def _statement(statement: str, /, **parts: composed.Composable) -> composed.Composed:
    return composed.SQL(load_statements("sql.custodian", "source_creation.sql")[statement]).format(**parts)


def _as_csv(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    # Every value quoted, every null bare: so COPY tells an empty text from none
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(batch, sink, options)
    return bytes(sink.getvalue())


@contextmanager
def _autocommit_cursor(url: str, deadline_s: float, doing: str) -> Iterator[psycopg2.extensions.cursor]:
    engine = make_engine(url, deadline_s=deadline_s, application_name=_APPLICATION)
    with (
        coded_database_errors("E-SRC-UNAVAILABLE", doing=doing),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        yield driver_cursor(connection)


def _drop_if_ours(cursor: psycopg2.extensions.cursor, database: str) -> None:
    cursor.execute(_statement("describe_database", name=composed.Literal(database)))
    found = cursor.fetchone()
    if found is None:
        return
    if found[0] != _OURS:
        raise NightlinkError(
            "E-INPUT",
            found=f"a database {database} that the demo did not make",
            expected="a name that is free, or a database of an earlier demo",
            remedy="Choose another name, or another server.",
        )
    cursor.execute(_statement("drop_database", database=composed.Identifier(database)))
