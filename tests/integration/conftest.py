"""One real PostgreSQL server for all integration tests, and databases of their own inside it."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql as composed

from sql.servers import PostgresServer


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data: pytest's own is 0700, which `nobody` could not pass as root's server."""
    folder = Path(tempfile.mkdtemp(prefix="nightlink-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    """A running server, fsync off; ``superuser_url(database)`` and ``url(role, password, database)``."""
    server = PostgresServer.create(
        server_folder / "shared", superuser_password=secrets.token_urlsafe(16), fsync=False
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fresh_database(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """Factory ``fresh_database(prefix="test") -> superuser's URL`` of a new database, dropped afterwards.

    Roles belong to the whole server: they stay from test to test.
    """
    made: list[str] = []
    counter = itertools.count()

    def run(statement: composed.Composed) -> None:
        connection = psycopg2.connect(postgres_server.superuser_url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    def make(prefix: str = "test") -> str:
        name = f"{prefix}_{secrets.token_hex(4)}_{next(counter)}"
        run(composed.SQL("CREATE DATABASE {} TEMPLATE template0").format(composed.Identifier(name)))
        made.append(name)
        return postgres_server.superuser_url(name)

    yield make
    for name in made:
        run(composed.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(composed.Identifier(name)))
