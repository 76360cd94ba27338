"""Encoded records on the wire: one Parquet file a part, in one exact shape. Zone: protocol.

Columns, in this order: ``record_pseudonym`` (16 bytes), ``filter`` (filter.bits / 8 bytes: little-endian
64-bit words), then one nullable uint64 per blocking pass, ``block_<pass>``, null where
:class:`EncodedRecords` has 0. One row group, plain pages, zstd, page checksums, no statistics, no metadata of
anybody's.

Reading trusts nothing: sizes are checked against the manifest's row count, first in the file, then in the
footer, then in every page header, and only then does a decoder run. A reader should still run in a process
with a memory limit of its own, since the decoders are native code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import (
    NULL_BLOCKING_VALUE,
    PSEUDONYM_BYTES,
    PSEUDONYM_DTYPE,
    EncodedRecords,
)
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from linkage_core.protocol.parquet_pages import format_error, walk_pages

MAX_PART_ROWS = 1 << 20
"""Rows a part may hold at most: larger deliveries come in several parts, so that memory stays bounded."""

ALLOWED_CODECS = frozenset({"ZSTD", "UNCOMPRESSED"})

_MAGIC = b"PAR1"
# Room for page headers and the zstd frames of pages that do not shrink; null marks add a byte a row at most.
_COLUMN_ALLOWANCE_BYTES = 1 << 16
_FOOTER_ALLOWANCE_BYTES = 1 << 16
# The footer's lists are as long as there are columns; its strings are column names and one creator's version.
_FOOTER_LIST_LIMIT = 1000
_FOOTER_STRING_LIMIT = 4096
_WORD_BYTES = 8


def part_schema(protocol: LinkageProtocol) -> pa.Schema:
    """The Arrow schema of a part under this protocol."""
    return pa.schema(
        [
            pa.field("record_pseudonym", pa.binary(PSEUDONYM_BYTES), nullable=False),
            pa.field("filter", pa.binary(protocol.filter.bits // 8), nullable=False),
            *(pa.field(f"block_{name}", pa.uint64(), nullable=True) for name in protocol.pass_names),
        ]
    )


def write_part(records: EncodedRecords, protocol: LinkageProtocol) -> bytes:
    """Encode records as a part; row order is kept, and equal records give equal bytes.

    Equal bytes hold for one version of pyarrow, which writes its version into the footer.

    Raises
    ------
    NightlinkError
        E-INPUT: the arrays have not the protocol's widths, or there are more than :data:`MAX_PART_ROWS` rows.
    """
    _check_writable(records, protocol)
    table = pa.Table.from_arrays(_columns_of(records), schema=part_schema(protocol))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=1,  # filters are nearly random: a higher level costs time and saves nothing
        use_dictionary=False,
        write_statistics=False,  # minima and maxima would be disclosed twice, to no one's use
        write_page_checksum=True,
        store_schema=False,
        row_group_size=MAX_PART_ROWS,
    )
    return bytes(sink.getvalue().to_pybytes())


def read_part(data: bytes, protocol: LinkageProtocol, expected_rows: int) -> EncodedRecords:
    """Decode a part of exactly ``expected_rows`` rows, in the order written.

    Parameters
    ----------
    data : bytes
        The whole file, its digest already checked against the signed manifest.
    expected_rows : int
        The manifest's row count of this part; bounds what will be allocated.

    Returns
    -------
    EncodedRecords
        Arrays of their own (writable, C-contiguous); 0 where a blocking value is null.

    Raises
    ------
    NightlinkError
        E-DLV-FORMAT: anything but the shape in this module's docstring. The message holds no content.
    """
    _check_file_size(data, protocol, expected_rows)
    try:
        parquet = pq.ParquetFile(
            pa.BufferReader(data),
            pre_buffer=False,
            thrift_string_size_limit=_FOOTER_STRING_LIMIT,
            thrift_container_size_limit=_FOOTER_LIST_LIMIT,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )
        _check_columns(parquet.schema, protocol)
        _check_sizes(parquet.metadata, data, protocol, expected_rows)
        if not parquet.schema_arrow.equals(part_schema(protocol)):
            raise format_error("columns of other types", "the columns that the protocol sets out")
        table = parquet.read(use_threads=False).combine_chunks()
        table.validate(full=True)
    except NightlinkError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError):
        # The library's words may quote bytes of the file.
        raise format_error("bytes that do not decode as Parquet", "a Parquet file as agreed") from None
    return _records_of(table, protocol)


def _check_writable(records: EncodedRecords, protocol: LinkageProtocol) -> None:
    found = (records.filters.shape[1], records.blocking_values.shape[1])
    expected = (protocol.filter_words, len(protocol.pass_names))
    if found != expected or len(records) > MAX_PART_ROWS:
        raise NightlinkError(
            "E-INPUT",
            found=f"{len(records)} records with {found[0]} filter words and {found[1]} blocking values",
            expected=f"at most {MAX_PART_ROWS} records with {expected[0]} words and {expected[1]} values",
            remedy="Encode under the protocol that is being written, and split large batches into parts.",
        )


def _columns_of(records: EncodedRecords) -> list[pa.Array]:
    filters = np.ascontiguousarray(records.filters, dtype="<u8")
    blocks = (np.ascontiguousarray(column) for column in records.blocking_values.T)
    return [
        _fixed_size_binary(records.record_pseudonyms.tobytes(), len(records), PSEUDONYM_BYTES),
        _fixed_size_binary(filters.tobytes(), len(records), filters.shape[1] * _WORD_BYTES),
        *(pa.array(column, type=pa.uint64(), mask=column == NULL_BLOCKING_VALUE) for column in blocks),
    ]


def _fixed_size_binary(content: bytes, rows: int, width: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(content)])


def _column_bounds(protocol: LinkageProtocol, rows: int) -> list[int]:
    """Bytes that each column may take at most, with its null marks and page headers."""
    widths = [PSEUDONYM_BYTES, protocol.filter.bits // 8, *[_WORD_BYTES] * len(protocol.pass_names)]
    return [rows * (width + 1) + _COLUMN_ALLOWANCE_BYTES for width in widths]


def _check_file_size(data: bytes, protocol: LinkageProtocol, expected_rows: int) -> None:
    if not 0 <= expected_rows <= MAX_PART_ROWS:
        raise format_error(f"a part of {expected_rows} rows", f"parts of at most {MAX_PART_ROWS} rows")
    bound = sum(_column_bounds(protocol, expected_rows)) + _FOOTER_ALLOWANCE_BYTES
    if len(data) > bound:
        raise format_error(f"{len(data)} bytes for {expected_rows} rows", f"at most {bound} bytes")
    if len(data) < 3 * len(_MAGIC) or not (data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise format_error("bytes that are not a whole Parquet file", "a Parquet file")


def _check_columns(schema: Any, protocol: LinkageProtocol) -> None:
    """Compare the file's own column types with the agreed ones; unknown names are counted, never quoted."""
    agreed = _agreed_columns(protocol)
    if len(schema.names) != len(agreed):
        raise format_error(
            f"{len(schema.names)} columns", f"{len(agreed)}: {', '.join(c[0] for c in agreed)}"
        )
    for number, wanted in enumerate(agreed):
        column = schema.column(number)
        found = (
            column.path,
            column.physical_type,
            column.logical_type.type,
            column.length,
            column.max_definition_level,
            column.max_repetition_level,
        )
        if found != wanted:
            raise format_error(
                f"column {number + 1} with another name, type, length or null rule",
                f"{wanted[0]} as {wanted[1]}, {'nullable' if wanted[4] else 'without nulls'}",
            )


