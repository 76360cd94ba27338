"""Dice similarity of Bloom filters for lists of pairs. Zone: linkage_unit.

Dice(a, b) = 2 |a & b| / (|a| + |b|), with |x| the number of bits set (Schnell, Bachteler, Reiher 2009,
doi:10.1186/1472-6947-9-41, section "Bloom filters"). Two empty filters score 0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, run_in_chunks

PAIRS_PER_CHUNK = 1 << 17
"""Fixed, so that chunks are the same on every machine; a chunk takes about a millisecond."""


def _type_popcount(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_popcount: Any = intrinsic(_type_popcount)
"""Bits set in one uint64, by LLVM's ctpop: numpy's bitwise_count is not known to numba."""


@CompiledKernel
def _write_dice(  # pragma: no cover - compiled; held to its twin in tests/reference
    filters_a: npt.NDArray[np.uint64],
    filters_b: npt.NDArray[np.uint64],
    bits_a: npt.NDArray[np.int32],
    bits_b: npt.NDArray[np.int32],
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    out: npt.NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    words = filters_a.shape[1]
    for k in range(start, stop):
        i = index_a[k]
        j = index_b[k]
        shared = np.uint64(0)
        for w in range(words):
            shared += _popcount(filters_a[i, w] & filters_b[j, w])
        total = bits_a[i] + bits_b[j]
        out[k] = 2.0 * shared / total if total > 0 else 0.0


def dice_pairs(
    filters_a: npt.NDArray[np.uint64],
    filters_b: npt.NDArray[np.uint64],
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    *,
    threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """Dice similarity of given pairs of filters.

    Parameters
    ----------
    filters_a, filters_b : ndarray of uint64, shape (na, words), (nb, words)
        Filters, any number of words, the same on both sides.
    index_a, index_b : ndarray of intp, shape (m,)
        Pair ``k`` compares ``filters_a[index_a[k]]`` with ``filters_b[index_b[k]]``. Any order and any
        repetition; pairs in block order, with the records of a block close together, are fastest.
    threads : int, optional
        Threads to use; every number gives the same bytes. By default all cores of the process.

    Returns
    -------
    ndarray of float64, shape (m,)
        In [0, 1]; 0.0 for two empty filters; the double nearest to the exact fraction.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype or shape, or an index out of range.
    """
    _check_filters(filters_a, filters_b)
    _check_index("index_a", index_a, len(filters_a))
    _check_index("index_b", index_b, len(filters_b))
    if len(index_a) != len(index_b):
        raise kernel_input(f"{len(index_a)} and {len(index_b)} indices", "as many on both sides")
    out = np.empty(len(index_a), np.float64)
    left, right = np.ascontiguousarray(filters_a), np.ascontiguousarray(filters_b)
    pairs = (np.ascontiguousarray(index_a), np.ascontiguousarray(index_b))
    bits = (count_bits(left), count_bits(right))

    def work(start: int, stop: int) -> None:
        _write_dice(left, right, *bits, *pairs, out, start, stop)

    run_in_chunks(work, len(out), chunk=PAIRS_PER_CHUNK, threads=threads)
    return out


def count_bits(filters: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """Bits set in each filter: int32 of shape (n,) from uint64 of shape (n, words)."""
    bits: npt.NDArray[np.int32] = np.bitwise_count(filters).sum(axis=1, dtype=np.int32)
    return bits


def kernel_input(found: str, expected: str) -> NightlinkError:
    """The error for arrays that a kernel must not touch."""
    return NightlinkError(
        "E-KERNEL-INPUT", found=found, expected=expected, remedy="This is a mistake in the calling code."
    )


def _check_filters(filters_a: npt.NDArray[np.uint64], filters_b: npt.NDArray[np.uint64]) -> None:
    for name, filters in (("filters_a", filters_a), ("filters_b", filters_b)):
        if filters.dtype != np.uint64 or filters.ndim != 2:
            raise kernel_input(
                f"{name} as {filters.dtype} of shape {filters.shape}", "uint64, shape (n, words)"
            )
    if filters_a.shape[1] != filters_b.shape[1]:
        raise kernel_input(
            f"filters of {filters_a.shape[1]} and {filters_b.shape[1]} words", "the same number on both sides"
        )


def _check_index(name: str, index: npt.NDArray[np.intp], records: int) -> None:
    if index.dtype != np.intp or index.ndim != 1:
        raise kernel_input(f"{name} as {index.dtype} of shape {index.shape}", "intp of shape (m,)")
    if len(index) and (index.min() < 0 or index.max() >= records):
        raise kernel_input(f"{name} beyond the records", f"indices from 0 to {records - 1}")
