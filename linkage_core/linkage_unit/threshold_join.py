"""All pairs of two sides with Dice similarity of at least a threshold, exactly. Zone: linkage_unit.

Every record of A is compared with every record of B by a bound that prunes without error
(:mod:`linkage_core.linkage_unit.distance_bounds`); the survivors are decided in double, as
``2.0 * shared / (|a| + |b|) >= threshold``. Pairs and similarities are those of anonlink 0.15.3
(``dice_coefficient_accelerated``), to the bit. Two empty filters score 0.0.

The work goes by chunks of rows of A. Memory is bounded whatever the filters are: a chunk that holds too many
similar pairs (constant filters, hubs) is abandoned and cut into halves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import align_rows, check_filters, count_bits, kernel_input
from linkage_core.linkage_unit.distance_bounds import (
    LANES_PER_BLOCK,
    LIMIT_SLACK,
    SAMPLE_FROM_PAIRS,
    SAMPLED_A,
    SAMPLED_B,
    BlockedSide,
    BoundShape,
    Filters,
    choose_shape,
    collect_close,
    comparable_words,
    lay_out_blocks,
    places_of,
    rows_of,
    sample_rows,
)
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, default_threads
from linkage_core.linkage_unit.popcount_intrinsics import shared_bits

ROWS_PER_CHUNK = 4096
"""Rows of A of one chunk: at most 16 MiB of pairs await their decision in each thread."""
PAIRS_PER_CHUNK = 1 << 20
"""A chunk of more similar pairs is cut into halves; 8 bytes each until then, 24 as a result."""
MAX_RECORDS = (1 << 31) - 1
_LOW_HALF, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True, repr=False)
class SimilarPairs:
    """Pairs in ascending order of (index_a, index_b), each once.

    Attributes
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the two sides.
    similarity : ndarray of float64, shape (m,)
        Dice similarity.
    """

    index_a: npt.NDArray[np.intp]
    index_b: npt.NDArray[np.intp]
    similarity: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.index_a)


@dataclass(frozen=True, repr=False)
class JoinPlan:
    """Everything that a chunk needs; made once, shared by all threads: :func:`plan_join`.

    Attributes
    ----------
    threshold : float
        Pairs of at least this Dice similarity are wanted.
    filters_a, filters_b : ndarray of uint64, shape (na, W), (nb, W)
    side_b : BlockedSide
    """

    threshold: float
    filters_a: Filters
    filters_b: Filters
    side_b: BlockedSide


@dataclass(frozen=True, repr=False)
class _ChunkRows:
    """Rows of A by ascending popcount (ties by row), so that a block of B meets a run of them.

    ``limits`` holds each row's share of the greatest distance, ``rounded`` is room for whole limits, and
    ``windows`` the run of rows that each block meets.
    """

    rows: npt.NDArray[np.intp]
    filters: Filters
    bits: npt.NDArray[np.int32]
    folds: Filters
    limits: npt.NDArray[np.float64]
    rounded: npt.NDArray[np.int64]
    windows: list[tuple[int, int]]


def stream_similar_pairs(
    filters_a: Filters,
    filters_b: Filters,
    threshold: float,
    *,
    threads: int | None = None,
    shape: BoundShape | None = None,
) -> Iterator[SimilarPairs]:
    """Similar pairs of all A with all B, chunk by chunk.

    Parameters
    ----------
    filters_a, filters_b : ndarray of uint64, shape (na, W), (nb, W)
        Filters of at least one word, the same number on both sides; at most 2**31 - 1 records each.
    threshold : float
        From 0 to 1; pairs of exactly this similarity are among the results. At 0 every pair is.
    threads : int, optional
        Threads to use; every number gives the same chunks. By default all cores of the process.
    shape : BoundShape, optional
        How to prune; by default chosen from an evenly spaced sample. It changes the time, never the result.

    Yields
    ------
    SimilarPairs
        One for each range of consecutive rows of A, in their order: together they are in ascending order of
        (index_a, index_b). Where ranges end depends on the filters and the threshold alone. At most
        ``max(PAIRS_PER_CHUNK, nb)`` pairs each; some are empty.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype or shape, or a threshold outside 0 to 1.

    Notes
    -----
    Memory beside the filters: a copy of B and its folds, and for each thread 16 MiB and two chunks' pairs.
    """
    plan = plan_join(filters_a, filters_b, threshold, shape=shape)
    ranges = [
        (start, min(start + ROWS_PER_CHUNK, len(filters_a)))
        for start in range(0, len(filters_a), ROWS_PER_CHUNK)
    ]
    threads = default_threads() if threads is None else threads
    for (start, stop), pairs in _in_order(lambda bounds: _try_rows(plan, *bounds), ranges, threads):
        if pairs is not None:
            yield pairs
        else:
            yield from join_rows(plan, start, stop)


def find_similar_pairs(
    filters_a: Filters,
    filters_b: Filters,
    threshold: float,
    *,
    threads: int | None = None,
    shape: BoundShape | None = None,
) -> SimilarPairs:
    """All chunks of :func:`stream_similar_pairs` as one: memory grows with the pairs found."""
    chunks = list(stream_similar_pairs(filters_a, filters_b, threshold, threads=threads, shape=shape))
    return SimilarPairs(
        np.concatenate([np.empty(0, np.intp), *(chunk.index_a for chunk in chunks)]),
        np.concatenate([np.empty(0, np.intp), *(chunk.index_b for chunk in chunks)]),
        np.concatenate([np.empty(0, np.float64), *(chunk.similarity for chunk in chunks)]),
    )


def plan_join(
    filters_a: Filters, filters_b: Filters, threshold: float, *, shape: BoundShape | None = None
) -> JoinPlan:
    """Check the inputs, choose how to prune, and lay out side B."""
    check_sides(filters_a, filters_b, shape)
    if not 0.0 <= threshold <= 1.0:
        raise kernel_input(f"a threshold of {threshold}", "a number from 0 to 1")
    if shape is None:
        shape = _choose_join_shape(filters_a, filters_b, threshold)
    return JoinPlan(threshold, filters_a, filters_b, lay_out_blocks(filters_b, shape))


def join_rows(plan: JoinPlan, start: int, stop: int) -> Iterator[SimilarPairs]:
    """Similar pairs of rows ``start`` to ``stop`` of A: one piece, or several where they are too many.

    For callers that cut the work themselves, such as a cluster's; at most :data:`ROWS_PER_CHUNK` rows at a time
    keep memory within the bounds stated above.
    """
    pairs = _try_rows(plan, start, stop)
    if pairs is not None:
        yield pairs
        return
    middle = (start + stop) // 2
    yield from join_rows(plan, start, middle)
    yield from join_rows(plan, middle, stop)


def check_sides(filters_a: Filters, filters_b: Filters, shape: BoundShape | None) -> None:
    """Raise E-KERNEL-INPUT for filters or a shape that cannot be compared by blocks."""
    check_filters(filters_a, filters_b)
    words = filters_a.shape[1]
    if words == 0:
        raise kernel_input("filters of 0 words", "at least 1 word")
    if max(len(filters_a), len(filters_b)) > MAX_RECORDS:
        raise kernel_input(f"{len(filters_a)} and {len(filters_b)} records", f"at most {MAX_RECORDS}")
    if shape is not None and not 1 <= shape.groups <= shape.words <= words:
        raise kernel_input(
            f"{shape.words} words in {shape.groups} groups", f"1 <= groups <= words <= {words}"
        )


def _choose_join_shape(filters_a: Filters, filters_b: Filters, threshold: float) -> BoundShape:
    words = filters_a.shape[1]
    if len(filters_a) * len(filters_b) < SAMPLE_FROM_PAIRS:
        return BoundShape(words, words)
    sample_a, sample_b = sample_rows(filters_a, SAMPLED_A), sample_rows(filters_b, SAMPLED_B)
    sums = count_bits(sample_a)[:, None] + count_bits(sample_b)
    return choose_shape(sample_a, sample_b, np.multiply(sums, 1.0 - threshold, dtype=np.float64))


def _try_rows(plan: JoinPlan, start: int, stop: int) -> SimilarPairs | None:
    """Similar pairs of a range of rows; None where they are too many for one piece."""
    chunk = _order_rows(plan, start, stop)
    room = np.empty(len(chunk.rows) * LANES_PER_BLOCK, np.uint64)
    kept: list[npt.NDArray[np.uint64]] = []
    most = PAIRS_PER_CHUNK if stop - start > 1 else len(plan.filters_b)
    for block in range(plan.side_b.blocks):
        similar = _join_block(plan, chunk, block, room)
        most -= len(similar)
        if most < 0:
            return None
        kept.append(similar.copy())
    return _name_pairs(plan, chunk, np.concatenate([room[:0], *kept]))


def _order_rows(plan: JoinPlan, start: int, stop: int) -> _ChunkRows:
    bits = count_bits(plan.filters_a[start:stop])
    order = np.argsort(bits, kind="stable")
    filters = align_rows(plan.filters_a[start + order])
    padded = np.concatenate([filters, np.zeros((1, filters.shape[1]), np.uint64)])
    limits = np.zeros(len(padded))
    limits[:-1] = (1.0 - plan.threshold) * bits[order] + LIMIT_SLACK
    return _ChunkRows(
        start + order,
        filters,
        bits[order],
        comparable_words(padded, plan.side_b.shape),
        limits,
        np.empty(len(padded), np.int64),
        _windows(plan, bits[order]),
    )


def _join_block(
    plan: JoinPlan, chunk: _ChunkRows, block: int, room: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Similar pairs of a chunk and a block, as ``row in chunk << 32 | place``, in ``room``."""
    side_b = plan.side_b
    np.add(
        chunk.limits, (1.0 - plan.threshold) * side_b.most_bits[block], out=chunk.rounded, casting="unsafe"
    )
    start, stop = chunk.windows[block]
    close = collect_close(chunk.folds, chunk.rounded, start, stop, side_b, block, room)
    kept = np.zeros(1, np.int64)
    keep = _keep_kernel(plan.filters_a.shape[1])
    keep(chunk.filters, chunk.bits, side_b.rows, side_b.bits, len(side_b.order), plan.threshold, close, kept)
    return close[: kept[0]]


