"""Encoded records on the wire: one Parquet file a part, in one exact shape. Zone: protocol.

Columns, in this order: ``record_pseudonym`` (16 bytes), ``filter`` (filter.bits / 8 bytes: little-endian
64-bit words), then one nullable uint64 per blocking pass, ``block_<pass>``, null where
:class:`EncodedRecords` has 0. One row group, plain pages, zstd, page checksums, no statistics, no metadata of
anybody's.

Reading trusts nothing: sizes are checked against the manifest's row count, first in the file, then in the
footer, then in every page header, all in Python, and only then does the Parquet library see a byte. A reader
should still run in a process with a memory limit of its own, since the library is native code.
"""

from __future__ import annotations

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
from linkage_core.protocol.parquet_footer import MAX_FOOTER_BYTES, AgreedColumn, read_footer
from linkage_core.protocol.parquet_pages import PageTotals, format_error, walk_pages

MAX_PART_ROWS = 1 << 20
"""Rows a part may hold at most: larger deliveries come in several parts, so that memory stays bounded."""

# Room for page headers and the zstd frames of pages that do not shrink; null marks add a byte a row at most.
_COLUMN_ALLOWANCE_BYTES = 1 << 16
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
    _check_claims(data, protocol, expected_rows)
    try:
        parquet = pq.ParquetFile(
            pa.BufferReader(data),
            pre_buffer=False,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )
        table = parquet.read(use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError, ValueError):
        # The library's words may quote bytes of the file.
        raise format_error("pages that do not decode", "a Parquet file as agreed") from None
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


def _agreed_columns(protocol: LinkageProtocol) -> list[AgreedColumn]:
    return [
        AgreedColumn("record_pseudonym", PSEUDONYM_BYTES, nullable=False),
        AgreedColumn("filter", protocol.filter.bits // 8, nullable=False),
        *(AgreedColumn(f"block_{name}", _WORD_BYTES, nullable=True) for name in protocol.pass_names),
    ]


def _column_bound(column: AgreedColumn, rows: int) -> int:
    """Bytes that a column may take at most, with its null marks and page headers."""
    return rows * (column.width + 1) + _COLUMN_ALLOWANCE_BYTES


def _check_file_size(data: bytes, protocol: LinkageProtocol, expected_rows: int) -> None:
    if not 0 <= expected_rows <= MAX_PART_ROWS:
        raise format_error(f"a part of {expected_rows} rows", f"parts of at most {MAX_PART_ROWS} rows")
    columns = _agreed_columns(protocol)
    bound = sum(_column_bound(column, expected_rows) for column in columns) + MAX_FOOTER_BYTES
    if len(data) > bound:
        raise format_error(f"{len(data)} bytes for {expected_rows} rows", f"at most {bound} bytes")


def _check_claims(data: bytes, protocol: LinkageProtocol, expected_rows: int) -> None:
    """Footer, then pages: every size and count that the decoder will believe is bounded, and they agree."""
    columns = _agreed_columns(protocol)
    chunks = read_footer(data, columns, expected_rows)
    for number, (column, chunk) in enumerate(zip(columns, chunks, strict=True), start=1):
        bound = _column_bound(column, expected_rows)
        if chunk.uncompressed_bytes > bound:
            raise format_error(f"column {number} of {chunk.uncompressed_bytes} bytes", f"at most {bound}")
        totals = walk_pages(data, chunk.start, chunk.compressed_bytes)
        if totals != PageTotals(expected_rows, chunk.uncompressed_bytes):
            found = f"column {number} whose pages disagree with the footer"
            raise format_error(found, "one count and one size")


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
