"""COPY's text form, made row by row; and named statements."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from linkage_core.errors import NightlinkError
from sql import statements
from sql.copy_rows import CopyStream


def whole(stream: CopyStream, size: int = 8192) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"\\N"),
        ("plain", b"plain"),
        ("\\N", b"\\\\N"),
        ("tab\tline\nreturn\r", b"tab\\tline\\nreturn\\r"),
        ("Zoë", "Zoë".encode()),
        (7, b"7"),
        (Decimal("1.50"), b"1.50"),
        (date(2026, 1, 31), b"2026-01-31"),
        ((), b"{}"),
        (("a", "b c"), b'{"a","b c"}'),
        (('q"uote', "back\\slash"), b'{"q\\\\"uote","back\\\\\\\\slash"}'),
    ],
)
def test_a_value_in_copy_s_words(value: object, text: bytes) -> None:
    assert whole(CopyStream([(value, "x")])) == text + b"\tx\n"  # type: ignore[list-item]


@pytest.mark.parametrize("size", [1, 7, 8192])
def test_pieces_are_no_larger_than_asked_for_and_make_the_whole(size: int) -> None:
    rows = [(str(n), "x" * n) for n in range(50)]
    expected = b"".join(f"{n}\t{'x' * n}\n".encode() for n in range(50))
    stream = CopyStream(rows)
    pieces = list(iter(lambda: stream.read(size), b""))
    assert max(map(len, pieces)) <= size
    assert b"".join(pieces) == expected
    assert (stream.row_count, stream.digest()) == (50, hashlib.sha256(expected).hexdigest())


def test_rows_are_made_while_they_are_read() -> None:
    made = []

    def endless() -> Iterator[tuple[str]]:
        for number in itertools.count():
            made.append(number)
            yield ("x" * 100,)

    CopyStream(endless()).read(1000)
    assert len(made) < 20


@pytest.mark.parametrize("text", ["\x00", "\ud800", ("fine", "\x00")])
def test_text_that_no_database_can_hold_is_named_by_its_place(text: str) -> None:
    stream = CopyStream([("a", "b"), ("PLANTED", text)])
    with pytest.raises(RuntimeError, match="could not be produced"):
        whole(stream)
    assert isinstance(stream.failure, NightlinkError)
    assert "row 2, column 2" in str(stream.failure)
    assert "PLANTED" not in str(stream.failure)


def test_a_statement_keeps_its_comments_and_its_name() -> None:
    found = statements.load_statements("sql.warehouse", "ledger.sql")
    assert list(found)[0] == "begin_run"
    assert found["list_runs"].startswith("-- In the order of their fences")


def test_a_name_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "read_sql", lambda *_: "-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n")
    with pytest.raises(KeyError):
        statements.load_statements("sql.warehouse", "twice.sql")
