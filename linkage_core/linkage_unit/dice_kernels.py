"""Dice similarity of Bloom filters for lists of pairs. Zone: linkage_unit.

Dice(a, b) = 2 |a & b| / (|a| + |b|), with |x| the number of bits set (Schnell, Bachteler, Reiher 2009,
doi:10.1186/1472-6947-9-41, section "Bloom filters"). Two empty filters score 0.0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, run_in_chunks
from linkage_core.linkage_unit.popcount_intrinsics import prefetch_row, shared_bits

PAIRS_PER_CHUNK = 1 << 16
"""Fixed, so that chunks are the same on every machine; a chunk's indices fit into a core's own cache."""
PREFETCH_PAIRS = np.uint64(32)
"""Rows are asked for so many pairs ahead: scattered rows gain up to twice, contiguous ones lose 6%."""
CACHE_LINE_BYTES = 64
ONE = np.uint64(1)


@cache
def _dice_kernel(words: int) -> CompiledKernel:
    """The kernel for filters of ``words`` words: a constant there unrolls into straight vector code."""

    def write_dice(  # pragma: no cover - compiled; held to its twin in tests/reference
        filters_a: npt.NDArray[np.uint64],
        filters_b: npt.NDArray[np.uint64],
        bits_a: npt.NDArray[np.int32],
        bits_b: npt.NDArray[np.int32],
        index_a: npt.NDArray[np.uint64],
        index_b: npt.NDArray[np.uint64],
        out: npt.NDArray[np.float64],
        start: np.uint64,
        stop: np.uint64,
    ) -> None:
        for k in range(start, stop):
            ahead = min(k + PREFETCH_PAIRS, stop - ONE)
            prefetch_row(filters_a, index_a[ahead], words)
            prefetch_row(filters_b, index_b[ahead], words)
            shared = shared_bits(filters_a, index_a[k], filters_b, index_b[k], words)
            total = bits_a[index_a[k]] + bits_b[index_b[k]]
            out[k] = 2.0 * shared / max(total, 1)  # two empty filters: 0 / 1

    return CompiledKernel(write_dice)


@cache
def _bits_kernel(words: int) -> CompiledKernel:
    def write_bits(  # pragma: no cover - compiled; held to its twin in tests/reference
        filters: npt.NDArray[np.uint64], out: npt.NDArray[np.int32]
    ) -> None:
        for i in range(out.shape[0]):
            out[i] = shared_bits(filters, i, filters, i, words)

    return CompiledKernel(write_bits)


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
        Filters that do not start at a cache line are copied (:func:`align_rows`).
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
    check_filters(filters_a, filters_b)
    _check_index("index_a", index_a)
    _check_index("index_b", index_b)
    if len(index_a) != len(index_b):
        raise kernel_input(f"{len(index_a)} and {len(index_b)} indices", "as many on both sides")
    out = np.empty(len(index_a), np.float64)
    kernel = _dice_kernel(filters_a.shape[1])
    filters = align_rows(filters_a), align_rows(filters_b)
    bits = count_bits(filters[0]), count_bits(filters[1])
    # As unsigned numbers they spare numba's wraparound a third of the time; a negative one becomes enormous.
    pairs = np.ascontiguousarray(index_a).view(np.uint64), np.ascontiguousarray(index_b).view(np.uint64)

    def work(start: int, stop: int) -> None:
        _check_range("index_a", pairs[0][start:stop], len(filters_a))
        _check_range("index_b", pairs[1][start:stop], len(filters_b))
        kernel(*filters, *bits, *pairs, out, np.uint64(start), np.uint64(stop))

    run_in_chunks(work, len(out), chunk=PAIRS_PER_CHUNK, threads=threads)
    return out


def count_bits(filters: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """Bits set in each filter: int32 of shape (n,) from uint64 of shape (n, words)."""
    bits = np.empty(len(filters), np.int32)
    _bits_kernel(filters.shape[1])(np.ascontiguousarray(filters), bits)
    return bits


def align_rows(filters: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The same filters, C-contiguous from a cache line's start on; a copy only where they are not.

    A row that straddles cache lines costs a third to a half of the speed (measured), and numpy aligns to 16
    bytes only.
    """
    if filters.flags.c_contiguous and filters.ctypes.data % CACHE_LINE_BYTES == 0:
        return filters
    spare = CACHE_LINE_BYTES // filters.itemsize
    room = np.empty(filters.size + spare, np.uint64)
    start = -room.ctypes.data % CACHE_LINE_BYTES // filters.itemsize
    aligned = room[start : start + filters.size].reshape(filters.shape)
    aligned[:] = filters
    return aligned


def kernel_input(found: str, expected: str) -> NightlinkError:
    """The error for arrays that a kernel must not touch."""
    return NightlinkError(
        "E-KERNEL-INPUT", found=found, expected=expected, remedy="This is a mistake in the calling code."
    )


def check_filters(filters_a: npt.NDArray[np.uint64], filters_b: npt.NDArray[np.uint64]) -> None:
    """Raise E-KERNEL-INPUT unless both are uint64 of shape (n, words) with the same number of words."""
    for name, filters in (("filters_a", filters_a), ("filters_b", filters_b)):
        if filters.dtype != np.uint64 or filters.ndim != 2:
            raise kernel_input(
                f"{name} as {filters.dtype} of shape {filters.shape}", "uint64, shape (n, words)"
            )
    if filters_a.shape[1] != filters_b.shape[1]:
        raise kernel_input(
            f"filters of {filters_a.shape[1]} and {filters_b.shape[1]} words", "the same number on both sides"
        )


def _check_index(name: str, index: npt.NDArray[np.intp]) -> None:
    if index.dtype != np.intp or index.ndim != 1:
        raise kernel_input(f"{name} as {index.dtype} of shape {index.shape}", "intp of shape (m,)")


def _check_range(name: str, unsigned_index: npt.NDArray[np.uint64], records: int) -> None:
    """Chunk by chunk, just before the kernel reads the same cache lines: a pass over all costs a fifth more."""
    if unsigned_index.max() >= records:
        raise kernel_input(f"{name} beyond the records", f"indices from 0 to {records - 1}")
