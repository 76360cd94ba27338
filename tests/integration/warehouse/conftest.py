"""A warehouse for each test module, on the session's one server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg2
import pytest

from sql.servers import PostgresServer
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse, reviewer_role
from tests.integration.warehouse.warehouse_nights import (
    CONTENT_TABLES,
    NUMBERS,
    RESEARCH_ROLES,
    REVIEWERS,
    Nights,
    Warehouse,
)


@pytest.fixture(scope="session")
def warehouse_passwords() -> dict[str, str]:
    """Roles belong to the whole server: one password each for the session."""
    roles = {
        *FIXED_ROLES,
        *map(content_role, CONTENT_TABLES),
        *RESEARCH_ROLES,
        *map(reviewer_role, REVIEWERS),
    }
    return {role: secrets.token_urlsafe(16) for role in roles}


@pytest.fixture(scope="session")
def installed_urls(postgres_server: PostgresServer, warehouse_passwords: dict[str, str]) -> dict[str, str]:
    """A warehouse, installed as an administrator would; what the modules' own are copied from."""
    research: dict[str, list[str]] = {role: [] for role in RESEARCH_ROLES}
    database = f"installed_{secrets.token_hex(4)}"
    return install_warehouse(
        postgres_server.superuser_url(), database, warehouse_passwords, CONTENT_TABLES, research, REVIEWERS
    )


@pytest.fixture(scope="module")
def warehouse(postgres_server: PostgresServer, installed_urls: dict[str, str]) -> Iterator[Warehouse]:
    """A warehouse in a database of its own."""
    installed = installed_urls["auditor"].rpartition("/")[2]
    database = f"warehouse_{secrets.token_hex(4)}"
    connection = psycopg2.connect(postgres_server.superuser_url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        # A template must have no sessions, and gives its copy everything but who may connect.
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (installed,)
        )
        cursor.execute(f"CREATE DATABASE {database} OWNER warehouse_owner TEMPLATE {installed}")
        cursor.execute(
            "UPDATE pg_database SET datacl = (SELECT datacl FROM pg_database WHERE datname = %s) WHERE datname = %s",
            (installed, database),
        )
        urls = {role: url.rpartition("/")[0] + f"/{database}" for role, url in installed_urls.items()}
        yield Warehouse(urls, postgres_server.superuser_url(database))
        cursor.execute(f"DROP DATABASE {database} WITH (FORCE)")
    connection.close()


@pytest.fixture
def nights(warehouse: Warehouse) -> Nights:
    """A project that no other test uses."""
    return Nights(warehouse, f"project_{next(NUMBERS)}")
