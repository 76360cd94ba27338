"""Distinct values, their hashes and joined codes, one value at a time: what the custodian's kernels must agree with."""

from __future__ import annotations

_MULTIPLIER, _MASK = 0xC6A4A7935BD1E995, (1 << 64) - 1


def slow_value_hash(value: bytes) -> int:
    """MurmurHash64A with seed 0, on whole numbers of Python."""
    found = len(value) * _MULTIPLIER & _MASK
    whole = len(value) - len(value) % 8
    for at in range(0, whole, 8):
        word = int.from_bytes(value[at : at + 8], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 47) * _MULTIPLIER & _MASK
        found = (found ^ word) * _MULTIPLIER & _MASK
    if whole < len(value):
        found = (found ^ int.from_bytes(value[whole:], "little")) * _MULTIPLIER & _MASK
    found = (found ^ found >> 47) * _MULTIPLIER & _MASK
    return found ^ found >> 47


def slow_numbers(values: list[str | None]) -> tuple[list[int], list[str]]:
    """Each row's number of its value, -1 for none, and the values in order of first occurrence."""
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    return [-1 if value is None else distinct.index(value) for value in values], distinct


def slow_joined(one: str | None, other: str | None) -> str | None:
    """Two codes in the order of their bytes, a line feed between them."""
    if one is None or other is None:
        return None
    return "\n".join(sorted((one, other), key=str.encode))
