"""People from a CSV file, as spreadsheets write it: declared, never guessed. Zone: custodian.

A byte-order mark, another encoding, another delimiter, line breaks in quotes, and rows that are broken: each such
row is told by its number and lines, and the next one is read. Nothing of the file is ever quoted.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from tasks.custodian.source_rows import (
    BATCH_ROWS,
    Misfit,
    SourceBatch,
    text_column,
    unreadable_source,
    wrong_source,
)

LONGEST_FIELD_CHARS = 1 << 20
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}
Header = Literal["check", "ignore", "none"]


@dataclass(frozen=True)
class CsvDialect:
    """What the custodian declares of the file."""

    encoding: str = "utf-8"
    delimiter: str = ","
    has_header: bool = True


class CsvSource:
    """An open CSV file; use it as a context. ``names`` is the header, None without one."""

    def __init__(self, path: Path, dialect: CsvDialect, batch_rows: int = BATCH_ROWS) -> None:
        self._path = path
        self._dialect = dialect
        self._batch_rows = batch_rows
        self._row_number = 0
        self.names: tuple[str, ...] | None = None
        self.total_bytes = 0

    def __enter__(self) -> CsvSource:
        self._file = _open_text(self._path, self._dialect.encoding)
        self.total_bytes = self._path.stat().st_size
        csv.field_size_limit(LONGEST_FIELD_CHARS)
        try:
            self._reader = csv.reader(self._file, delimiter=_delimiter(self._dialect.delimiter), strict=True)
            if self._dialect.has_header:
                self.names = self._read_header()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def batches(self, width: int) -> Iterator[SourceBatch]:
        """The rows in batches; a row of another width than ``width`` columns is a misfit."""
        rows: list[list[str]] = []
        places: list[tuple[int, int, int]] = []
        misfits: list[Misfit] = []
        for number, first, last, row, code in self._rows():
            if code or len(row) != width:
                misfits.append(Misfit(number, first, last, code or "R-COLUMNS"))
            else:
                rows.append(row)
                places.append((number, first, last))
            if len(rows) + len(misfits) >= self._batch_rows:
                yield self._batch(rows, places, misfits, width)
                rows, places, misfits = [], [], []
        if rows or misfits:
            yield self._batch(rows, places, misfits, width)

    def _batch(
        self, rows: list[list[str]], places: list[tuple[int, int, int]], misfits: list[Misfit], width: int
    ) -> SourceBatch:
        columns = list(zip(*rows, strict=True)) if rows else [()] * width
        numbers = np.array(places, np.int64).reshape(len(places), 3)
        buffer: Any = self._file
        return SourceBatch(
            columns=tuple(text_column(column) for column in columns),
            row_numbers=numbers[:, 0],
            lines=numbers[:, 1:],
            misfits=tuple(misfits),
            bytes_read=buffer.buffer.tell(),
        )

    def _rows(self) -> Iterator[tuple[int, int, int, list[str], str]]:
        """Number, first line, last line, values, and a reason code where there are no values."""
        while True:
            first, code = self._reader.line_num + 1, ""
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                row, code = [], self._code_of(error, first)
            except UnicodeError:
                raise self._not_in_encoding() from None
            if row or code:
                self._row_number += 1
                yield self._row_number, first, self._reader.line_num, row, code

    def _code_of(self, error: csv.Error, first_line: int) -> str:
        if "field larger than field limit" not in str(error):
            return "R-QUOTES"
        if self._reader.line_num > first_line:
            # Everything up to here was swallowed by one text; whatever follows would be torn to pieces.
            raise wrong_source(
                self._path,
                f"a quoted text that begins in the row of line {first_line} and does not end",
                "quotation marks in pairs",
                "Close the quotation mark in that line and start again.",
            )
        return "R-TOO-LONG"

    def _read_header(self) -> tuple[str, ...]:
        try:
            row = next(self._reader)
        except StopIteration:
            row = []
        except csv.Error:
            raise self._bad_header("a first line whose quotation marks do not match") from None
        except UnicodeError:
            raise self._not_in_encoding() from None
        names = tuple(name.strip() for name in row)
        if not any(names):
            raise self._bad_header("no header in the first line")
        return names

    def _bad_header(self, found: str) -> Exception:
        return wrong_source(
            self._path, found, "a header of column names", "Add the header, or declare --header none."
        )

    def _not_in_encoding(self) -> Exception:
        return unreadable_source(
            self._path,
            f"bytes that are not {self._dialect.encoding}",
            "Declare the file's own --encoding, such as cp1252.",
        )


def _open_text(path: Path, encoding: str) -> IO[str]:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # base64 and its like are codecs too, and none of text
    except (LookupError, UnicodeError):
        raise unreadable_source(
            path, "an unknown encoding declared", "Declare utf-8, cp1252, utf-16 or another name of Python's."
        ) from None
    try:
        with path.open("rb") as file:
            marked = _MARKS.get(file.read(2))
        if marked and not name.startswith(("utf-16", "utf-32")):
            raise unreadable_source(path, "the byte-order mark of UTF-16", "Declare --encoding utf-16.")
        # utf-8-sig drops the mark that Excel writes; other encodings have none.
        return path.open(
            encoding="utf-8-sig" if name == "utf-8" else name, errors="surrogateescape", newline=""
        )
    except OSError as error:
        raise unreadable_source(path, f"a file that cannot be read ({error.strerror})") from None


def _delimiter(declared: str) -> str:
    delimiter = _DELIMITERS.get(declared, declared)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise unreadable_source(
            Path("--delimiter"), "a delimiter that is not one character", "Declare , ; tab or |."
        )
    return delimiter
