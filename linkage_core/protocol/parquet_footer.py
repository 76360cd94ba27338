"""The footer of a part, checked field by field before the Parquet library sees it. Zone: protocol.

The library aborts the whole process (an uncaught C++ exception, seen in pyarrow 26) on some footers with a single
byte altered, such as an unknown compression codec; a custodian's broken or hostile file must cost the linkage
unit one refusal, not its worker. So the footer is read here, in pure Python, and must be the one that
``write_part`` makes: only row counts, sizes and the library's version may differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from linkage_core.protocol.parquet_pages import format_error
from linkage_core.protocol.thrift_compact import CompactError, Kind, Value, read_struct

MAGIC = b"PAR1"
MAX_FOOTER_BYTES = 1 << 16

_TAIL_BYTES = 8  # the footer's length in 4 bytes, little-endian, and the magic
_CREATOR = re.compile(rb"parquet-cpp-arrow version [0-9]{1,3}(\.[0-9]{1,3}){1,3}")

# Field numbers in parquet.thrift: FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_VERSION, _SCHEMA, _NUM_ROWS, _ROW_GROUPS, _KEY_VALUES, _CREATED_BY, _ORDERS = 1, 2, 3, 4, 5, 6, 7
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED, _ORDINAL = 1, 2, 3, 5, 6, 7
_FILE_OFFSET, _META = 2, 3
_TYPE, _ENCODINGS, _PATH, _CODEC, _VALUES, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3, 4, 5, 6, 7
_DATA_OFFSET, _DICTIONARY_OFFSET, _STATISTICS, _PAGE_COUNTS, _LEVEL_COUNTS = 9, 11, 12, 13, 16

# Values of its enumerations.
_INT64, _FIXED_LEN_BYTE_ARRAY = 2, 7
_REQUIRED, _OPTIONAL = 0, 1
_UINT_64 = 14
_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
_CODECS = {0: "UNCOMPRESSED", 6: "ZSTD"}


@dataclass(frozen=True)
class AgreedColumn:
    """A column of the wire format: ``width`` bytes a value, or nullable unsigned 64-bit numbers."""

    name: str
    width: int
    nullable: bool


@dataclass(frozen=True)
class ColumnChunk:
    """Where a column's pages lie in the file, and the bytes that they unpack to, headers included."""

    start: int
    compressed_bytes: int
    uncompressed_bytes: int


def read_footer(data: bytes, agreed: Sequence[AgreedColumn], expected_rows: int) -> list[ColumnChunk]:
    """Check the footer of a whole file and say where its columns are, in the agreed order.

    The chunks lie one after the other between the magic and the footer; their sizes are claims still, which
    :func:`walk_pages` has to bear out.

    Raises
    ------
    NightlinkError
        E-DLV-FORMAT. Names that the file brings are never quoted.
    """
    footer, footer_start = _read(data)
    _check_schema(_items(footer, _SCHEMA), agreed)
    rows = _number(footer, _NUM_ROWS)
    if rows != expected_rows:
        raise format_error(f"{rows} rows", f"{expected_rows}, as the manifest says")
    groups = _items(footer, _ROW_GROUPS)
    if len(groups) != 1:
        raise format_error(f"{len(groups)} row groups", "one row group with all rows")
    if _KEY_VALUES in footer:
        raise format_error("extra metadata, such as an extension type", "no metadata beyond the columns")
    _check_head(footer, len(agreed))
    return _read_group(_fields(groups[0]), agreed, expected_rows, footer_start)


def _read(data: bytes) -> tuple[dict[int, Value], int]:
    if len(data) < len(MAGIC) + _TAIL_BYTES or not (data.startswith(MAGIC) and data.endswith(MAGIC)):
        raise format_error("bytes that are not a whole Parquet file", "a Parquet file")
    end = len(data) - _TAIL_BYTES
    length = int.from_bytes(data[end : end + 4], "little")
    if not 0 < length <= min(end - len(MAGIC), MAX_FOOTER_BYTES):
        raise format_error(f"a Parquet footer of {length} bytes", f"at most {MAX_FOOTER_BYTES}, in the file")
    try:
        footer, position = read_struct(data, end - length, end)
    except CompactError as error:
        raise format_error(f"{error} in the Parquet footer", "a whole footer") from None
    if position != end:
        raise format_error("bytes after the Parquet footer's end", "a footer of the length that it states")
    return footer, end - length


