"""Versions of a table's rows over many nights, and the digest that each night's table had. Zone: linkage_unit.

An auditor hashes every version once and then only selects: a thousand nights cost little more than one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.table_digest import LEAF_BYTES

NEVER = np.iinfo(np.int64).max
"""The fence at which a version ends that has not ended."""

Version = tuple[bytes, int, int | None]
"""Leaf (SHA-256 of the row's line), the fence of the first night that has it, and of the first that no longer has."""


class PublishedRows:
    """All versions of a table's rows, in ascending order of their leaves."""

    def __init__(self, versions: Iterable[Version]) -> None:
        leaves, starts, stops = bytearray(), [], []
        for leaf, start, stop in versions:
            leaves += leaf
            starts.append(start)
            stops.append(NEVER if stop is None else stop)
        flat = np.frombuffer(bytes(leaves), np.uint8).reshape(-1, LEAF_BYTES)
        order = np.argsort(flat.view(f"S{LEAF_BYTES}").reshape(-1), kind="stable")
        self._leaves: npt.NDArray[np.uint8] = flat[order]
        self._starts: npt.NDArray[np.int64] = np.array(starts, np.int64)[order]
        self._stops: npt.NDArray[np.int64] = np.array(stops, np.int64)[order]

    def digest_at(self, fence: int) -> tuple[str, int]:
        """The digest of the table as the night of this fence had it, and its number of rows.

        The same as :func:`linkage_core.linkage_unit.table_digest.digest_of_lines` of that night's lines.
        """
        there = (self._starts <= fence) & (fence < self._stops)
        return hashlib.sha256(self._leaves[there].tobytes()).hexdigest(), int(np.count_nonzero(there))
