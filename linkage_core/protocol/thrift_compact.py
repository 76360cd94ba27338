"""Thrift's compact protocol, read into plain values: what Parquet writes its footer and page headers in.

Zone: protocol. Nothing is allocated for what a length merely claims: every element takes at least one byte of
the input, so the values are never larger than a small multiple of it. Values keep their wire kind, since a
decoder that meets a field of another kind skips it, and would then see another document than we do.

Specification: Apache Thrift, ``doc/specs/thrift-compact-protocol.md``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

MAX_DEPTH = 12


class Kind(IntEnum):
    """Compact type codes of struct fields; the two booleans carry their value in the code."""

    STOP = 0
    TRUE = 1
    FALSE = 2
    BYTE = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    SET = 10
    MAP = 11
    STRUCT = 12


class Value(NamedTuple):
    """A value with its wire kind: int, bytes, list of Value, or dict of field number to Value."""

    kind: Kind
    value: Any


class CompactError(ValueError):
    """The bytes are not what Parquet's own structures look like; the message holds none of them."""


_BITS = {Kind.I16: 16, Kind.I32: 32, Kind.I64: 64}
_LONG_LIST = 15


def read_struct(data: bytes, position: int, end: int) -> tuple[dict[int, Value], int]:
    """The fields of the struct at ``position``, by number, and the position after it.

    Raises
    ------
    CompactError
        It does not end before ``end``, nests deeper than :data:`MAX_DEPTH`, or holds what Parquet never writes.
    """
    return _Reader(data, position, end).whole_struct()


class _Reader:
    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data = data
        self._position = position
        self._end = end

    def whole_struct(self) -> tuple[dict[int, Value], int]:
        return self._struct(MAX_DEPTH), self._position

    def _byte(self) -> int:
        if self._position >= self._end:
            raise CompactError("a structure that ends too early")
        self._position += 1
        return self._data[self._position - 1]

    def _varint(self, bits: int) -> int:
        raw = 0
        for step in range((bits + 6) // 7):
            byte = self._byte()
            raw |= (byte & 0x7F) << (7 * step)
            if byte < 0x80:
                break
        else:
            raise CompactError("a number that does not end")
        if raw >> bits:
            raise CompactError("a number that is too large for its type")
        return raw

    def _struct(self, depth: int) -> dict[int, Value]:
        fields: dict[int, Value] = {}
        number = 0
        while (head := self._byte()) != Kind.STOP:
            if head >> 4 == 0:  # the long form, for steps over 15 fields, could go back to a field once read
                raise CompactError("a field number out of order")
            number += head >> 4
            fields[number] = self._value(head & 0x0F, depth)
        return fields

    def _value(self, code: int, depth: int) -> Value:
        if code in (Kind.TRUE, Kind.FALSE):
            return Value(Kind(code), None)
        return self._element(code, depth)

    def _element(self, code: int, depth: int) -> Value:
        if code in _BITS:
            raw = self._varint(_BITS[Kind(code)])
            return Value(Kind(code), (raw >> 1) ^ -(raw & 1))
        if code == Kind.BYTE:
            return Value(Kind.BYTE, self._byte())
        if code == Kind.BINARY:
            return Value(Kind.BINARY, self._binary())
        if depth == 0:
            raise CompactError("structures nested too deeply")
        if code == Kind.STRUCT:
            return Value(Kind.STRUCT, self._struct(depth - 1))
        if code == Kind.LIST:
            return Value(Kind.LIST, self._list(depth - 1))
        raise CompactError("a type that Parquet does not write here")

    def _binary(self) -> bytes:
        start = self._position_after_length()
        return self._data[start : self._position]

    def _position_after_length(self) -> int:
        length = self._varint(32)
        if length > self._end - self._position:
            raise CompactError("a text that is longer than the file")
        self._position += length
        return self._position - length

    def _list(self, depth: int) -> list[Value]:
        head = self._byte()
        count = head >> 4 if head >> 4 != _LONG_LIST else self._varint(32)
        if count > self._end - self._position:
            raise CompactError("a list that is longer than the file")
        return [self._element(head & 0x0F, depth) for _ in range(count)]
