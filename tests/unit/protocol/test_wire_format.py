"""The wire format: what is written is read again, and nothing else is read."""

# ruff: noqa: E501  (tables: one case a line)

from __future__ import annotations

import io
import pickle
import resource
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.wire_format import MAX_PART_ROWS, part_schema, read_part, write_part
from tests.reference.tiny_delivery import (
    arrays_of,
    parquet_bytes,
    same_records,
    some_records,
    tiny_part,
    tiny_protocol,
)

PROTOCOL = tiny_protocol()
ROWS = 5


def good_table(rows: int = ROWS) -> pa.Table:
    return pq.read_table(io.BytesIO(tiny_part(rows))).cast(part_schema(PROTOCOL))


def refusal(data: bytes, rows: int = ROWS) -> str:
    with pytest.raises(NightlinkError) as caught:
        read_part(data, PROTOCOL, rows)
    assert caught.value.code == "E-DLV-FORMAT"
    assert caught.value.__cause__ is None
    return str(caught.value)


def replaced(name: str, column: pa.Array, nullable: bool = True, new_name: str | None = None) -> pa.Table:
    table = good_table()
    index = table.schema.get_field_index(name)
    return table.set_column(index, pa.field(new_name or name, column.type, nullable=nullable), column)


@pytest.mark.parametrize("rows", [0, 1, ROWS, 3000])
def test_what_is_written_is_read_again(rows: int) -> None:
    records = some_records(rows)
    data = write_part(records, PROTOCOL)
    found = read_part(data, PROTOCOL, rows)
    assert same_records(records, found)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays_of(found))
    assert write_part(found, PROTOCOL) == data


def test_schema_names_and_types() -> None:
    schema = part_schema(PROTOCOL)
    assert schema.names == ["record_pseudonym", "tokens", "filter_both_names", "rarity", "sex"]
    assert [field.type.byte_width for field in schema] == [16, 3 * 8, 32, 4, 1]
    assert not any(field.nullable for field in schema)


def test_words_are_little_endian() -> None:
    evidence = EncodedEvidence(
        np.array([[0, 2**64 - 1, 2]], np.uint64),
        (np.array([[1, 0, 0, 2**63]], np.uint64),),
        np.array([[0, 1, 2, 3]], np.uint8),
        np.array([2], np.uint8),
    )
    table = pq.read_table(io.BytesIO(write_part(EncodedRecords(np.zeros(1, "V16"), evidence), PROTOCOL)))
    assert table["tokens"][0].as_py() == bytes(8) + b"\xff" * 8 + b"\x02" + bytes(7)
    assert table["filter_both_names"][0].as_py() == b"\x01" + bytes(30) + b"\x80"
    assert table["rarity"][0].as_py() == bytes(range(4)) and table["sex"][0].as_py() == b"\x02"


def test_no_statistics_and_no_metadata_are_written() -> None:
    metadata = pq.ParquetFile(io.BytesIO(tiny_part())).metadata
    assert metadata.metadata is None
    assert not any(metadata.row_group(0).column(i).is_stats_set for i in range(metadata.num_columns))


def test_records_of_another_protocol_are_not_written() -> None:
    evidence = replace(some_records(1).evidence, tokens=np.zeros((1, 2), np.uint64))
    with pytest.raises(NightlinkError, match=r"E-KERNEL-INPUT: found evidence of widths \(2, \[4\], 4\)"):
        write_part(EncodedRecords(np.zeros(1, "V16"), evidence), PROTOCOL)


def blank_records(rows: int) -> EncodedRecords:
    tokens, words = np.zeros((rows, 3), np.uint64), np.zeros((rows, 4), np.uint64)
    evidence = EncodedEvidence(tokens, (words,), np.zeros((rows, 4), np.uint8), np.zeros(rows, np.uint8))
    return EncodedRecords(np.zeros(rows, "V16"), evidence)


def test_more_rows_than_a_part_may_hold_are_not_written() -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*at most 1048576 records"):
        write_part(blank_records(MAX_PART_ROWS + 1), PROTOCOL)


