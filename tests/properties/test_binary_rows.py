"""A stream of PostgreSQL's binary COPY format, cut anywhere, gives its rows; any other stream is refused."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.binary_rows import HEADER, read_binary_rows
from linkage_core.errors import NightlinkError

VALUES = st.one_of(st.none(), st.text(max_size=9))
Row = tuple[str | None, ...]


def stream_of(rows: list[Row]) -> bytes:
    """The format, written out from the manual."""
    out = HEADER
    for row in rows:
        out += struct.pack(">h", len(row))
        for value in row:
            data = None if value is None else value.encode()
            out += struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
    return out + struct.pack(">h", -1)


@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=12),
    piece_bytes=st.integers(1, 60),
    batch_rows=st.integers(1, 8),
    wanted=st.lists(st.integers(0, 2), min_size=1, unique=True),
)
@settings(max_examples=120, deadline=None)
def test_rows_come_whole_and_in_order(
    rows: list[Row], piece_bytes: int, batch_rows: int, wanted: list[int]
) -> None:
    stream = stream_of(rows)
    pieces = [stream[first : first + piece_bytes] for first in range(0, len(stream), piece_bytes)]
    batches = list(read_binary_rows(pieces, ["a", "b", "c"], wanted, batch_rows))
    found = [
        tuple(row[name] for name in batch.schema.names) for batch in batches for row in batch.to_pylist()
    ]
    assert found == [tuple(row[place] for place in wanted) for row in rows]
    sizes = [batch.num_rows for batch in batches]
    assert all(size == batch_rows for size in sizes[:-1]) and sum(sizes) == len(rows) and sizes
    assert list(batches[0].schema.names) == ["abc"[place] for place in wanted]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"PGCOPY\n\xff\r\n\0" + bytes(7) + b"\1" + stream_of([])[19:],
        stream_of([("x", "y")])[:-1],
        stream_of([("x", "y", "z")]),
        HEADER + struct.pack(">hi", 2, -2),
    ],
)
def test_another_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT"):
        list(read_binary_rows([stream], ["a", "b"], [0, 1], 10))


def test_bytes_that_are_no_text_are_refused_without_a_word_of_them() -> None:
    stream = stream_of([("secret", "b")]).replace(b"secret", b"s\xff\xferet")
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA.*encoding") as caught:
        list(read_binary_rows([stream], ["a", "b"], [0, 1], 10))
    assert "ret" not in str(caught.value.found)
