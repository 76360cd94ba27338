"""The page headers of one Parquet column chunk, read before any decoder sees them. Zone: protocol.

A Parquet file states its sizes twice: in the footer, which the reader can check, and in each page's own
header, which native decoders believe before they have seen a byte of data: 300 bytes may claim a page of
2 GiB or of 10^9 values (apache/arrow issue 49955). So the headers are walked here first, and only the one shape
that the wire format uses is let through.
"""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.errors import NightlinkError
from linkage_core.protocol.thrift_compact import CompactError, Kind, Value, read_struct

# Field numbers of PageHeader and DataPageHeader, and values of their enumerations, in parquet.thrift.
_TYPE, _UNCOMPRESSED, _COMPRESSED, _CRC, _DATA_PAGE_HEADER = 1, 2, 3, 4, 5
_NUM_VALUES, _ENCODING, _DEFINITION_ENCODING, _REPETITION_ENCODING, _STATISTICS = 1, 2, 3, 4, 5
_DATA_PAGE = Value(Kind.I32, 0)
_PLAIN_WITH_RLE_LEVELS = [Value(Kind.I32, 0), Value(Kind.I32, 3), Value(Kind.I32, 3)]
# pyarrow writes an empty struct even where it was told to keep no statistics.
_NO_STATISTICS = (None, Value(Kind.STRUCT, {}))


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
    try:
        header, body_start = read_struct(data, position, end)
    except CompactError as error:
        raise format_error(f"{error} in a page header", "whole page headers") from None
    inner = header.get(_DATA_PAGE_HEADER, Value(Kind.STOP, None))
    if header.get(_TYPE) != _DATA_PAGE or inner.kind != Kind.STRUCT:
        raise format_error("a page of another kind", "data pages, version 1")
    _check_fields(header, inner.value)
    sizes = (
        _number(inner.value, _NUM_VALUES),
        _number(header, _COMPRESSED),
        _number(header, _UNCOMPRESSED),
    )
    if sizes[0] < 1 or min(sizes) < 0:
        raise format_error("a page header with a count or size that cannot be", "at least one value a page")
    return _Page(*sizes, body_start)


def _check_fields(header: dict[int, Value], inner: dict[int, Value]) -> None:
    encodings = [inner.get(field) for field in (_ENCODING, _DEFINITION_ENCODING, _REPETITION_ENCODING)]
    if encodings != _PLAIN_WITH_RLE_LEVELS:
        raise format_error("a page in another encoding", "plain pages")
    if max(header) > _DATA_PAGE_HEADER or inner.get(_STATISTICS) not in _NO_STATISTICS or len(inner) > 5:
        raise format_error("a page header with a field that is not agreed", "sizes, a checksum, a count")
    if header.get(_CRC, _DATA_PAGE).kind != Kind.I32:
        raise format_error("a page header with a checksum of another type", "32 bits")


def _number(fields: dict[int, Value], field: int) -> int:
    """A 32-bit number; -1 where it is missing or of another kind."""
    found = fields.get(field)
    return int(found.value) if found is not None and found.kind == Kind.I32 else -1
