"""The digest of a published table, of which single rows can be erased. Zone: linkage_unit.

A table's digest is SHA-256 over the SHA-256 of its lines, in ascending order of these. So a row that must be forgotten
can leave its hash behind, in no place that tells anything, and every night that had it can still be verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

LEAF_BYTES = 32


def digest_of_lines(lines: Iterable[bytes], buried: Iterable[bytes] = ()) -> str:
    """The digest, as 64 hex digits, in 32 bytes of memory a line.

    Parameters
    ----------
    lines : iterable of bytes
        A line for each row that is there, in any order.
    buried : iterable of bytes
        :data:`LEAF_BYTES` for each row that is not: the SHA-256 of its line.
    """
    leaves = bytearray()
    for line in lines:
        leaves += hashlib.sha256(line).digest()
    for leaf in buried:
        leaves += leaf
    # Fixed width: numpy compares the bytes as they are, and what it cuts off the end for show stays in the array.
    in_order = np.sort(np.frombuffer(bytes(leaves), dtype=f"S{LEAF_BYTES}"))
    return hashlib.sha256(in_order.tobytes()).hexdigest()