def _agreed_columns(protocol: LinkageProtocol) -> list[tuple[str, str, str, int, int, int]]:
    """Path, physical type, logical type, length in bytes, definition level, repetition level."""
    binary, plain = "FIXED_LEN_BYTE_ARRAY", "NONE"
    return [
        ("record_pseudonym", binary, plain, PSEUDONYM_BYTES, 0, 0),
        ("filter", binary, plain, protocol.filter.bits // 8, 0, 0),
        *((f"block_{name}", "INT64", "INT", 0, 1, 0) for name in protocol.pass_names),
    ]


def _check_sizes(metadata: Any, data: bytes, protocol: LinkageProtocol, expected_rows: int) -> None:
    if metadata.num_rows != expected_rows:
        raise format_error(f"{metadata.num_rows} rows", f"{expected_rows}, as the manifest says")
    if metadata.num_row_groups != 1 or metadata.row_group(0).num_rows != expected_rows:
        raise format_error(f"{metadata.num_row_groups} row groups", "one row group with all rows")
    if metadata.metadata:
        raise format_error("extra metadata, such as an extension type", "no metadata beyond the columns")
    position, footer_start = len(_MAGIC), len(data) - 2 * len(_MAGIC) - metadata.serialized_size
    for number, bound in enumerate(_column_bounds(protocol, expected_rows)):
        chunk = metadata.row_group(0).column(number)
        _check_chunk(chunk, number + 1, expected_rows, bound)
        if expected_rows:
            _check_pages(chunk, number + 1, data, position, footer_start)
        position += chunk.total_compressed_size


def _check_chunk(chunk: Any, number: int, expected_rows: int, bound: int) -> None:
    if chunk.compression not in ALLOWED_CODECS:
        raise format_error(f"column {number} under another compression", " or ".join(sorted(ALLOWED_CODECS)))
    if chunk.num_values != expected_rows:
        raise format_error(f"column {number} with {chunk.num_values} values", f"{expected_rows}, one a row")
    if not (0 <= chunk.total_uncompressed_size <= bound and 0 <= chunk.total_compressed_size <= bound):
        raise format_error(
            f"column {number} of {chunk.total_uncompressed_size} bytes unpacked", f"at most {bound} bytes"
        )
    if chunk.file_path or chunk.has_dictionary_page:
        raise format_error(
            f"column {number} with a dictionary or in another file", "plain pages in this file"
        )


def _check_pages(chunk: Any, number: int, data: bytes, position: int, footer_start: int) -> None:
    """Columns lie one after the other from the start, and their pages add up to what the footer says."""
    end = position + chunk.total_compressed_size
    if chunk.data_page_offset != position or end > footer_start:
        raise format_error(f"column {number} at an unexpected place", "columns one after the other")
    totals = walk_pages(data, position, chunk.total_compressed_size)
    if (totals.values, totals.uncompressed_bytes) != (chunk.num_values, chunk.total_uncompressed_size):
        raise format_error(f"column {number} whose pages disagree with the footer", "one count and one size")


def _records_of(table: pa.Table, protocol: LinkageProtocol) -> EncodedRecords:
    rows = table.num_rows
    pseudonyms = _fixed_size_bytes(table.column("record_pseudonym"), PSEUDONYM_BYTES)
    filters = _fixed_size_bytes(table.column("filter"), protocol.filter_words * _WORD_BYTES)
    return EncodedRecords(
        np.frombuffer(pseudonyms, PSEUDONYM_DTYPE).copy(),
        np.frombuffer(filters, "<u8").reshape(rows, protocol.filter_words).astype(np.uint64),
        _blocking_values(table, protocol),
    )


def _fixed_size_bytes(column: pa.ChunkedArray, width: int) -> memoryview:
    """The column's bytes, ``width`` a row; empty for a column without rows."""
    if len(column) == 0:
        return memoryview(b"")
    chunk = column.chunk(0)
    content = memoryview(chunk.buffers()[1])
    return content[chunk.offset * width : (chunk.offset + len(chunk)) * width]


def _blocking_values(table: pa.Table, protocol: LinkageProtocol) -> npt.NDArray[np.uint64]:
    values = np.zeros((table.num_rows, len(protocol.pass_names)), np.uint64)
    for index, name in enumerate(protocol.pass_names):
        column = table.column(f"block_{name}")
        values[:, index] = column.fill_null(NULL_BLOCKING_VALUE).to_numpy()
        if np.count_nonzero(values[:, index]) != table.num_rows - column.null_count:
            # 0 stands for null in memory, so a stored 0 would make two spellings of one delivery.
            raise format_error(f"the value 0 in block_{name}", "null where a blocking value is missing")
    return values