NOT_PARQUET = {
    "nothing": b"",
    "a pickle": pickle.dumps({"a": 1}),
    "text": b"pseudonym,filter\n" * 50,
    "magic only": b"PAR1PAR1",
    "magic around nothing": b"PAR1" + bytes(40) + b"PAR1",
    "an endless footer": b"PAR1" + bytes(40) + b"\xff\xff\xff\x7f" + b"PAR1",
    "an encrypted footer": b"PARE" + bytes(40) + b"PARE",
}


@pytest.mark.parametrize("data", NOT_PARQUET.values(), ids=NOT_PARQUET.keys())
def test_other_bytes_are_refused(data: bytes) -> None:
    assert "Parquet" in refusal(data)


def test_an_object_array_is_refused() -> None:
    sink = io.BytesIO()
    np.save(sink, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not a whole Parquet file" in refusal(sink.getvalue())


BYTES = pa.array([bytes([i]) for i in range(ROWS)], pa.binary(1))
PSEUDONYMS = pa.array([bytes([i] * 16) for i in range(ROWS)], pa.binary(16))
FILTER = "filter_both_names"

FOREIGN_TABLES: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "a column more": (lambda: good_table().append_column("given_name", BYTES), "found 6 columns; expected 5"),
    "a column less": (lambda: good_table().drop_columns(["sex"]), "found 4 columns; expected 5"),
    "renamed": (lambda: replaced("sex", BYTES, False, new_name="jane_doe"), "expected sex as"),
    "reordered": (lambda: good_table().select([1, 0, 2, 3, 4]), "column 1 with another name"),
    "numbers": (lambda: replaced("sex", pa.array(range(ROWS), pa.uint64()), False), "expected sex as 1 bytes, never null"),
    "floating": (lambda: replaced("sex", pa.array(range(ROWS), pa.float64()), False), "expected sex as 1 bytes, never null"),
    "nested": (lambda: replaced("sex", pa.array([[1]] * ROWS)), "found 7 columns"),
    "a struct": (lambda: replaced("sex", pa.array([{"a": 1, "b": 2}] * ROWS)), "found 7 columns"),
    "of any length": (lambda: replaced(FILTER, pa.array([b"x" * 32] * ROWS)), "as 32 bytes, never null"),
    "too short": (lambda: replaced(FILTER, pa.array([b"x" * 31] * ROWS, pa.binary(31)), False), "column 3"),
    "too few tokens": (lambda: replaced("tokens", pa.array([b"x" * 16] * ROWS, pa.binary(16)), False), "column 2"),
    "texts": (lambda: replaced(FILTER, pa.array(["x" * 32] * ROWS), False), "as 32 bytes, never null"),
    "null pseudonym": (lambda: replaced("record_pseudonym", pa.array([None] * ROWS, pa.binary(16))), "never null"),
    "nullable pseudonym": (lambda: replaced("record_pseudonym", PSEUDONYMS), "record_pseudonym as 16 bytes, never null"),
    "null filter": (lambda: replaced(FILTER, pa.array([None] * ROWS, pa.binary(32))), "never null"),
    "an extension type": (lambda: replaced("record_pseudonym", PSEUDONYMS.cast(pa.uuid()), False), "column 1"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "phrase"), FOREIGN_TABLES.values(), ids=FOREIGN_TABLES.keys())
def test_columns_that_are_not_agreed_are_refused(make: Callable[[], pa.Table], phrase: str) -> None:
    message = refusal(parquet_bytes(make()))
    assert phrase in message
    assert "jane_doe" not in message


FOREIGN_OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "snappy": ({"compression": "snappy"}, "another compression; expected UNCOMPRESSED or ZSTD"),
    "gzip": ({"compression": "gzip"}, "another compression"),
    "brotli": ({"compression": "brotli"}, "another compression"),
    "lz4": ({"compression": "lz4"}, "another compression"),
    "a dictionary": ({"use_dictionary": True}, "with a dictionary"),
    "statistics": ({"write_statistics": True}, "with a dictionary or statistics"),
    "metadata": ({"store_schema": True}, "extra metadata, such as an extension type"),
    "two row groups": ({"row_group_size": 3}, "found 2 row groups"),
    "version 2 pages": ({"data_page_version": "2.0"}, "a page of another kind"),
    "split bytes": ({"use_byte_stream_split": True}, "column 1 with other fields or values"),
    "delta encoding": ({"column_encoding": {"tokens": "DELTA_BYTE_ARRAY"}}, "column 2 with other fields or values"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "phrase"), FOREIGN_OPTIONS.values(), ids=FOREIGN_OPTIONS.keys())
