"""CSV as spreadsheets write it: declared encodings, marks, delimiters, line breaks; broken rows told by number."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.custodian.csv_source import LONGEST_FIELD_CHARS, CsvDialect, CsvSource

PLANTED = "Beeblebrox"


def _read(
    path: Path, data: bytes, width: int = 3, batch_rows: int = 2, **dialect: object
) -> tuple[list[list[object]], list[tuple[int, int, int]], list[tuple[int, int, int, str]]]:
    """Rows as text or bytes, their numbers and lines, and the misfits."""
    path.write_bytes(data)
    rows: list[list[object]] = []
    places, misfits = [], []
    with CsvSource(path, CsvDialect(**dialect), batch_rows) as source:  # type: ignore[arg-type]
        for batch in source.batches(width):
            assert len(batch.row_numbers) + len(batch.misfits) <= batch_rows
            rows += [list(row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
            places += [
                (int(number), *map(int, batch.lines_of(i))) for i, number in enumerate(batch.row_numbers)
            ]
            misfits += [(m.row_number, m.first_line, m.last_line, m.code) for m in batch.misfits]
    return rows, places, misfits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.mark.parametrize(
    ("data", "dialect"),
    [
        ("id,name,city\n1,Zoë,Köln\n", {}),
        ("\ufeffid,name,city\r\n1,Zoë,Köln\r\n", {}),
        ("id;name;city\n1;Zoë;Köln", {"delimiter": ";"}),
        ("id\tname\tcity\n1\tZoë\tKöln", {"delimiter": "tab"}),
        ('"id" ,name,city\n"1",Zoë,"Köln"\n', None),
        ("\n\n1,Zoë,Köln\n\n", {"has_header": False}),
    ],
)
def test_ways_to_write_the_same(path: Path, data: str, dialect: dict[str, object] | None) -> None:
    if dialect is None:
        with pytest.raises(NightlinkError, match="quotation marks do not match"):
            _read(path, data.encode())
        return
    rows, _, misfits = _read(path, data.encode(), **dialect)
    assert rows == [["1", "Zoë", "Köln"]] and misfits == []


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_declared_encodings(path: Path, encoding: str) -> None:
    rows, _, _ = _read(path, "id,name,city\n1,Zoë,Köln\n".encode(encoding), encoding=encoding)
    assert rows == [["1", "Zoë", "Köln"]]


def test_numbers_and_lines_with_breaks_in_quotes_and_blank_lines(path: Path) -> None:
    data = b'id,name,city\n1,"An\nna",x\n\n2,b,"c\r\nd\r\ne"\n3,only\n4,a,b,c\n5,e,f\n'
    rows, places, misfits = _read(path, data)
    assert [row[0] for row in rows] == ["1", "2", "5"] and rows[0][1] == "An\nna"
    assert places == [(1, 2, 3), (2, 5, 7), (5, 10, 10)]
    assert misfits == [(3, 8, 8, "R-COLUMNS"), (4, 9, 9, "R-COLUMNS")]


def test_bad_quotes_cost_their_rows_only(path: Path) -> None:
    data = b'id,name,city\n1,"An"na,x\n2,b,c\n3,"d,e\n4,f,"g\n5,h,i\n6,"open,k\n'
    rows, places, misfits = _read(path, data)
    assert [row[0] for row in rows] == ["2", "5"] and places == [(2, 3, 3), (4, 6, 6)]
    # the quotation mark that row 3 opens is closed in the next line, which is lost with it: lines 4 to 5
    assert misfits == [(1, 2, 2, "R-QUOTES"), (3, 4, 5, "R-QUOTES"), (5, 7, 7, "R-QUOTES")]


def test_a_text_of_a_megabyte_costs_its_row_only(path: Path) -> None:
    long = b"x" * (LONGEST_FIELD_CHARS + 1)
    rows, _, misfits = _read(path, b"id,name,city\n1," + long + b",x\n2,b,c\n")
    assert [row[0] for row in rows] == ["2"] and misfits == [(1, 2, 2, "R-TOO-LONG")]


def test_a_quotation_mark_that_swallows_the_file_is_refused(path: Path) -> None:
    data = b'id,name,city\n1,b,c\n2,"open,c\n' + b"3,Beeblebrox,c\n" * 80_000
    with pytest.raises(NightlinkError, match="the row of line 3 and does not end") as caught:
        _read(path, data)
    assert PLANTED not in str(caught.value)


def test_bytes_that_are_no_text_and_nul_reach_the_checks(path: Path) -> None:
    rows, _, misfits = _read(path, b"id,name,city\n1,Zo\xeb,c\n2,a\0b,c\n")
    assert misfits == []
    assert rows[0] == ["1", b"Zo\xeb", "c"] and rows[1][1] == b"a\0b"


@pytest.mark.parametrize(
    ("data", "dialect", "told"),
    [
        (b"", {}, "no header"),
        (b"\n\n", {}, "no header"),
        (b'"id,name\n' + b"Beeblebrox\n" * 5, {}, "quotation marks"),
        ("id,name".encode("utf-16"), {}, "--encoding utf-16"),
        (b"id,name", {"encoding": "klingon"}, "unknown encoding"),
        (b"id,name", {"encoding": "base64"}, "unknown encoding"),
        (b"id,name", {"delimiter": "::"}, "not one character"),
        (b"id,name", {"delimiter": '"'}, "not one character"),
        (
            "id,Beeblebrox\n1,2,3\n".encode("utf-16-le")[:-1],
            {"encoding": "utf-16"},
            "bytes that are not utf-16",
        ),
    ],
)
def test_files_that_are_refused(path: Path, data: bytes, dialect: dict[str, object], told: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        _read(path, data, **dialect)
    assert caught.value.code in ("E-SRC-SCHEMA", "E-INPUT") and told in str(caught.value)
    assert PLANTED not in str(caught.value)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT"), CsvSource(path, CsvDialect()):
        pass
