"""The Merkle tree as RFC 9162, section 2.1, defines it: recursive, over all leaves, nothing kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def slow_root(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n]) of 2.1.1."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = _largest_power_below(len(entries))
    return hashlib.sha256(b"\x01" + slow_root(entries[:k]) + slow_root(entries[k:])).digest()


def slow_inclusion(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of 2.1.3.1."""
    if len(entries) == 1:
        return []
    k = _largest_power_below(len(entries))
    if m < k:
        return [*slow_inclusion(m, entries[:k]), slow_root(entries[k:])]
    return [*slow_inclusion(m - k, entries[k:]), slow_root(entries[:k])]


def slow_consistency(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) of 2.1.4.1, for 0 < m <= n."""
    return _subproof(m, entries, True)


def _subproof(m: int, entries: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(entries):
        return [] if whole else [slow_root(entries)]
    k = _largest_power_below(len(entries))
    if m <= k:
        return [*_subproof(m, entries[:k], whole), slow_root(entries[k:])]
    return [*_subproof(m - k, entries[k:], False), slow_root(entries[:k])]


def _largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k
