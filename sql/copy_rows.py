"""Bulk loading: COPY FROM STDIN out of an iterator, in bounded memory. Zone: protocol (both sides use it)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import psycopg2
from sqlalchemy import Connection

from linkage_core.errors import NightlinkError
from sql.engine import driver_cursor

CopyValue = str | int | Decimal | date | Sequence[str] | None
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class CopyStream:
    """What psycopg2's COPY reads: rows as text lines, made while they are read.

    Attributes
    ----------
    row_count : int
        Rows read so far.
    failure : BaseException or None
        What the rows' iterator raised. psycopg2 would send its words to the server, whose log keeps them; the
        server is told a bland sentence instead.
    """

    def __init__(self, rows: Iterable[Sequence[CopyValue]]) -> None:
        self._lines = self._as_lines(iter(rows))
        self._left = bytearray()
        self._digest = hashlib.sha256()
        self.row_count = 0
        self.failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end."""
        try:
            while len(self._left) < size and (line := next(self._lines, None)) is not None:
                self._left += line
        except BaseException as failure:
            self.failure = failure
            raise RuntimeError("the rows could not be produced") from None
        piece = bytes(self._left[:size])
        del self._left[:size]
        return piece

    def digest(self) -> str:
        """SHA-256 of the lines read so far, as 64 hex digits."""
        return self._digest.hexdigest()

    def _as_lines(self, rows: Iterator[Sequence[CopyValue]]) -> Iterator[bytes]:
        for number, row in enumerate(rows, start=1):
            line = b"\t".join(_copy_text(value, number, place) for place, value in enumerate(row, 1)) + b"\n"
            self.row_count = number
            self._digest.update(line)
            yield line


def copy_rows(connection: Connection, copy_statement: str, rows: Iterable[Sequence[CopyValue]]) -> CopyStream:
    """Run a ``COPY ... FROM STDIN`` (text format) inside the connection's transaction.

    Parameters
    ----------
    rows : iterable of sequences
        One value per column: text, whole number, Decimal, date, a sequence of text (an array), or None (NULL).

    Returns
    -------
    CopyStream
        With the count and the digest of what was sent.

    Raises
    ------
    NightlinkError
        E-INPUT: text with a NUL or a lone surrogate, by row and column number; or whatever ``rows`` raises.
    """
    stream = CopyStream(rows)
    try:
        driver_cursor(connection).copy_expert(copy_statement, stream)
    except psycopg2.Error:
        if stream.failure is None:
            raise
    if stream.failure is not None:
        raise stream.failure
    return stream


def _copy_text(value: CopyValue, row_number: int, place: int) -> bytes:
    if value is None:
        return b"\\N"
    if isinstance(value, str):
        return _encoded(value.translate(_ESCAPES), row_number, place)
    if isinstance(value, date):
        return value.isoformat().encode()
    if isinstance(value, int | Decimal):
        return str(value).encode()
    items = ",".join('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in value)
    return _encoded(f"{{{items}}}".translate(_ESCAPES), row_number, place)


def _encoded(text: str, row_number: int, place: int) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = b"\x00"
    if b"\x00" in encoded:
        raise NightlinkError(
            "E-INPUT",
            found=f"text that no database can hold (NUL or a lone surrogate) in row {row_number}, column {place}",
            expected="valid Unicode text",
            remedy="Reject such rows in validation, before they are loaded.",
        )
    return encoded
