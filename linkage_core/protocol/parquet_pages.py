"""The page headers of one Parquet column chunk, read before any decoder sees them. Zone: protocol.

A Parquet file states its sizes twice: in the footer, which the reader can check, and in each page's own
header, which native decoders believe before they have seen a byte of data: 300 bytes may claim a page of
2 GiB or of 10^9 values (apache/arrow issue 49955). So the headers are walked here first, in Thrift's compact
protocol and in the one shape that the wire format uses; nothing is allocated for what a header claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.errors import NightlinkError

_STOP, _I32, _STRUCT = 0, 5, 12
_EMPTY_STRUCT = bytes([_STOP])
_MAX_VARINT_BYTES = 5
_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
# Field numbers of PageHeader and DataPageHeader in parquet.thrift.
_TYPE, _UNCOMPRESSED, _COMPRESSED, _CRC, _DATA_PAGE_HEADER = 1, 2, 3, 4, 5
_NUM_VALUES, _ENCODING, _DEFINITION_ENCODING, _REPETITION_ENCODING, _STATISTICS = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class PageTotals:
    """What the pages of one column chunk claim together; sizes in bytes, headers included."""

    values: int
    uncompressed_bytes: int


@dataclass(frozen=True)
class _Page:
    values: int
    body_bytes: int
    uncompressed_bytes: int
    body_start: int


def format_error(found: str, expected: str) -> NightlinkError:
    """E-DLV-FORMAT, for everything that the wire format refuses."""
    return NightlinkError(
        "E-DLV-FORMAT",
        found=found,
        expected=expected,
        remedy="Ask the custodian to encode with this version of nightlink and to deliver again.",
    )


def walk_pages(data: bytes, start: int, length: int) -> PageTotals:
    """Sum the claims of the page headers in ``data[start : start + length]``.

    Parameters
    ----------
    data : bytes
        The whole file.
    start, length : int
        Where the column chunk lies, as the footer says.

    Raises
    ------
    NightlinkError
        E-DLV-FORMAT: the bytes are no chain of plain version 1 data pages that ends where the chunk ends.
    """
    position, end = start, start + length
    values = uncompressed_bytes = 0
    while position < end:
        page = _read_page(data, position, end)
        values += page.values
        uncompressed_bytes += page.body_start - position + page.uncompressed_bytes
        position = page.body_start + page.body_bytes
    if position != end:
        raise format_error("a page that reaches beyond its column", "pages that end with their column")
    return PageTotals(values, uncompressed_bytes)


def _read_page(data: bytes, position: int, end: int) -> _Page:
    header, inner, body_start = _read_header(data, position, end)
    encodings = (inner.get(_ENCODING), inner.get(_DEFINITION_ENCODING), inner.get(_REPETITION_ENCODING))
    if header.get(_TYPE) != _DATA_PAGE or encodings != (_PLAIN, _RLE, _RLE):
        raise format_error("a page of another kind or encoding", "plain data pages, version 1")
    sizes = (inner.get(_NUM_VALUES, 0), header.get(_COMPRESSED, -1), header.get(_UNCOMPRESSED, -1))
    if sizes[0] < 1 or min(sizes) < 0:
        raise format_error("a page header with a count or size that cannot be", "at least one value a page")
    return _Page(*sizes, body_start)


def _read_header(data: bytes, position: int, end: int) -> tuple[dict[int, int], dict[int, int], int]:
    """The integers of a PageHeader and of its DataPageHeader, by field number, and where the body starts."""
    fields: dict[int, int] = {}
    inner: dict[int, int] = {}
    number = 0
    while True:
        number, kind, position = _read_field_start(data, position, end, number)
        if kind == _STOP:
            return fields, inner, position
        if kind == _I32 and _TYPE <= number <= _CRC:
            fields[number], position = _read_i32(data, position, end)
        elif kind == _STRUCT and number == _DATA_PAGE_HEADER:
            inner, position = _read_inner(data, position, end)
        else:
            raise _foreign_field()


def _read_inner(data: bytes, position: int, end: int) -> tuple[dict[int, int], int]:
    fields: dict[int, int] = {}
    number = 0
    while True:
        number, kind, position = _read_field_start(data, position, end, number)
        if kind == _STOP:
            return fields, position
        if kind == _I32 and _NUM_VALUES <= number <= _REPETITION_ENCODING:
            fields[number], position = _read_i32(data, position, end)
        elif kind == _STRUCT and number == _STATISTICS and data.startswith(_EMPTY_STRUCT, position, end):
            position += len(_EMPTY_STRUCT)  # pyarrow writes it even where it was told to keep no statistics
        else:
            raise _foreign_field()


def _read_field_start(data: bytes, position: int, end: int, last: int) -> tuple[int, int, int]:
    """Field number (0 at the end of the struct), compact type, and the position after them."""
    if position >= end:
        raise _torn_header()
    head = data[position]
    if head == _STOP:
        return 0, _STOP, position + 1
    if head >> 4 == 0:  # the long form, for steps over 15 fields: no header of ours needs it
        raise _foreign_field()
    return last + (head >> 4), head & 0x0F, position + 1


def _read_i32(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A zigzag varint and the position after it."""
    raw = 0
    for step in range(_MAX_VARINT_BYTES):
        if position + step >= end:
            raise _torn_header()
        byte = data[position + step]
        raw |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return (raw >> 1) ^ -(raw & 1), position + step + 1
    raise format_error("a number of more than 32 bits in a page header", "numbers of 32 bits")


def _foreign_field() -> NightlinkError:
    return format_error("a page header with a field that is not agreed", "sizes, a checksum and a count only")


def _torn_header() -> NightlinkError:
    return format_error("a page header that ends too early", "whole page headers")
