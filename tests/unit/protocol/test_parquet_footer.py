"""The footer: every field altered, left out or added is refused, before the Parquet library sees it.

With pyarrow 26 some of these footers end the whole process when the library reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.parquet_footer import MAX_FOOTER_BYTES
from linkage_core.protocol.thrift_compact import Kind, Value, read_struct
from linkage_core.protocol.wire_format import read_part
from tests.reference.compact_writer import write_struct
from tests.reference.tiny_delivery import same_records, some_records, tiny_part, tiny_protocol

ROWS = 20
PROTOCOL = tiny_protocol()
PART = tiny_part(ROWS)
FOOTER_START = len(PART) - 8 - int.from_bytes(PART[-8:-4], "little")

Path = tuple[int | str, ...]

# Field numbers on the way to a column's metadata: row groups, the only one, columns, a column, its metadata.
COLUMN = (4, 0, 1, 2, 3)
PAGE_COUNTS, NULL_COUNTS = 13, 16


def footer() -> dict[int, Value]:
    return read_struct(PART, FOOTER_START, len(PART) - 8)[0]


def with_footer(fields: dict[int, Value]) -> bytes:
    body = write_struct(fields)
    return PART[:FOOTER_START] + body + len(body).to_bytes(4, "little") + b"PAR1"


def accepted(data: bytes) -> bool:
    """Whether the part is read (truly, then) or else refused with the right code."""
    try:
        found = read_part(data, PROTOCOL, ROWS)
    except NightlinkError as error:
        assert error.code == "E-DLV-FORMAT"
        return False
    assert same_records(found, some_records(ROWS))
    return True


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every field and item, through structs (field numbers) and lists (indices)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield (*path, step)
        yield from paths(inner.value, (*path, step))


def replaced(value: Any, path: Path, change: Any) -> Any:
    """A copy of ``value`` with ``change(value there)`` at the path; None takes it away."""
    step, rest = path[0], path[1:]
    inner = value[step]
    new = Value(inner.kind, replaced(inner.value, rest, change)) if rest else change(inner)
    if isinstance(value, dict):
        return {key: new if key == step else old for key, old in value.items() if key != step or new}
    return [new if index == step else old for index, old in enumerate(value) if index != step or new]


def more(value: Value) -> Value:
    """Another value of the same kind."""
    if value.kind in (Kind.TRUE, Kind.FALSE):
        return Value(Kind(3 - value.kind), None)
    if value.kind == Kind.BINARY:
        return Value(value.kind, value.value[:-1] + b"?")
    if value.kind == Kind.LIST:
        return Value(value.kind, [*value.value, value.value[0] if value.value else Value(Kind.I32, 1)])
    if value.kind == Kind.STRUCT:
        return Value(value.kind, {**value.value, 15: Value(Kind.I32, 0)})
    return Value(value.kind, value.value + 1)


def of_another_kind(value: Value) -> Value:
    return Value(Kind.BINARY, b"x") if value.kind != Kind.BINARY else Value(Kind.I32, 1)


PATHS = [path for path in paths(footer()) if path[:3] != (4, 0, 1) or len(path) < 4 or path[3] in (0, 2)]


def test_the_writer_gives_the_same_footer() -> None:
    assert with_footer(footer()) == PART


def may_be_left_out(path: Path) -> bool:
    """Page counts, all or the only one, and null counts: statistics, which other versions do not write."""
    return path[-1] in (PAGE_COUNTS, NULL_COUNTS) or path[-2:] == (PAGE_COUNTS, 0)


def test_an_ordinal_of_the_first_group_may_be_there() -> None:
    group = (4, 0)
    for number, fine in ((0, True), (1, False)):
        added = Value(Kind.I16, number)
        found = replaced(footer(), group, lambda v, new=added: Value(v.kind, {**v.value, 7: new}))
        assert accepted(with_footer(found)) is fine


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_any_other_value_kind_or_absence_is_refused(path: Path) -> None:
    number_of_pages = path[-3:] == (PAGE_COUNTS, 0, 3)
    assert accepted(with_footer(replaced(footer(), path, more))) is number_of_pages
    assert not accepted(with_footer(replaced(footer(), path, of_another_kind)))
    assert accepted(with_footer(replaced(footer(), path, lambda _: None))) is may_be_left_out(path)


def test_a_column_that_claims_to_unpack_to_a_gigabyte_is_refused() -> None:
    def grown(value: Value) -> Value:
        return Value(value.kind, value.value + 10**9)

    bomb = replaced(replaced(footer(), (*COLUMN, 6), grown), (4, 0, 2), grown)
    with pytest.raises(
        NightlinkError, match=r"E-DLV-FORMAT: found column 3 of 1000000\d+ bytes; expected at most"
    ):
        read_part(with_footer(bomb), PROTOCOL, ROWS)


@pytest.mark.parametrize("codec", [-1, 1, 2, 3, 4, 5, 7, 8, 49, 2**31 - 1])
def test_other_codecs_are_refused(codec: int) -> None:
    found = replaced(footer(), (*COLUMN, 4), lambda _: Value(Kind.I32, codec))
    assert not accepted(with_footer(found))


def test_any_altered_byte_of_the_footer_is_survived() -> None:
    for position in range(FOOTER_START, len(PART)):
        accepted(PART[:position] + bytes([PART[position] ^ 0x55]) + PART[position + 1 :])


@pytest.mark.parametrize("length", [0, len(PART), MAX_FOOTER_BYTES + 1, 2**32 - 1])
def test_a_wrong_footer_length_is_refused(length: int) -> None:
    assert not accepted(PART[:-8] + length.to_bytes(4, "little") + b"PAR1")


def test_bytes_between_footer_and_its_length_are_refused() -> None:
    body = write_struct(footer()) + b"\0"
    assert not accepted(PART[:FOOTER_START] + body + len(body).to_bytes(4, "little") + b"PAR1")


def test_a_creator_s_name_with_content_is_refused() -> None:
    for name in (b"Jane Doe", b"parquet-cpp-arrow version 26.0.1 Jane", b""):
        found = replaced(footer(), (6,), lambda _, new=name: Value(Kind.BINARY, new))
        assert not accepted(with_footer(found))
