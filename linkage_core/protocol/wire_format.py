"""Encoded records on the wire: one Parquet file a part, in one exact shape. Zone: protocol.

Columns, each of fixed width and never null, in this order: ``record_pseudonym`` (16 bytes), ``tokens`` (8
bytes a token, the blocking passes' first: little-endian, 0 where a part was missing), ``filter_<name>`` for
each of the protocol's filters (its sent_bits / 8 bytes: little-endian 64-bit words), ``rarity`` (a byte a
field) and ``sex`` (a byte). One row group, plain pages without compression (what was written with zstd before is
read), page checksums, no statistics, no metadata of anybody's.

Reading trusts nothing: sizes are checked against the manifest's row count, first in the file, then in the
footer, then in every page header, all in Python, and only then does the Parquet library see a byte. A reader
should still run in a process with a memory limit of its own, since the library is native code.
"""

from __future__ import annotations

import math
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_evidence import EncodedEvidence, check_evidence
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, PSEUDONYM_DTYPE, EncodedRecords
from linkage_core.protocol.evidence_spec import evidence_of
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
    return _schema(_agreed_columns(protocol))


def write_part(records: EncodedRecords, protocol: LinkageProtocol) -> bytes:
    """Encode records as a part; row order is kept, and equal records give equal bytes.

    Equal bytes hold for one version of pyarrow, which writes its version into the footer.

    Raises
    ------
    NightlinkError
        E-INPUT: more than :data:`MAX_PART_ROWS` rows. E-KERNEL-INPUT: arrays without the protocol's widths.
    """
    _check_writable(records, protocol)
    # a stream that grows would copy what it has, again and again
    buffer = pa.allocate_buffer(_size_bound(_agreed_columns(protocol), len(records)))
    sink = pa.FixedSizeBufferWriter(buffer)
    stream_part(records, protocol, sink)
    data: bytes = buffer.slice(0, sink.tell()).to_pybytes()
    return data


def stream_part(records: EncodedRecords, protocol: LinkageProtocol, sink: IO[bytes] | pa.NativeFile) -> None:
    """Write the bytes of :func:`write_part` to a sink as they come, page by page; raises as it does."""
    _check_writable(records, protocol)
    table = pa.Table.from_arrays(_columns_of(records), schema=part_schema(protocol))
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="none",  # encodings are random: it would cost a quarter of the time of writing and save nothing
        use_dictionary=False,
        write_statistics=False,  # minima and maxima would be disclosed twice, to no one's use
        write_page_checksum=True,
        store_schema=False,
        row_group_size=MAX_PART_ROWS,
    )


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
        Arrays of their own (writable, C-contiguous).

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
    check_evidence(records.evidence, evidence_of(protocol))
    if len(records) > MAX_PART_ROWS:
        raise NightlinkError(
            "E-INPUT",
            found=f"{len(records)} records",
            expected=f"at most {MAX_PART_ROWS} records a part",
            remedy="Split large batches into parts.",
        )


def _columns_of(records: EncodedRecords) -> list[pa.Array]:
    evidence = records.evidence
    arrays = [
        records.record_pseudonyms,
        evidence.tokens.astype("<u8", copy=False),
        *(filters.astype("<u8", copy=False) for filters in evidence.group_filters),
        evidence.rarity,
        evidence.sex,
    ]
    return [_fixed_size_binary(array, len(records)) for array in arrays]


def _fixed_size_binary(array: npt.NDArray[np.generic], rows: int) -> pa.Array:
    width = array.itemsize * math.prod(array.shape[1:])
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # a view: parts are large
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(content)])


def _agreed_columns(protocol: LinkageProtocol) -> list[AgreedColumn]:
    spec = evidence_of(protocol)
    filters = [(f"filter_{group.name}", group.sent_bits // 8) for group in spec.groups]
    widths = [
        ("record_pseudonym", PSEUDONYM_BYTES),
        ("tokens", len(spec.tokens) * _WORD_BYTES),
        *filters,
        ("rarity", len(spec.fields)),
        ("sex", 1),
    ]
    return [AgreedColumn(name, width, nullable=False) for name, width in widths]


def _column_bound(column: AgreedColumn, rows: int) -> int:
    """Bytes that a column may take at most, with its null marks and page headers."""
    return rows * (column.width + 1) + _COLUMN_ALLOWANCE_BYTES


def _schema(columns: list[AgreedColumn]) -> pa.Schema:
    return pa.schema([pa.field(c.name, pa.binary(c.width), nullable=False) for c in columns])


def _size_bound(columns: list[AgreedColumn], rows: int) -> int:
    return sum(_column_bound(column, rows) for column in columns) + MAX_FOOTER_BYTES


def _check_file_size(data: bytes, protocol: LinkageProtocol, expected_rows: int) -> None:
    if not 0 <= expected_rows <= MAX_PART_ROWS:
        raise format_error(f"a part of {expected_rows} rows", f"parts of at most {MAX_PART_ROWS} rows")
    bound = _size_bound(_agreed_columns(protocol), expected_rows)
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
    pseudonyms, tokens, *filters, rarity, sex = (
        _fixed_size_bytes(table.column(c.name), c.width) for c in _agreed_columns(protocol)
    )
    rows = table.num_rows
    evidence = EncodedEvidence(
        _words(tokens, rows, len(evidence_of(protocol).tokens)),
        tuple(
            _words(w, rows, g.sent_bits // 64)
            for w, g in zip(filters, protocol.evidence.filters, strict=True)
        ),
        np.frombuffer(rarity, np.uint8).reshape(rows, len(protocol.fields)).copy(),
        np.frombuffer(sex, np.uint8).copy(),
    )
    return EncodedRecords(np.frombuffer(pseudonyms, PSEUDONYM_DTYPE).copy(), evidence)


def _words(content: memoryview, rows: int, columns: int) -> npt.NDArray[np.uint64]:
    return np.frombuffer(content, "<u8").reshape(rows, columns).astype(np.uint64)


def _fixed_size_bytes(column: pa.ChunkedArray, width: int) -> memoryview:
    """The column's bytes, ``width`` a row; empty for a column without rows."""
    if len(column) == 0:
        return memoryview(b"")
    chunk = column.chunk(0)
    content = memoryview(chunk.buffers()[1])
    return content[chunk.offset * width : (chunk.offset + len(chunk)) * width]
