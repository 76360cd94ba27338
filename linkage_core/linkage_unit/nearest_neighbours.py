"""The k nearest records of B for each record of A, exactly. Zone: linkage_unit.

Nearest by Dice similarity or by Hamming distance. Every record is compared by a bound that prunes without error
(:mod:`linkage_core.linkage_unit.distance_bounds`): its limit is the k-th best found so far for that row, and
tightens block by block. Blocks of B are taken in an order that spreads over all popcounts, so that the first few
already give a good limit.

Ties: among records of B at the same similarity, the one with the lower row comes first, and is the one that stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import align_rows, count_bits, kernel_input
from linkage_core.linkage_unit.distance_bounds import (
    LANES_PER_BLOCK,
    LIMIT_SLACK,
    SAMPLE_FROM_PAIRS,
    SAMPLED_A,
    SAMPLED_B,
    BlockedSide,
    BoundShape,
    Filters,
    bound_distances,
    choose_shape,
    collect_close,
    comparable_words,
    lay_out_blocks,
    sample_rows,
)
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, run_in_chunks
from linkage_core.linkage_unit.popcount_intrinsics import shared_bits
from linkage_core.linkage_unit.threshold_join import check_sides

Measure = Literal["dice", "hamming"]
ROWS_PER_CHUNK = 1024
"""Rows of A of one chunk: a thread holds 4 MiB of pairs and, for each row, twice ``k`` ranks."""
MAX_WORDS = 256
"""Ranks keep two different Dice similarities apart up to 2 * 64 * 256 bits in both filters together."""
MOST_GUESSED_FROM = 1024
GUESS_FROM_RECORDS = 1 << 13
"""Below so many records of B, a guess from a sample of them costs more than it spares."""
MAX_NEIGHBOURS = 1 << 16
GOLDEN_SHARE = 0.6180339887498949
RANK_SCALE = float(1 << 31)
_LOW_HALF, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True, repr=False)
class Neighbours:
    """The nearest records of B, nearest first; ties by row of B.

    Attributes
    ----------
    index_b : ndarray of intp, shape (na, min(k, nb))
        Rows of B.
    similarity : ndarray of float64, shape (na, min(k, nb))
        Dice similarity; for the measure "hamming" the distance in bits.
    """

    index_b: npt.NDArray[np.intp]
    similarity: npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class _Search:
    """What all chunks share; ``rows_b`` names the row of B at each place, ``places_b`` the place of each row."""

    filters_a: Filters
    side_b: BlockedSide
    rows_b: npt.NDArray[np.uint64]
    places_b: npt.NDArray[np.intp]
    block_order: npt.NDArray[np.intp]
    neighbours: int
    measure: Measure


def find_nearest(
    filters_a: Filters,
    filters_b: Filters,
    neighbours: int,
    *,
    measure: Measure = "dice",
    threads: int | None = None,
    shape: BoundShape | None = None,
) -> Neighbours:
    """The nearest records of B for each record of A.

    Parameters
    ----------
    filters_a, filters_b : ndarray of uint64, shape (na, W), (nb, W)
        Filters of 1 to 256 words, the same number on both sides; at most 2**31 - 1 records each.
    neighbours : int
        k, from 1 to 65,536; a B of fewer records gives them all.
    measure : "dice" or "hamming"
        Greatest Dice similarity (two empty filters: 0.0), or least number of differing bits.
    threads : int, optional
        Threads to use; every number gives the same bytes. By default all cores of the process.
    shape : BoundShape, optional
        How to prune; by default chosen from an evenly spaced sample. It changes the time, never the result.

    Returns
    -------
    Neighbours

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype or shape, a number of neighbours out of range, or another measure.

    Notes
    -----
    Memory beside the filters and the result: a copy of B and its folds; for each thread
    ``ROWS_PER_CHUNK * (16 k + 8 LANES_PER_BLOCK + 8 MOST_GUESSED_FROM)`` bytes.
    """
    _check_search(filters_a, filters_b, neighbours, measure, shape)
    k = min(neighbours, len(filters_b))
    if shape is None:
        shape = _choose_search_shape(filters_a, filters_b, k, measure)
    side_b = lay_out_blocks(filters_b, shape)
    spread = np.argsort(np.arange(side_b.blocks) * GOLDEN_SHARE % 1.0, kind="stable")
    places = np.empty(len(filters_b), np.intp)
    places[side_b.order] = np.arange(len(places))
    search = _Search(filters_a, side_b, side_b.order.astype(np.uint64), places, spread, k, measure)
    out = Neighbours(np.empty((len(filters_a), k), np.intp), np.empty((len(filters_a), k)))

    def work(start: int, stop: int) -> None:
        _search_rows(search, start, stop, out)

    run_in_chunks(work, len(filters_a) if k else 0, chunk=ROWS_PER_CHUNK, threads=threads)
    return out


def _search_rows(search: _Search, start: int, stop: int, out: Neighbours) -> None:
    """Search with guessed limits, then search again for the rows whose guess was too strict."""
    rows = np.arange(start, stop)
    short = _search_within(search, rows, _guess_slopes(search, rows), out)
    if len(short):
        _search_within(search, short, np.full(len(short), np.inf), out)


def _guess_slopes(search: _Search, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """For each row a limit that most likely leaves a few times as many as wanted, from a sample of B.

    Without it the first blocks would be let through whole. A guess decides no result: it is checked.
    """
    slopes = np.full(len(rows), np.inf)
    records = len(search.side_b.order)
    if records < GUESS_FROM_RECORDS:
        return slopes
    sampled = min(records // 64, MOST_GUESSED_FROM)
    places = np.linspace(0, records - 1, sampled).astype(np.intp)
    sample = align_rows(search.side_b.rows[places])
    expected = search.neighbours * sampled / records
    rank = math.ceil(1.5 * expected + 2.5 * math.sqrt(expected))
    if rank <= sampled // 8:
        filters = align_rows(search.filters_a[rows])
        bits, nearest = count_bits(filters), np.empty((len(rows), sampled))
        share = _share_kernel(filters.shape[1], search.measure == "dice")
        share(filters, bits, sample, search.side_b.bits[places], nearest)
        slopes = np.partition(nearest, rank, axis=1)[:, rank]
    return slopes


def _search_within(
    search: _Search, rows: npt.NDArray[np.intp], slopes: npt.NDArray[np.float64], out: Neighbours
) -> npt.NDArray[np.intp]:
    """Write the nearest of the given rows, and return the rows that have fewer than k within their slope."""
    side_b, k = search.side_b, search.neighbours
    filters = align_rows(np.concatenate([search.filters_a[rows], np.zeros_like(search.filters_a[:1])]))
    bits, folds = count_bits(filters), comparable_words(filters, side_b.shape)
    ranks, held = np.empty((len(rows), 2 * k), np.uint64), np.zeros(len(rows), np.int64)
    limits = np.full(len(rows) + 1, -1, np.int64)
    room = np.empty(len(rows) * LANES_PER_BLOCK, np.uint64)
    offer = _offer_kernel(filters.shape[1], search.measure == "dice")
    for block in search.block_order.tolist():
        _set_limits(search, slopes, bits[:-1], int(side_b.most_bits[block]), limits)
        close = collect_close(folds, limits, 0, len(rows), side_b, block, room)
        offer(filters, bits, side_b.rows, side_b.bits, search.rows_b, close, k, ranks, held, slopes)
    _sort_ranks(ranks, held)
    complete = held >= k
    _write_nearest(search, filters[:-1][complete], ranks[complete, :k], rows[complete], out)
    return rows[~complete]


def _set_limits(
    search: _Search,
    slopes: npt.NDArray[np.float64],
    bits: npt.NDArray[np.int32],
    most: int,
    limits: npt.NDArray[np.int64],
) -> None:
    """Greatest distance that could still enter: a share of both popcounts for Dice, itself for Hamming."""
    sums = bits + most if search.measure == "dice" else np.ones(len(bits))
    far = 64 * search.filters_a.shape[1]
    np.minimum(slopes * np.maximum(sums, 1) + LIMIT_SLACK, far, out=limits[:-1], casting="unsafe")


@cache
def _offer_kernel(words: int, dice: bool) -> CompiledKernel:
    """Offer close pairs to the rows that they belong to.

    A rank orders a row's records: distance as a share of both popcounts (in units of 2**-31; for Hamming the
    distance itself), then row of B. Two different shares x/s differ by at least 1/(s s'), so the unit keeps them
    apart up to 46,340 bits in both filters together: MAX_WORDS stays below.
    """

    def offer(  # pragma: no cover - compiled; held to its twin in tests/reference
        rows_a: Filters,
        bits_a: npt.NDArray[np.int32],
        rows_b: Filters,
        bits_b: npt.NDArray[np.int32],
        order_b: npt.NDArray[np.uint64],
        pairs: npt.NDArray[np.uint64],
        neighbours: int,
        ranks: npt.NDArray[np.uint64],
        held: npt.NDArray[np.int64],
        slopes: npt.NDArray[np.float64],
    ) -> None:
        for n in range(len(pairs)):
            i, place = np.int64(pairs[n] >> _HALF), np.int64(pairs[n] & _LOW_HALF)
            if place >= len(order_b):
                continue
            total = bits_a[i] + bits_b[place]
            distance = total - 2 * shared_bits(rows_a, i, rows_b, place, words)
            share = 1.0 * distance
            if dice:
                share = distance / total if total else 1.0
            if share > slopes[i]:
                continue
            far = np.uint64(share * RANK_SCALE) if dice else np.uint64(distance)
            ranks[i, held[i]] = far << _HALF | order_b[place]
            held[i] += 1
            if held[i] == ranks.shape[1]:
                least_first(ranks, i, neighbours)
                held[i] = neighbours
                last = ranks[i, neighbours - 1] >> _HALF
                slopes[i] = (last + 1.0) / RANK_SCALE if dice else 1.0 * last

    return CompiledKernel(offer)


@numba.njit(nogil=True)
def least_first(  # pragma: no cover - compiled; held to its twin in tests/reference
    ranks: npt.NDArray[np.uint64], row: int | np.int64, count: int
) -> None:
    """Reorder a row so that its ``count`` least ranks come first, the greatest of them last.

    Hoare's quickselect (1961, doi:10.1145/366622.366647); a row's ranks are distinct.
    """
    low, high, wanted = 0, ranks.shape[1] - 1, count - 1
    while low < high:
        pivot = ranks[row, (low + high) // 2]
        left, right = low, high
        while left <= right:
            while ranks[row, left] < pivot:
                left += 1
            while ranks[row, right] > pivot:
                right -= 1
            if left <= right:
                ranks[row, left], ranks[row, right] = ranks[row, right], ranks[row, left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            return


@CompiledKernel
def _sort_ranks(  # pragma: no cover - compiled; held to its twin in tests/reference
    ranks: npt.NDArray[np.uint64], held: npt.NDArray[np.int64]
) -> None:
    for i in range(len(held)):
        ranks[i, : held[i]].sort()


def _write_nearest(
    search: _Search,
    filters: Filters,
    ranks: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.intp],
    out: Neighbours,
) -> None:
    """Rows of B from the ranks, and their similarities counted anew in double."""
    out.index_b[rows] = ranks & _LOW_HALF
    if search.measure == "hamming":
        out.similarity[rows] = ranks >> _HALF
        return
    filters, dice = align_rows(filters), np.empty(ranks.shape)
    places, side_b = search.places_b[out.index_b[rows]], search.side_b
    score = _dice_rows_kernel(filters.shape[1])
    score(filters, count_bits(filters), side_b.rows, side_b.bits, places, dice)
    out.similarity[rows] = dice


@cache
def _share_kernel(words: int, dice: bool) -> CompiledKernel:
    def share(  # pragma: no cover - compiled; decides no result
        rows_a: Filters,
        bits_a: npt.NDArray[np.int32],
        rows_b: Filters,
        bits_b: npt.NDArray[np.int32],
        out: npt.NDArray[np.float64],
    ) -> None:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                total = bits_a[i] + bits_b[j]
                distance = total - 2 * shared_bits(rows_a, i, rows_b, j, words)
                out[i, j] = distance / max(total, 1) if dice else 1.0 * distance

    return CompiledKernel(share)


@cache
def _dice_rows_kernel(words: int) -> CompiledKernel:
    def score(  # pragma: no cover - compiled; held to its twin in tests/reference
        rows_a: Filters,
        bits_a: npt.NDArray[np.int32],
        rows_b: Filters,
        bits_b: npt.NDArray[np.int32],
        places: npt.NDArray[np.intp],
        out: npt.NDArray[np.float64],
    ) -> None:
        for i in range(places.shape[0]):
            for n in range(places.shape[1]):
                shared = shared_bits(rows_a, i, rows_b, places[i, n], words)
                out[i, n] = 2.0 * shared / max(bits_a[i] + bits_b[places[i, n]], 1)

    return CompiledKernel(score)


def _choose_search_shape(filters_a: Filters, filters_b: Filters, k: int, measure: Measure) -> BoundShape:
    """The cheapest shape at the limit that a sample's rows would end with."""
    words = filters_a.shape[1]
    if len(filters_a) * len(filters_b) < SAMPLE_FROM_PAIRS:
        return BoundShape(words, words)
    sample_a, sample_b = sample_rows(filters_a, SAMPLED_A), sample_rows(filters_b, SAMPLED_B)
    distances = bound_distances(sample_a, sample_b, BoundShape(words, words))
    sums = np.ones_like(distances)
    if measure == "dice":
        sums = np.maximum(count_bits(sample_a)[:, None] + count_bits(sample_b), 1)
    rank = min(len(sample_b) * k // len(filters_b), len(sample_b) - 1)
    last = np.partition(distances / sums, rank, axis=1)[:, rank : rank + 1]
    return choose_shape(sample_a, sample_b, np.multiply(last, sums, dtype=np.float64))


def _check_search(
    filters_a: Filters, filters_b: Filters, neighbours: int, measure: str, shape: BoundShape | None
) -> None:
    check_sides(filters_a, filters_b, shape)
    if filters_a.shape[1] > MAX_WORDS:
        raise kernel_input(f"filters of {filters_a.shape[1]} words", f"at most {MAX_WORDS}")
    if not 1 <= neighbours <= MAX_NEIGHBOURS:
        raise kernel_input(f"{neighbours} neighbours", f"1 to {MAX_NEIGHBOURS}")
    if measure not in ("dice", "hamming"):
        raise kernel_input("another measure", "dice or hamming")
