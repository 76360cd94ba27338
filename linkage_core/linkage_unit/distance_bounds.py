"""An exact and cheap lower bound of Hamming distances, and the layout that computes it fast. Zone: linkage_unit.

Two filters ``a`` and ``b`` of W words differ in ``d = |a ^ b|`` bits. Two steps make that cheaper to bound:

fold
    XOR words w, w + M, w + 2M, ... of a filter into M words (Schnell and Borgs 2016, doi:10.2139/ssrn.3527984,
    fold filters so to harden them). Folding is linear, so the folds of ``a`` and ``b`` differ where the fold of
    ``a ^ b`` is 1, and every such bit needs an odd number of differing bits below it.
group
    OR the M differing words into G words before counting: every bit set needs at least one differing bit.

So ``bound <= d`` always, and pairs whose bound is above the limit are dropped unseen without an error. Counting
costs more than combining: at Dice .8 five groups of eight words prune as well as seven plain words (measured).

Dice(a, b) = (s - d) / s with s = |a| + |b|, so Dice >= t exactly when d <= (1 - t) s: sorting by popcount
makes one limit tight for a whole block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import align_rows, count_bits
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel
from linkage_core.linkage_unit.popcount_intrinsics import (
    LANES,
    SLABS_PER_BLOCK,
    lowest_bit,
    mark_close_lanes,
)

LANES_PER_BLOCK = LANES * SLABS_PER_BLOCK
"""Records of B that are compared with all rows of a chunk before the next: they fill the first cache."""
LIMIT_SLACK = 1e-6
"""Far above the rounding of ``(1 - t) * s`` in double, far below the distance of two limits."""
SAMPLED_A, SAMPLED_B = 16, 512
GROUPED_EIGHTHS = (3, 4, 5, 8)
"""Groups that are tried, in eighths of the words: the best were among them at every threshold measured."""
SAMPLE_FROM_PAIRS = 1 << 22
"""Below so many pairs, choosing a bound costs more than it spares."""
GROUP_COST, CARRY_COST, FIXED_COST, SURVIVOR_COST = 1.2, 0.9, 1.0, 1000.0
"""Costs of a counted group, a carry, the marking, and a survivor, in xors (measured with AVX-512)."""
_ONE, _LOW_HALF, _HALF = np.uint64(1), np.uint64(0xFFFFFFFF), np.uint64(32)

Filters = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class BoundShape:
    """How filters are folded and counted.

    Attributes
    ----------
    words : int
        M, at least 1 and at most the filters' words; with all words there is no folding.
    groups : int
        G, from 1 to M; with G = M and no folding the bound is the distance.
    """

    words: int
    groups: int

    @property
    def cost(self) -> float:
        """Cost of eight pairs, in xors."""
        spared = self.words // 3 if self.groups == self.words else 0
        return self.words + GROUP_COST * (self.groups - spared) + CARRY_COST * spared + FIXED_COST


@dataclass(frozen=True, repr=False)
class BlockedSide:
    """Side B, ordered by popcount (ties by row) and laid out in blocks of :data:`LANES_PER_BLOCK` lanes.

    Attributes
    ----------
    shape : BoundShape
    order : ndarray of intp, shape (n,)
        Row of B at each place.
    rows : ndarray of uint64, shape (blocks * LANES_PER_BLOCK, W)
        Whole filters in that order; zeros after the last.
    bits : ndarray of int32, shape (blocks * LANES_PER_BLOCK,)
        Their popcounts; the places after the last repeat it.
    slabs : ndarray of uint64, shape (blocks * SLABS_PER_BLOCK, shape.words, LANES)
        Folds, eight records beside one another word by word.
    """

    shape: BoundShape
    order: npt.NDArray[np.intp]
    rows: Filters
    bits: npt.NDArray[np.int32]
    slabs: Filters

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.rows) // LANES_PER_BLOCK

    @property
    def fewest_bits(self) -> npt.NDArray[np.int32]:
        """Least popcount of each block."""
        return self.bits[::LANES_PER_BLOCK]

    @property
    def most_bits(self) -> npt.NDArray[np.int32]:
        """Greatest popcount of each block."""
        return self.bits[LANES_PER_BLOCK - 1 :: LANES_PER_BLOCK]


def fold_filters(filters: Filters, words: int) -> Filters:
    """XOR words w, w + words, ...: shape (n, words) from (n, W), aligned; W >= words."""
    folded = filters[:, :words].copy()
    for start in range(words, filters.shape[1], words):
        part = filters[:, start : start + words]
        folded[:, : part.shape[1]] ^= part
    return align_rows(folded)


def comparable_words(filters: Filters, shape: BoundShape) -> Filters:
    """The words that kernels compare, shape (n, shape.words): folds, in triples where they are all counted.

    A triple (x, y, z) is kept as (x ^ z, y ^ z, x ^ y ^ z): see ``popcount_intrinsics``.
    """
    folded = fold_filters(filters, shape.words)
    if shape.groups == shape.words:
        whole = shape.words - shape.words % 3
        x, y, z = (folded[:, first:whole:3] for first in range(3))
        x ^= z
        y ^= z
        z ^= x ^ y  # x ^ y has not changed: both took z
    return folded


def lay_out_blocks(filters: Filters, shape: BoundShape) -> BlockedSide:
    """Order side B by popcount and lay it out; copies the filters once and their folds once."""
    bits = count_bits(filters)
    order = np.argsort(bits, kind="stable")
    places = -(-len(filters) // LANES_PER_BLOCK) * LANES_PER_BLOCK
    rows = align_rows(np.zeros((places, filters.shape[1]), np.uint64))
    rows[: len(order)] = filters[order]
    sorted_bits = np.empty(places, np.int32)
    sorted_bits[: len(order)] = bits[order]
    sorted_bits[len(order) :] = sorted_bits[len(order) - 1] if len(order) else 0
    lanes = comparable_words(rows, shape).reshape(-1, LANES, shape.words)
    slabs = align_rows(np.ascontiguousarray(lanes.transpose(0, 2, 1)).reshape(-1, shape.words * LANES))
    return BlockedSide(shape, order, rows, sorted_bits, slabs.reshape(-1, shape.words, LANES))


def bound_distances(filters_a: Filters, filters_b: Filters, shape: BoundShape) -> npt.NDArray[np.int64]:
    """The bound of every pair, shape (na, nb): the slow way, for samples."""
    folds_a, folds_b = fold_filters(filters_a, shape.words), fold_filters(filters_b, shape.words)
    total = np.zeros((len(folds_a), len(folds_b)), np.int64)
    for group in range(shape.groups):
        differing = np.zeros(total.shape, np.uint64)
        for word in range(group, shape.words, shape.groups):
            differing |= folds_a[:, word, None] ^ folds_b[None, :, word]
        total += np.bitwise_count(differing)
    return total


def sample_rows(filters: Filters, count: int) -> Filters:
    """At most ``count`` rows, evenly spaced: the same for the same input."""
    places = np.linspace(0, len(filters) - 1, min(count, len(filters)))
    return filters[places.astype(np.intp)]


def choose_shape(sample_a: Filters, sample_b: Filters, limits: npt.NDArray[np.float64]) -> BoundShape:
    """The cheapest shape for a sample, counting the survivors that it leaves; it never changes a result.

    Parameters
    ----------
    sample_a, sample_b : ndarray of uint64, shape (na, W), (nb, W)
    limits : ndarray of float64, shape (na, nb)
        Greatest distance that matters, for each pair.
    """
    words = sample_a.shape[1]
    shapes = {BoundShape(m, -(-m * part // 8)) for m in range(1, words + 1) for part in GROUPED_EIGHTHS}
    best, least = BoundShape(words, words), float("inf")
    for shape in sorted(shapes, key=lambda shape: (shape.cost, shape.words)):
        if shape.cost >= least:
            break
        close = np.count_nonzero(bound_distances(sample_a, sample_b, shape) <= limits)
        total = shape.cost + SURVIVOR_COST * close / limits.size
        if total < least:
            best, least = shape, total
    return best


@cache
def _collect_kernel(words: int, groups: int) -> CompiledKernel:
    def collect(  # pragma: no cover - compiled; held to its twin in tests/reference
        folds: Filters,
        limits: npt.NDArray[np.int64],
        start: int,
        stop: int,
        slabs: Filters,
        block: int,
        out: npt.NDArray[np.uint64],
        found: npt.NDArray[np.int64],
    ) -> None:
        marks = np.empty((2, SLABS_PER_BLOCK // 8), np.uint64)
        first_place = np.uint64(block * LANES_PER_BLOCK)
        count = 0
        for i in range(start, stop, 2):
            mark_close_lanes(folds, i, slabs, block, limits, marks, words, groups)
            for r in range(min(2, stop - i)):
                for part in range(SLABS_PER_BLOCK // 8):
                    left = marks[r, part]
                    while left:
                        place = first_place + np.uint64(64 * part + lowest_bit(left))
                        out[count] = np.uint64(i + r) << _HALF | place
                        left &= left - _ONE
                        count += 1
        found[0] = count

    return CompiledKernel(collect)


def collect_close(
    folds: Filters,
    limits: npt.NDArray[np.int64],
    start: int,
    stop: int,
    side_b: BlockedSide,
    block: int,
    out: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]:
    """Pairs of rows start to stop and a block of B whose bound is within the row's limit.

    Parameters
    ----------
    folds : ndarray of uint64, shape (n + 1, words)
        Rows of A as :func:`comparable_words`, and one more row of anything: rows are taken two by two.
    limits : ndarray of int64, shape (n + 1,)
        Greatest bound that is kept, by row.
    out : ndarray of uint64, shape at least ((stop - start) * LANES_PER_BLOCK,)
        Room for them.

    Returns
    -------
    ndarray of uint64
        A view of ``out``: ``row << 32 | place in B's order``, ascending. Places after B's last may be among them.
    """
    found = np.zeros(1, np.int64)
    shape = side_b.shape
    _collect_kernel(shape.words, shape.groups)(folds, limits, start, stop, side_b.slabs, block, out, found)
    return out[: found[0]]


def rows_of(packed: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """The upper halves."""
    return (packed >> _HALF).astype(np.intp)


def places_of(packed: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """The lower halves."""
    return (packed & _LOW_HALF).astype(np.intp)
