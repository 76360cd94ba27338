"""A warehouse for each test module, on the session's one server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg2
import pytest

from sql.servers import PostgresServer
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse
from tests.integration.warehouse.warehouse_nights import CONTENT_TABLES, NUMBERS, Nights, Warehouse


@pytest.fixture(scope="session")
def warehouse_passwords() -> dict[str, str]:
    """Roles belong to the whole server: one password each for the session."""
    return {role: secrets.token_urlsafe(16) for role in [*FIXED_ROLES, *map(content_role, CONTENT_TABLES)]}


@pytest.fixture(scope="module")
def warehouse(postgres_server: PostgresServer, warehouse_passwords: dict[str, str]) -> Iterator[Warehouse]:
    """A warehouse, installed as an administrator would, in a database of its own."""
    database = f"warehouse_{secrets.token_hex(4)}"
    urls = install_warehouse(postgres_server.superuser_url(), database, warehouse_passwords, CONTENT_TABLES)
    yield Warehouse(urls, postgres_server.superuser_url(database))
    connection = psycopg2.connect(postgres_server.superuser_url())
    connection.autocommit = True
    connection.cursor().execute(f"DROP DATABASE {database} WITH (FORCE)")
    connection.close()


@pytest.fixture
def nights(warehouse: Warehouse) -> Nights:
    """A project that no other test uses."""
    return Nights(warehouse, f"project_{next(NUMBERS)}")
