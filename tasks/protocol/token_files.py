"""Files of tokens, in CSV or Parquet by the ending of their name. Zone: protocol.

A row is a record: ``record_pseudonym`` (16 bytes), then a column for each definition, null where the token is. In
CSV the pseudonym is in hexadecimal digits and a token in base64; an empty cell is null. No column says which form
the tokens have: they open in one form, under one pair of keys, and in no other.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES
from linkage_core.protocol.token_table import TokenColumn, TokenTable
from tasks.protocol.output_files import DigestedFile, whole_file

PSEUDONYM = "record_pseudonym"
MAX_ROWS = 20_000_000
_ALLOWANCE_BYTES = 1 << 16
_PARQUET: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
    "write_page_checksum": True,
    "store_schema": False,
}
Bytes = npt.NDArray[np.uint8]


@contextmanager
def token_writer(
    output: DigestedFile, definitions: Sequence[str], width: int, *, as_csv: bool
) -> Iterator[Callable[[TokenTable], None]]:
    """What appends tables of these definitions to a file; equal tables in equal pieces give equal bytes.

    Only the table at hand is in memory. Parquet: a row group a table; the bytes are those of one version of pyarrow.
    """
    if as_csv:
        output.write(_csv_lines([[PSEUDONYM, *definitions]]))
        yield lambda table: _write_csv(output, table)
        return
    import pyarrow.parquet as pq

    types = [pa.binary(PSEUDONYM_BYTES), *([pa.binary(width)] * len(definitions))]
    schema = pa.schema(list(zip([PSEUDONYM, *definitions], types, strict=True)))
    with pq.ParquetWriter(output, schema, **_PARQUET) as writer:
        yield lambda table: writer.write_table(_arrow_table(table))


def write_token_file(path: Path, table: TokenTable) -> None:
    """Write a table, whole or not at all, readable for its owner alone."""
    as_csv, names = is_csv(path), [column.definition for column in table.columns]
    width = table.columns[0].values.shape[1]
    with whole_file(path) as file, token_writer(file, names, width, as_csv=as_csv) as put:
        put(table)


def read_token_file(path: Path, width: int, known: Collection[str]) -> TokenTable:
    """A table whose tokens have ``width`` bytes and whose columns are definitions of the protocol.

    Raises
    ------
    NightlinkError
        E-INPUT: a file that cannot be read, is not of this shape, or names a record twice. Messages carry columns and
        row numbers, never a token.
    """
    try:
        table = _read_csv(path, width, known) if is_csv(path) else _read_parquet(path, width, known)
    except OSError as error:
        reason = error.strerror or "not Parquet"
    except pa.ArrowException:
        reason = "not Parquet"
    else:
        if len(np.unique(table.pseudonyms, axis=0)) != len(table):
            raise wrong_file(path, "a record pseudonym that comes twice", "one row a record")
        return table
    raise wrong_file(path, f"a file that cannot be read ({reason})", "a file of tokens")


def is_csv(path: Path) -> bool:
    """Whether a file of tokens is CSV; E-INPUT for an ending that is neither .csv nor .parquet."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise wrong_file(path, "a name with another ending", "a name that ends in .csv or .parquet")
    return path.suffix.lower() == ".csv"


def wrong_file(path: Path, found: str, expected: str) -> NightlinkError:
    """The error for a file of tokens."""
    return NightlinkError(
        "E-INPUT",
        found=f"{found}, in {path.name}",
        expected=expected,
        remedy="Make the file with the command that writes this form of tokens.",
    )


