"""Thrift's compact protocol, written: the slow, obvious opposite of ``thrift_compact.read_struct``."""

from __future__ import annotations

from linkage_core.protocol.thrift_compact import Kind, Value


def write_struct(fields: dict[int, Value]) -> bytes:
    out, last = b"", 0
    for number in sorted(fields):
        value = fields[number]
        out += bytes([(number - last) << 4 | value.kind]) + write_value(value)
        last = number
    return out + b"\0"


def write_value(value: Value) -> bytes:
    if value.kind in (Kind.TRUE, Kind.FALSE):
        return b""
    if value.kind == Kind.BYTE:
        return bytes([value.value])
    if value.kind in (Kind.I16, Kind.I32, Kind.I64):
        return varint(value.value * 2 if value.value >= 0 else -value.value * 2 - 1)
    if value.kind == Kind.BINARY:
        return varint(len(value.value)) + value.value
    if value.kind == Kind.LIST:
        return write_list(value.value)
    return write_struct(value.value)


def write_list(items: list[Value]) -> bytes:
    kind = items[0].kind if items else Kind.I64
    body = b"".join(write_value(item) for item in items)
    if len(items) < 15:
        return bytes([len(items) << 4 | kind]) + body
    return bytes([0xF0 | kind]) + varint(len(items)) + body


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