def _check_schema(elements: list[Value], agreed: Sequence[AgreedColumn]) -> None:
    if len(elements) != len(agreed) + 1:
        names = ", ".join(column.name for column in agreed)
        raise format_error(f"{len(elements) - 1} columns", f"{len(agreed)}: {names}")
    for number, column in enumerate(agreed, start=1):
        if elements[number] != _schema_element(column):
            kind = (
                "nullable unsigned 64-bit numbers" if column.nullable else f"{column.width} bytes, never null"
            )
            found = f"column {number} with another name, type, length or null rule"
            raise format_error(found, f"{column.name} as {kind}")
    if elements[0] != _struct({3: _i32(_REQUIRED), 4: _text("schema"), 5: _i32(len(agreed))}):
        raise format_error("a schema with another root", "columns side by side")


def _schema_element(column: AgreedColumn) -> Value:
    if column.nullable:
        unsigned = _struct({10: _struct({1: Value(Kind.BYTE, 64), 2: Value(Kind.FALSE, None)})})
        head = {1: _i32(_INT64), 3: _i32(_OPTIONAL), 4: _text(column.name)}
        return _struct({**head, 6: _i32(_UINT_64), 10: unsigned})
    head = {1: _i32(_FIXED_LEN_BYTE_ARRAY), 2: _i32(column.width)}
    return _struct({**head, 3: _i32(_REQUIRED), 4: _text(column.name)})


def _check_head(footer: dict[int, Value], columns: int) -> None:
    creator = footer.get(_CREATED_BY, _text(""))
    if creator.kind != Kind.BINARY or _CREATOR.fullmatch(creator.value) is None:
        raise format_error("a file by another writer", "one by pyarrow")
    orders = _list([_struct({1: _struct({})})] * columns)
    read = {_SCHEMA, _NUM_ROWS, _ROW_GROUPS, _CREATED_BY}
    _check_rest("a footer", footer, read, must={_VERSION: _i32(2), _ORDERS: orders})


def _read_group(
    group: dict[int, Value], agreed: Sequence[AgreedColumn], rows: int, footer_start: int
) -> list[ColumnChunk]:
    columns = _items(group, _COLUMNS)
    if len(columns) != len(agreed):
        raise format_error(f"a row group of {len(columns)} columns", f"{len(agreed)}")
    chunks: list[ColumnChunk] = []
    position = len(MAGIC)
    for number, (column, value) in enumerate(zip(agreed, columns, strict=True), start=1):
        chunks.append(_read_chunk(_fields(value), f"column {number}", column, rows, position))
        position += chunks[-1].compressed_bytes
    if position > footer_start:
        raise format_error("columns that reach into the footer", "columns before it")
    must = {
        _GROUP_BYTES: _i64(sum(chunk.uncompressed_bytes for chunk in chunks)),
        _GROUP_ROWS: _i64(rows),
        _GROUP_OFFSET: _i64(len(MAGIC) if rows else 0),
        _GROUP_COMPRESSED: _i64(position - len(MAGIC)),
    }
    _check_rest("a row group", group, {_COLUMNS}, must, may={_ORDINAL: _i16(0)})
    return chunks