def _windows(plan: JoinPlan, bits: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """For each block of B, the run of rows (with popcounts ``bits``, ascending) that could reach the threshold.

    Dice is at most 2 min(x, y) / (x + y) for popcounts x and y: one filter within the other.
    """
    ratio = plan.threshold / (2.0 - plan.threshold)
    starts = np.searchsorted(bits, plan.side_b.fewest_bits * ratio - 0.5)
    if ratio == 0.0:
        return [(0, len(bits))] * plan.side_b.blocks
    stops = np.searchsorted(bits, plan.side_b.most_bits / ratio + 0.5, side="right")
    return list(zip(starts.tolist(), np.maximum(starts, stops).tolist(), strict=True))


@cache
def _keep_kernel(words: int) -> CompiledKernel:
    def keep(  # pragma: no cover - compiled; held to its twin in tests/reference
        rows_a: Filters,
        bits_a: npt.NDArray[np.int32],
        rows_b: Filters,
        bits_b: npt.NDArray[np.int32],
        records_b: int,
        threshold: float,
        pairs: npt.NDArray[np.uint64],
        kept: npt.NDArray[np.int64],
    ) -> None:
        count = 0
        for k in range(len(pairs)):
            i = np.int64(pairs[k] >> _HALF)
            j = np.int64(pairs[k] & _LOW_HALF)
            shared = shared_bits(rows_a, i, rows_b, j, words)
            similar = 2.0 * shared / max(bits_a[i] + bits_b[j], 1) >= threshold
            pairs[count] = pairs[k]  # without a branch: hardly any is kept, but which one cannot be foretold
            count += int(similar & (j < records_b))
        kept[0] = count

    return CompiledKernel(keep)


@cache
def _score_kernel(words: int) -> CompiledKernel:
    def score(  # pragma: no cover - compiled; held to its twin in tests/reference
        rows_a: Filters,
        bits_a: npt.NDArray[np.int32],
        rows_b: Filters,
        bits_b: npt.NDArray[np.int32],
        pairs: npt.NDArray[np.uint64],
        out: npt.NDArray[np.float64],
    ) -> None:
        for k in range(len(pairs)):
            i = np.int64(pairs[k] >> _HALF)
            j = np.int64(pairs[k] & _LOW_HALF)
            shared = shared_bits(rows_a, i, rows_b, j, words)
            out[k] = 2.0 * shared / max(bits_a[i] + bits_b[j], 1)  # two empty filters: 0 / 1

    return CompiledKernel(score)


def _name_pairs(plan: JoinPlan, chunk: _ChunkRows, packed: npt.NDArray[np.uint64]) -> SimilarPairs:
    """From places in chunk and block order to rows, sorted, with their similarities."""
    side_b, similarity = plan.side_b, np.empty(len(packed))
    score = _score_kernel(plan.filters_a.shape[1])
    score(chunk.filters, chunk.bits, side_b.rows, side_b.bits, packed, similarity)
    index_a, index_b = chunk.rows[rows_of(packed)], side_b.order[places_of(packed)]
    order = np.lexsort((index_b, index_a))
    return SimilarPairs(index_a[order], index_b[order], similarity[order])


def _in_order(
    work: Callable[[tuple[int, int]], SimilarPairs | None], ranges: Sequence[tuple[int, int]], threads: int
) -> Iterator[tuple[tuple[int, int], SimilarPairs | None]]:
    """Results in the order of the ranges; never more than two a thread are under way or waiting."""
    if threads <= 1 or len(ranges) < 2:
        for bounds in ranges:
            yield bounds, work(bounds)
        return
    work((0, 0))  # compiles the kernels, alone
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[tuple[int, int], Future[SimilarPairs | None]]] = deque()
        for bounds in ranges:
            waiting.append((bounds, pool.submit(work, bounds)))
            if len(waiting) >= 2 * threads:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
