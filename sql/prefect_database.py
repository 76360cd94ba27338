"""Prefect's own role and database on the warehouse's server; it shares nothing with the warehouse.

Zone: coordinator.
"""

from __future__ import annotations

import psycopg2
import psycopg2.extensions
from psycopg2 import sql as composed
from sqlalchemy.engine import make_url

from sql.engine import coded_database_errors

ROLE = DATABASE = "prefect"


def create_prefect_database(superuser_url: str, password: str) -> str:
    """Create the role and its database on a fresh server, and return the URL that Prefect uses.

    Raises
    ------
    NightlinkError
        E-WH-UNAVAILABLE when the server cannot be reached or has such a role already.
    """
    with coded_database_errors("E-WH-UNAVAILABLE", doing="creating Prefect's database"):
        connection = psycopg2.connect(superuser_url)
        try:
            connection.autocommit = True
            verifier = psycopg2.extensions.encrypt_password(
                password, ROLE, scope=connection, algorithm="scram-sha-256"
            )
            role, database = composed.Identifier(ROLE), composed.Identifier(DATABASE)
            with connection.cursor() as cursor:
                cursor.execute(
                    composed.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, composed.Literal(verifier))
                )
                cursor.execute(composed.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
                cursor.execute(composed.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        finally:
            connection.close()
    url = make_url(superuser_url).set(username=ROLE, password=password, database=DATABASE)
    return url.render_as_string(hide_password=False)