def _read_chunk(
    chunk: dict[int, Value], what: str, column: AgreedColumn, rows: int, start: int
) -> ColumnChunk:
    _check_rest(what, chunk, {_META}, must={_FILE_OFFSET: _i64(0)})
    meta = _fields(chunk.get(_META))
    sizes = (_number(meta, _COMPRESSED), _number(meta, _UNCOMPRESSED))
    if _number(meta, _CODEC, Kind.I32) not in _CODECS:
        raise format_error(f"{what} under another compression", " or ".join(_CODECS.values()))
    if _number(meta, _VALUES) != rows or min(sizes) < 0:
        raise format_error(f"{what} of {_number(meta, _VALUES)} values", f"{rows}, one a row")
    if {_DICTIONARY_OFFSET, _STATISTICS} & meta.keys():
        raise format_error(f"{what} with a dictionary or statistics", "plain pages without statistics")
    must = {
        _TYPE: _i32(_INT64 if column.nullable else _FIXED_LEN_BYTE_ARRAY),
        _ENCODINGS: _list([_i32(_RLE), _i32(_PLAIN)] if rows else [_i32(_RLE)]),
        _PATH: _list([_text(column.name)]),
        _DATA_OFFSET: _i64(start if rows else 0),
    }
    read = {_CODEC, _VALUES, _COMPRESSED, _UNCOMPRESSED, _PAGE_COUNTS, _LEVEL_COUNTS}
    _check_rest(what, meta, read, must)
    _check_counts(meta, what, column, rows)
    return ColumnChunk(start, *sizes)


def _check_counts(meta: dict[int, Value], what: str, column: AgreedColumn, rows: int) -> None:
    """Counts of pages and of nulls are derived figures, but the library reads them, and aborts on wrong ones."""
    fine = _are_page_counts(meta.get(_PAGE_COUNTS)) and _are_null_counts(
        meta.get(_LEVEL_COUNTS), column, rows
    )
    if not fine:
        raise format_error(f"{what} with counts that are not its own", "counts of plain pages and of nulls")


def _are_page_counts(found: Value | None) -> bool:
    """Nothing, or at most one count: of plain data pages."""
    counts = [_number(_fields(item), 3, Kind.I32) for item in _items({1: found} if found else {}, 1)]
    plain = [_struct({1: _i32(_DATA_PAGE), 2: _i32(_PLAIN), 3: _i32(count)}) for count in counts]
    return found is None or (found == _list(plain) and len(counts) <= 1)


def _are_null_counts(found: Value | None, column: AgreedColumn, rows: int) -> bool:
    """Nothing, or the numbers of nulls and of values in a nullable column, which add up to its rows."""
    counts = [_number({1: item}, 1) for item in _items(_fields(found), 3)]
    agreed = _struct({2: _list([]), 3: _list([_i64(count) for count in counts])})
    adds_up = len(counts) == 2 and min(counts) >= 0 and sum(counts) == rows
    return found is None or (column.nullable and found == agreed and adds_up)


def _check_rest(
    what: str,
    found: dict[int, Value],
    read: set[int],
    must: dict[int, Value],
    may: dict[int, Value] | None = None,
) -> None:
    """Beside the fields that are read elsewhere, those of ``must`` and perhaps ``may``, and no others."""
    values = {**must, **(may or {})}
    wrong = any(found[field] != values[field] for field in found.keys() & values.keys())
    if wrong or not must.keys() <= found.keys() or not found.keys() <= values.keys() | read:
        raise format_error(f"{what} with other fields or values", "the footer that this version writes")


def _i16(value: int) -> Value:
    return Value(Kind.I16, value)


def _i32(value: int) -> Value:
    return Value(Kind.I32, value)


def _i64(value: int) -> Value:
    return Value(Kind.I64, value)


def _text(value: str) -> Value:
    return Value(Kind.BINARY, value.encode())


def _list(values: list[Value]) -> Value:
    return Value(Kind.LIST, values)


def _struct(fields: dict[int, Value]) -> Value:
    return Value(Kind.STRUCT, fields)


def _number(fields: dict[int, Value], field: int, kind: Kind = Kind.I64) -> int:
    """A number of the kind; -1 where it is missing or of another kind."""
    found = fields.get(field)
    return int(found.value) if found is not None and found.kind == kind else -1


def _items(fields: dict[int, Value], field: int) -> list[Value]:
    """A list's items; none where it is missing or no list."""
    found = fields.get(field)
    return list(found.value) if found is not None and found.kind == Kind.LIST else []


def _fields(value: Value | None) -> dict[int, Value]:
    """A struct's fields; none where it is missing or no struct."""
    return dict(value.value) if value is not None and value.kind == Kind.STRUCT else {}
