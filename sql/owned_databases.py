"""Databases with a role of their own on somebody's server, such as Prefect's. Zone: coordinator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import sql as composed
from sqlalchemy.engine import make_url

from sql.engine import coded_database_errors


def create_owned_database(superuser_url: str, name: str, password: str) -> str:
    """Create a role and a database of one name, closed to everybody else, and return the role's URL of it.

    Raises
    ------
    NightlinkError
        E-WH-UNAVAILABLE when the server cannot be reached or has such a role or database already.
    """
    with _admin_cursor(superuser_url, "creating a database") as cursor:
        verifier = psycopg2.extensions.encrypt_password(
            password, name, scope=cursor.connection, algorithm="scram-sha-256"
        )
        identifier = composed.Identifier(name)
        cursor.execute(
            composed.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, composed.Literal(verifier))
        )
        cursor.execute(composed.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
        cursor.execute(composed.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
    url = make_url(superuser_url).set(username=name, password=password, database=name)
    return url.render_as_string(hide_password=False)


def drop_database(superuser_url: str, database: str, role: str | None = None) -> None:
    """Drop a database, and a role that owned nothing else, with whatever is still connected to it."""
    with _admin_cursor(superuser_url, "dropping a database") as cursor:
        cursor.execute(
            composed.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(composed.Identifier(database))
        )
        if role is not None:
            cursor.execute(composed.SQL("DROP ROLE IF EXISTS {}").format(composed.Identifier(role)))


@contextmanager
def _admin_cursor(superuser_url: str, doing: str) -> Iterator[Any]:
    with coded_database_errors("E-WH-UNAVAILABLE", doing=doing):
        connection = psycopg2.connect(superuser_url, connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
