"""One way to read people, whether they lie in a CSV file, a Parquet file or a database. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.custodian.csv_source import CsvDialect, CsvSource, Header
from tasks.custodian.source_rows import SourceBatch, unreadable_source, wrong_source
from tasks.custodian.table_source import database_batches, parquet_batches


@dataclass(frozen=True)
class EdgeInput:
    """Where the people are, as the caller declares it.

    ``path`` is a CSV or Parquet file or, with ``database_url_file``, a file with the query.
    """

    path: Path
    encoding: str = "utf-8"
    delimiter: str = ","
    header: Header = "check"
    database_url_file: Path | None = None
    deadline_s: float = 600.0

    @property
    def kind(self) -> str:
        """csv, parquet or database."""
        if self.database_url_file is not None:
            return "database"
        return "parquet" if self.path.suffix.lower() in (".parquet", ".pq") else "csv"


@dataclass(frozen=True)
class Columns:
    """The columns wanted, in their order.

    ``by_position`` takes a CSV file's columns as they come and only compares the header's names; otherwise they
    are found by name, and ``optional`` ones may be missing.
    """

    names: tuple[str, ...]
    optional: tuple[str, ...] = ()
    by_position: bool = False


@dataclass(frozen=True)
class People:
    """An open source. ``unread`` are the names of columns that are there and stay unread."""

    batches: Iterator[SourceBatch] = field(repr=False)
    total_bytes: int = 0
    unread: tuple[str, ...] = ()


@contextmanager
def open_people(source: EdgeInput, columns: Columns) -> Iterator[People]:
    """Open a source; its batches have the wanted columns in the wanted order.

    Raises
    ------
    NightlinkError
        E-INPUT, E-SRC-SCHEMA, E-SRC-UNAVAILABLE or E-KEY-FILE (the file with the URL).
    """
    if source.kind == "csv":
        dialect = CsvDialect(source.encoding, source.delimiter, source.header != "none")
        with CsvSource(source.path, dialect) as file:
            yield _csv_people(file, source, columns)
        return
    if not source.path.is_file():
        raise unreadable_source(source.path, "no file")
    if source.database_url_file is None:
        batches = parquet_batches(source.path, columns.names, columns.optional)
    else:
        batches = database_batches(
            source.database_url_file,
            source.path,
            columns.names,
            columns.optional,
            deadline_s=source.deadline_s,
        )
    yield People(batches)


def _csv_people(file: CsvSource, source: EdgeInput, columns: Columns) -> People:
    if columns.by_position:
        if file.names is not None and source.header == "check":
            _compare_header(source, file.names, columns.names)
        return People(file.batches(len(columns.names)), file.total_bytes)
    if file.names is None:
        raise wrong_source(
            source.path, "no header declared", "a header: columns are found by name", "Add a header."
        )
    places = _places(source, file.names, columns)
    unread = tuple(name for name in file.names if name not in columns.names)
    return People(_selected(file.batches(len(file.names)), places), file.total_bytes, unread)


def _compare_header(source: EdgeInput, found: Sequence[str], wanted: Sequence[str]) -> None:
    # The names found are not told: without a header they would be somebody's values.
    if len(found) != len(wanted):
        raise wrong_source(
            source.path, f"a header of {len(found)} columns", f"the schema's {len(wanted)}",
            "Compare the file with the schema; declare the file's --delimiter, or --header none.",
        )  # fmt: skip
    for number, (name, identifier) in enumerate(zip(found, wanted, strict=True), 1):
        if name != identifier:
            raise wrong_source(
                source.path, f"another name in column {number} of the header",
                f"{identifier}, as in the schema", "Rename the column, or declare --header ignore or none.",
            )  # fmt: skip


def _places(source: EdgeInput, found: Sequence[str], columns: Columns) -> list[int | None]:
    missing = [name for name in columns.names if name not in found and name not in columns.optional]
    twice = [name for name in columns.names if list(found).count(name) > 1]
    if missing or twice:
        wrong = f"no column {', '.join(missing)}" if missing else f"more than one column {', '.join(twice)}"
        raise wrong_source(
            source.path, wrong, "each of them once in the header",
            "Rename columns, or say --column FIELD=HEADER; declare the file's --delimiter.",
        )  # fmt: skip
    return [list(found).index(name) if name in found else None for name in columns.names]


def _selected(batches: Iterator[SourceBatch], places: Sequence[int | None]) -> Iterator[SourceBatch]:
    import pyarrow as pa

    for batch in batches:
        empty = pa.nulls(len(batch.row_numbers), pa.string())
        yield replace(
            batch, columns=tuple(empty if place is None else batch.columns[place] for place in places)
        )
