"""`nightlink custodian encode` from a database whose URL lies in a file: the same CLKs as from a CSV."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from tests.unit.flows.test_custodian_edge import GOOD, PROTOCOL, SCHEMA, SECRET, _run, _theirs


def test_the_same_from_a_database(tmp_path: Path, fresh_database: Callable[..., str]) -> None:
    url = fresh_database("edge")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE person (id text, name text, born text)")
        cursor.executemany("INSERT INTO person VALUES (%s, %s, %s)", GOOD)
    connection.close()
    for name, text in (("url", url), ("key", SECRET), ("schema.json", json.dumps(SCHEMA))):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "people.sql").write_text("SELECT id, name, born FROM person ORDER BY id")
    words = [
        "--schema",
        tmp_path / "schema.json",
        "--key-file",
        tmp_path / "key",
        "--database-url-file",
        tmp_path / "url",
    ]
    assert _run("encode", *words, tmp_path / "people.sql", tmp_path / "out.json") == 0
    assert (tmp_path / "out.json").read_text() == _theirs(GOOD)
    (tmp_path / "url").chmod(0o644)
    assert _run("encode", *words, tmp_path / "people.sql", tmp_path / "out.json") == 1


def test_a_query_need_not_return_optional_fields(
    tmp_path: Path, fresh_database: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = fresh_database("edge")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE person (id text, first text, last text, born date)")
        cursor.execute("INSERT INTO person VALUES ('1', 'ann', 'lee', '2000-01-02'), ('2', 'bo', NULL, NULL)")
    connection.close()
    (tmp_path / "url").write_text(url)
    (tmp_path / "url").chmod(0o600)
    columns = "id AS source_id, first AS given_name, last AS family_name, born::text AS birth_date"
    words = [
        "--protocol",
        PROTOCOL,
        "--date-format",
        "%Y-%m-%d",
        "--database-url-file",
        tmp_path / "url",
        tmp_path / "people.sql",
    ]
    (tmp_path / "people.sql").write_text(f"SELECT {columns} FROM person ORDER BY id")
    assert _run("validate", *words) == 4
    assert "1 of 2 rows are sound" in capsys.readouterr().out
    (tmp_path / "people.sql").write_text("SELECT id AS source_id, first AS given_name FROM person")
    assert _run("validate", *words) == 1
    assert "a result with missing birth_date, missing family_name;" in capsys.readouterr().err
