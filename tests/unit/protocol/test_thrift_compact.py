"""The reader of Thrift's compact protocol, against a slow writer and against broken bytes."""

from __future__ import annotations

import pytest

from linkage_core.protocol.thrift_compact import MAX_DEPTH, CompactError, Kind, Value, read_struct
from tests.reference.compact_writer import write_struct

FIELDS = {
    1: Value(Kind.I32, -7),
    2: Value(Kind.I64, 2**63 - 1),
    3: Value(Kind.I64, -(2**63)),
    4: Value(Kind.TRUE, None),
    5: Value(Kind.FALSE, None),
    6: Value(Kind.BYTE, 200),
    7: Value(Kind.I16, -(2**15)),
    8: Value(Kind.BINARY, b"text"),
    9: Value(Kind.LIST, [Value(Kind.I32, n) for n in range(40)]),
    20: Value(Kind.LIST, []),
    21: Value(Kind.STRUCT, {1: Value(Kind.LIST, [Value(Kind.STRUCT, {})])}),
}


def test_what_is_written_is_read() -> None:
    data = b"before" + write_struct(FIELDS) + b"after"
    assert read_struct(data, 6, len(data)) == (FIELDS, len(data) - 5)


def test_a_struct_cut_anywhere_is_refused() -> None:
    data = write_struct(FIELDS)
    for end in range(len(data)):
        with pytest.raises(CompactError):
            read_struct(data, 0, end)


BROKEN = {
    "a step back": (b"\x15\x02\x05\x02\x02\x00", "field number out of order"),
    "a double": (b"\x17" + bytes(9), "a type that Parquet does not write"),
    "a set": (b"\x1a\x15\x02\x00", "a type that Parquet does not write"),
    "a map": (b"\x1b\x01\x55\x02\x02\x00", "a type that Parquet does not write"),
    "a list of booleans": (b"\x19\x11\x01\x00", "a type that Parquet does not write"),
    "a number without end": (b"\x15" + b"\x80" * 20, "a number that does not end"),
    "33 bits": (b"\x15\xff\xff\xff\xff\x1f\x00", "too large for its type"),
    "17 bits": (b"\x14\xff\xff\x07\x00", "too large for its type"),
    "an endless text": (b"\x18\xff\xff\xff\xff\x0f\x00", "a text that is longer than the file"),
    "an endless list": (b"\x19\xf5\xff\xff\xff\xff\x0f\x00", "a list that is longer than the file"),
    "structs in structs": (b"\x1c" * 100, "nested too deeply"),
    "lists in lists": (b"\x19" + b"\x19" * 100, "nested too deeply"),
}


@pytest.mark.parametrize(("data", "phrase"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_bytes_are_refused(data: bytes, phrase: str) -> None:
    with pytest.raises(CompactError, match=phrase):
        read_struct(data, 0, len(data))


def test_the_deepest_structure_that_is_read() -> None:
    deepest = b"\x1c" * MAX_DEPTH + bytes(MAX_DEPTH + 1)
    assert read_struct(deepest, 0, len(deepest))[1] == len(deepest)
