"""`nightlink warehouse` as an administrator and a researcher type it, on a server of its own."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from sql.servers import PostgresServer


@pytest.fixture(scope="module")
def own_server(server_folder: Path) -> Iterator[PostgresServer]:
    """Passwords of roles change here, so the server is not the shared one."""
    with PostgresServer.create(server_folder / "commands", superuser_password="first", fsync=False) as server:
        yield server


@pytest.fixture(scope="module")
def secrets_folder(own_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    admin = folder / "admin.url"
    admin.write_text(own_server.superuser_url())
    admin.chmod(0o600)
    outcome = _nightlink("install", "--admin-url-file", str(admin), "--secrets", str(folder / "secrets"))
    assert outcome.returncode == 0, outcome.stderr
    return folder / "secrets"


def _nightlink(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.command_line", "warehouse", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_install_writes_a_private_url_file_for_each_role(secrets_folder: Path) -> None:
    files = sorted(path.name for path in secrets_folder.iterdir())
    assert files == [
        "auditor.url",
        "hospital_content_loader.url",
        "linkage_loader.url",
        "pharmacy_content_loader.url",
        "researcher.url",
        "warehouse_owner.url",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets_folder.iterdir()} == {0o600}


def test_migrate_again_does_nothing(secrets_folder: Path) -> None:
    outcome = _nightlink("migrate", "--url-file", str(secrets_folder / "warehouse_owner.url"))
    assert (outcome.returncode, outcome.stdout) == (0, "nothing to do\n")


def test_a_researcher_cannot_migrate(secrets_folder: Path) -> None:
    outcome = _nightlink("migrate", "--url-file", str(secrets_folder / "researcher.url"))
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("E-WH-SCHEMA")


def test_a_researcher_asks(secrets_folder: Path) -> None:
    outcome = _nightlink("followup", "--url-file", str(secrets_folder / "researcher.url"), "--project", "p")
    assert (outcome.returncode, outcome.stderr) == (0, "no discharged patients in that period\n")


def test_a_content_option_that_is_none(secrets_folder: Path) -> None:
    url = str(secrets_folder / "researcher.url")
    outcome = _nightlink("install", "--admin-url-file", url, "--secrets", "x", "--content", "hospital")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("E-INPUT: found a --content")


def test_a_second_research_project_is_admitted_by_installing_again(
    secrets_folder: Path, own_server: PostgresServer
) -> None:
    admin = secrets_folder.parent / "admin.url"
    more = ["--research", "heart_researcher=hearts", "--research", "heart_researcher=discharge_followup"]
    outcome = _nightlink(
        "install", "--admin-url-file", str(admin), "--secrets", str(secrets_folder.parent / "again"), *more
    )
    assert outcome.returncode == 0, outcome.stderr
    url = (secrets_folder.parent / "again" / "heart_researcher.url").read_text().strip()
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM research.link_current_v1")
        assert cursor.fetchone() == (0,)
    connection.close()