def test_files_written_otherwise_are_refused(options: dict[str, object], phrase: str) -> None:
    assert phrase in refusal(parquet_bytes(good_table(), **options))


def test_uncompressed_pages_are_read() -> None:
    found = read_part(parquet_bytes(good_table(), compression="none"), PROTOCOL, ROWS)
    assert same_records(found, some_records(ROWS))


def test_metadata_of_the_custodian_is_refused() -> None:
    table = good_table().replace_schema_metadata({"note": "hello"})
    assert "extra metadata" in refusal(parquet_bytes(table, store_schema=True))


@pytest.mark.parametrize("rows", [0, ROWS - 1, ROWS + 1])
def test_another_row_count_is_refused(rows: int) -> None:
    assert f"found {ROWS} rows; expected {rows}" in refusal(tiny_part(ROWS), rows)


@pytest.mark.parametrize("rows", [-1, MAX_PART_ROWS + 1])
def test_impossible_row_counts_are_refused(rows: int) -> None:
    assert f"found a part of {rows} rows" in refusal(tiny_part(ROWS), rows)


def test_a_file_larger_than_its_rows_allow_is_refused_unread() -> None:
    data = b"PAR1" + bytes(1_000_000) + b"PAR1"
    assert "found 1000008 bytes for 5 rows" in refusal(data)


# --- bombs: small files that claim, or unpack to, very much


def zeros(rows: int) -> bytes:
    """Compressed, as parts were before and as they may come."""
    table = pq.read_table(io.BytesIO(write_part(blank_records(rows), PROTOCOL)))
    sink = io.BytesIO()
    pq.write_table(
        table.cast(part_schema(PROTOCOL)),
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
        row_group_size=MAX_PART_ROWS,
    )
    return sink.getvalue()


def test_a_million_rows_in_a_small_file_are_refused_before_they_are_unpacked() -> None:
    data = zeros(MAX_PART_ROWS)
    assert len(data) < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert f"found {MAX_PART_ROWS} rows; expected {ROWS}" in refusal(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # kB


def varint_end(data: bytes, start: int) -> int:
    while data[start] >= 0x80:
        start += 1
    return start + 1


def with_varint_raised(data: bytes, start: int) -> bytes:
    """The varint at ``start`` at the largest value that fits into its bytes (even: zigzag, not negative)."""
    end = varint_end(data, start)
    return data[:start] + b"\xfe" + b"\xff" * (end - start - 2) + b"\x7f" + data[end:]


def filter_page_fields(data: bytes) -> dict[str, int]:
    """Where the numbers of the filter column's first page header begin."""
    start = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(2).data_page_offset
    uncompressed = start + 3
    compressed = varint_end(data, uncompressed) + 1
    checksum = varint_end(data, compressed) + 1
    return {
        "uncompressed size": uncompressed,
        "compressed size": compressed,
        "value count": varint_end(data, checksum) + 2,
    }


@pytest.mark.parametrize("field", ["uncompressed size", "compressed size", "value count"])
def test_a_page_header_that_claims_more_is_refused(field: str) -> None:
    data = tiny_part(1000)
    bomb = with_varint_raised(data, filter_page_fields(data)[field])
    assert len(bomb) == len(data) and bomb != data
    message = refusal(bomb, 1000)
    assert "whose pages disagree with the footer" in message or "reaches beyond its column" in message
    read_part(data, PROTOCOL, 1000)


def test_a_flipped_bit_in_a_page_fails_its_checksum() -> None:
    data = bytearray(tiny_part(1000))
    start = filter_page_fields(bytes(data))["value count"] + 100
    data[start] ^= 1
    assert "pages that do not decode" in refusal(bytes(data), 1000)