def fixed_bytes(rows: Bytes, present: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Rows of bytes as an Arrow array of that fixed width; null where ``present`` is false."""
    validity = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(rows).tobytes())]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), buffers)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as Parquet, without statistics and without anybody's metadata."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_PARQUET)
    return bytes(sink.getvalue().to_pybytes())


def _arrow_table(table: TokenTable) -> pa.Table:
    arrays = [fixed_bytes(table.pseudonyms), *(fixed_bytes(c.values, c.present) for c in table.columns)]
    return pa.Table.from_arrays(arrays, names=[PSEUDONYM, *(c.definition for c in table.columns)])


def _write_csv(output: DigestedFile, table: TokenTable) -> None:
    columns = [[row.tobytes().hex() for row in table.pseudonyms]]
    columns += [
        [
            base64.b64encode(value.tobytes()).decode() if there else ""
            for value, there in zip(column.values, column.present, strict=True)
        ]
        for column in table.columns
    ]
    output.write(_csv_lines(zip(*columns, strict=True)))


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("ascii")


def _read_parquet(path: Path, width: int, known: Collection[str]) -> TokenTable:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True, arrow_extensions_enabled=False) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        _check_header(path, names, known)
        expected = [pa.binary(PSEUDONYM_BYTES), *([pa.binary(width)] * (len(names) - 1))]
        if file.schema_arrow.types != expected:
            raise wrong_file(path, "columns of another type", f"tokens of {width} bytes")
        # What the file claims is bounded before anything is unpacked.
        bound = rows * (PSEUDONYM_BYTES + (width + 5) * (len(names) - 1)) + len(names) * _ALLOWANCE_BYTES
        groups = range(file.metadata.num_row_groups)
        if rows > MAX_ROWS or sum(file.metadata.row_group(g).total_byte_size for g in groups) > bound:
            raise wrong_file(path, f"{rows} rows and pages of another size", f"at most {MAX_ROWS} rows")
        table = file.read(use_threads=False).combine_chunks()
    pseudonyms, present = _rows_of(table.column(0), PSEUDONYM_BYTES)
    if not present.all():
        raise wrong_file(path, "a row without its record pseudonym", "one in every row")
    columns = (_rows_of(table.column(name), width) for name in names[1:])
    return TokenTable(
        pseudonyms, tuple(TokenColumn(name, *c) for name, c in zip(names[1:], columns, strict=True))
    )


def _rows_of(column: pa.ChunkedArray, width: int) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Bytes, zeros where null, and which rows are there."""
    present = column.is_valid().to_numpy().astype(np.bool_)
    filled = column.fill_null(bytes(width))
    data = b"".join(
        bytes(chunk.cast(pa.binary()).buffers()[2] or b"")[: width * len(chunk)] for chunk in filled.chunks
    )
    return np.frombuffer(data, np.uint8).reshape(-1, width).copy(), present


def _read_csv(path: Path, width: int, known: Collection[str]) -> TokenTable:
    with path.open(encoding="ascii", errors="replace", newline="") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        _check_header(path, names, known)
        cells: list[list[bytes | None]] = [[] for _ in names]
        for number, row in enumerate(rows, 1):
            if len(row) != len(names) or number > MAX_ROWS:
                raise wrong_file(path, f"{len(row)} cells in row {number}", f"{len(names)} cells a row")
            for place, cell in enumerate(row):
                cells[place].append(_read_cell(path, cell, place, number, width))
    pseudonyms, *tokens = (_stacked(c, w) for c, w in zip(cells, _widths(names, width), strict=True))
    columns = tuple(TokenColumn(name, *c) for name, c in zip(names[1:], tokens, strict=True))
    return TokenTable(pseudonyms[0], columns)


def _read_cell(path: Path, cell: str, place: int, number: int, width: int) -> bytes | None:
    if not cell and place:
        return None
    try:
        value = base64.b64decode(cell, validate=True) if place else bytes.fromhex(cell)
    except (binascii.Error, ValueError):
        value = b""
    wanted = width if place else PSEUDONYM_BYTES
    if len(value) != wanted:
        what = "base64" if place else "hexadecimal"
        found = f"a cell in row {number}, column {place + 1} that is not {wanted} bytes in {what}"
        raise wrong_file(path, found, "a token or an empty cell" if place else "a record pseudonym")
    return value


def _stacked(cells: Sequence[bytes | None], width: int) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    data = b"".join(cell if cell is not None else bytes(width) for cell in cells)
    present = np.array([cell is not None for cell in cells], np.bool_)
    return np.frombuffer(data, np.uint8).reshape(-1, width).copy(), present


def _widths(names: Sequence[str], width: int) -> list[int]:
    return [PSEUDONYM_BYTES, *([width] * (len(names) - 1))]


def _check_header(path: Path, names: Sequence[str], known: Collection[str]) -> None:
    # Names that are not the protocol's may be anything, and are not told.
    sound = (
        list(names[:1]) == [PSEUDONYM] and set(names[1:]) <= set(known) and len(set(names)) == len(names) > 1
    )
    if not sound:
        raise wrong_file(
            path, "another header", f"{PSEUDONYM} and token definitions of the linkage protocol, each once"
        )
