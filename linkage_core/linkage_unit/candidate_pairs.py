"""Candidate pairs: the union of keyed blocking passes, counted before any pair is made. Zone: linkage_unit.

Two records are candidates when they share a blocking value in at least one pass (several passes: Hernandez
and Stolfo 1995, doi:10.1145/223784.223807; purging of oversized blocks: Papadakis et al. 2013,
doi:10.1109/TKDE.2012.150). The linkage unit sees keyed values only: equality is all that they tell.

A crowded value (everyone called Smith, or a column that holds one constant) would explode, so sizes are
counted from the histogram of values first: a block with more than ``max_block_pairs`` pairs is dropped in
that pass alone and reported, and a total above ``pair_budget`` is refused before memory is asked for.

Below that limit each record takes its blocks from the smallest on, until it has asked for about
``partners_per_record`` partners (block filtering: Papadakis et al. 2016, doi:10.5441/002/edbt.2016.22). One
limit then serves a town and a county: where most blocks are small, large ones are never opened; a record
whose values are mistyped, so that its small blocks are empty, goes on to larger ones. A record that lacks
values has fewer blocks and gets more room, by the cube of the passes it lacks (decision 0010, measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, run_in_chunks
from linkage_core.protocol.encoded_evidence import NULL_TOKEN

MAX_PASSES = 32
MAX_RECORDS = (1 << 31) - 1
ROOM_EXPONENT = 3
"""A record with values in ``n`` of the ``P`` passes in use (those with a kept block) may ask for (P/n)**3 times as
many partners.
"""

RECORDS_PER_CHUNK = 1 << 16
"""Records that choose their blocks at a time, about 30 bytes a record and pass."""

PROPOSALS_PER_CHUNK = 1 << 18
"""Proposals (pairs before the union) of one chunk, 8 bytes each; each thread holds one chunk."""

Blocking = npt.NDArray[np.uint64]
Standing = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class PassReport:
    """What one blocking pass did, from counts alone.

    Attributes
    ----------
    name : str
        The pass, as in the protocol.
    blocks, pairs : int
        Blocks kept (values that both sides hold), and the pairs that the pass proposes.
    largest_block_pairs : int
        Pairs of the largest block found, whether kept or dropped; 0 without any.
    blocks_dropped, pairs_dropped : int
        Blocks above the limit, and the pairs that they would have proposed.
    null_a, null_b : int
        Records whose value is null: they take no part in this pass.
    size_histogram : tuple of int
        Element ``e`` counts the blocks, kept or dropped, of 2**e to 2**(e+1) - 1 pairs.
    pairs_left_out : int
        Pairs of the blocks kept that neither record had room for.
    """

    name: str
    blocks: int
    pairs: int
    largest_block_pairs: int
    blocks_dropped: int
    pairs_dropped: int
    null_a: int
    null_b: int
    size_histogram: tuple[int, ...] = ()
    pairs_left_out: int = 0


@dataclass(frozen=True)
class CandidatePairs:
    """Pairs to compare, each once, in ascending order of (index_a, index_b).

    Attributes
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the two sides.
    passes : ndarray of uint32, shape (m,)
        Bit ``p`` is set when pass ``p`` proposed the pair.
    reports : tuple of PassReport
        One for each pass, in the protocol's order.
    all_pairs : int
        Pairs of the full cross product.
    """

    index_a: npt.NDArray[np.intp]
    index_b: npt.NDArray[np.intp]
    passes: npt.NDArray[np.uint32]
    reports: tuple[PassReport, ...]
    all_pairs: int

    def __len__(self) -> int:
        return len(self.index_a)

    @property
    def reduction_ratio(self) -> float:
        """Share of the cross product that is not compared; 0.0 when a side is empty."""
        return 1.0 - len(self) / self.all_pairs if self.all_pairs else 0.0


@dataclass(frozen=True)
class CandidatePlan:
    """Which pairs there will be, before there are any: it lets pairs be made range by range, anywhere.

    Attributes
    ----------
    first, size : ndarray of uint32, shape (passes, na)
        In pass ``p``, the partners of record ``i`` are ``size[p, i]`` members from ``first[p, i]`` on.
    members : ndarray of uint32, shape (passes, nb)
        Rows of side B, block by block.
    reports : tuple of PassReport
    standing : two ndarrays of uint64, shape (na,), (nb,)
        Bit ``p``: in pass ``p`` the record has a kept block; bit ``32 + p``: it takes that block. Whether and why two
        records with the same blocking values as before are a pair depends on nothing else.
    """

    first: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    members: npt.NDArray[np.uint32]
    reports: tuple[PassReport, ...]
    standing: tuple[Standing, Standing]

    @property
    def all_pairs(self) -> int:
        """Pairs of the full cross product."""
        return int(self.size.shape[1]) * int(self.members.shape[1])


@dataclass(frozen=True)
class RangePairs:
    """Pairs of consecutive records of side A, each once, in ascending order of (index_a, index_b).

    Attributes
    ----------
    partners : ndarray of uint32, shape (records,)
        How many pairs each record has.
    index_b, passes : ndarray of uint32, shape (m,)
    """

    partners: npt.NDArray[np.uint32]
    index_b: npt.NDArray[np.uint32]
    passes: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class _PassBlocks:
    """One pass grouped: each record's block (0: none, or dropped), and sizes by block."""

    block_of_a: npt.NDArray[np.intp]
    block_of_b: npt.NDArray[np.intp]
    size_a: npt.NDArray[np.intp]
    size_b: npt.NDArray[np.intp]
    report: PassReport


def propose_pairs(
    blocking_a: Blocking,
    blocking_b: Blocking,
    *,
    pass_names: Sequence[str],
    max_block_pairs: int,
    pair_budget: int,
    partners_per_record: int | None = None,
    threads: int | None = None,
) -> CandidatePairs:
    """Union of all passes: the pairs of records that share a kept block for which one of them has room.

    Parameters
    ----------
    blocking_a, blocking_b : ndarray of uint64, shape (na, P), (nb, P)
        Keyed blocking values; column ``p`` belongs to pass ``p``; 0 is null and pairs with nothing.
    pass_names : sequence of str, length P (at most 32)
        Names for the reports.
    max_block_pairs : int
        A block of more pairs than this is dropped, in its pass only.
    pair_budget : int
        Most pairs that all passes may propose together, counted before the union.
    partners_per_record : int, optional
        Room of a record with a value in each pass in use: it takes its kept blocks in ascending order of
        (partners in the block, pass) while their partners together, counted before the union, are no more
        than that. A pair is proposed when either record takes the block. None: no such limit.
    threads : int, optional
        Threads to use; every number gives the same bytes. By default all cores of the process.

    Returns
    -------
    CandidatePairs
        Sorted by (index_a, index_b), each pair once. Memory: 20 bytes a pair, 8 bytes a record and pass,
        and a chunk of :data:`PROPOSALS_PER_CHUNK` proposals.

    Raises
    ------
    NightlinkError
        E-PAIR-BUDGET before any pair is made; E-KERNEL-INPUT for a wrong dtype or shape.
    """
    plan = plan_candidates(
        blocking_a,
        blocking_b,
        pass_names=pass_names,
        max_block_pairs=max_block_pairs,
        pair_budget=pair_budget,
        partners_per_record=partners_per_record,
    )
    return join_ranges(
        [pairs_of_range(plan, 0, len(blocking_a), threads=threads)], plan.reports, plan.all_pairs
    )


def plan_candidates(
    blocking_a: Blocking,
    blocking_b: Blocking,
    *,
    pass_names: Sequence[str],
    max_block_pairs: int,
    pair_budget: int,
    partners_per_record: int | None = None,
) -> CandidatePlan:
    """What :func:`propose_pairs` will propose; parameters and errors are the same.

    Memory: 8 bytes a record of side A and pass, 4 of side B, and while planning some 35 a record and pass.
    """
    return _plan(blocking_a, blocking_b, pass_names, max_block_pairs, pair_budget, partners_per_record)[0]


def plan_both_ways(
    blocking_a: Blocking,
    blocking_b: Blocking,
    *,
    pass_names: Sequence[str],
    max_block_pairs: int,
    pair_budget: int,
    partners_per_record: int | None = None,
) -> tuple[CandidatePlan, CandidatePlan]:
    """:func:`plan_candidates`, and the same pairs as seen from side B, whose plan has no reports."""
    forth, back = _plan(
        blocking_a, blocking_b, pass_names, max_block_pairs, pair_budget, partners_per_record, both_ways=True
    )
    return forth, back


def _plan(
    blocking_a: Blocking,
    blocking_b: Blocking,
    pass_names: Sequence[str],
    max_block_pairs: int,
    pair_budget: int,
    partners_per_record: int | None,
    both_ways: bool = False,
) -> tuple[CandidatePlan, CandidatePlan]:
    _check_blocking(blocking_a, blocking_b, pass_names)
    blocks = [
        _group_pass(name, blocking_a[:, p], blocking_b[:, p], max_block_pairs)
        for p, name in enumerate(pass_names)
    ]
    taken_a = _take_blocks([(b.block_of_a, b.size_b) for b in blocks], blocking_a, partners_per_record)
    taken_b = _take_blocks([(b.block_of_b, b.size_a) for b in blocks], blocking_b, partners_per_record)
    standing = (
        _standing([b.block_of_a for b in blocks], taken_a),
        _standing([b.block_of_b for b in blocks], taken_b),
    )
    forth = _empty_plan(len(blocks), len(blocking_a), len(blocking_b), standing)
    back = _empty_plan(
        len(blocks), *((len(blocking_b), len(blocking_a)) if both_ways else (0, 0)), standing[::-1]
    )
    reports = []
    for p in range(len(pass_names)):
        # A pass's own numbers go as soon as what it proposes is written.
        its = blocks.pop(0)
        forth.first[p], forth.size[p], forth.members[p], report = _propose(its, taken_a[:, p], taken_b[:, p])
        reports.append(report)
        if both_ways:
            back.first[p], back.size[p], back.members[p], _ = _propose(
                _seen_from_b(its), taken_b[:, p], taken_a[:, p]
            )
    _check_budget(reports, pair_budget)
    return replace(forth, reports=tuple(reports)), back


def _empty_plan(
    passes: int, records_a: int, records_b: int, standing: tuple[Standing, Standing]
) -> CandidatePlan:
    first, size = np.empty((2, passes, records_a), np.uint32)
    return CandidatePlan(first, size, np.empty((passes, records_b), np.uint32), (), standing)


def _seen_from_b(blocks: _PassBlocks) -> _PassBlocks:
    return _PassBlocks(blocks.block_of_b, blocks.block_of_a, blocks.size_b, blocks.size_a, blocks.report)


def _standing(block_of: Sequence[npt.NDArray[np.intp]], taken: npt.NDArray[np.bool_]) -> Standing:
    standing = np.zeros(len(taken), np.uint64)
    for p, block in enumerate(block_of):
        standing |= (block > 0).astype(np.uint64) << np.uint64(p)
        standing |= ((block > 0) & taken[:, p]).astype(np.uint64) << np.uint64(MAX_PASSES + p)
    return standing


def pairs_of_range(plan: CandidatePlan, start: int, stop: int, *, threads: int | None = None) -> RangePairs:
    """The pairs of records ``start`` to ``stop - 1`` of side A: the union of all passes.

    Going by A record keeps the sort local: a record's few dozen proposals are sorted in cache, and only a
    few chunks of proposals exist at a time. Records are cut into chunks by their proposals, never by threads.
    """
    bounds = _chunk_bounds(plan.size[:, start:stop].sum(axis=0, dtype=np.intp))
    packed: list[npt.NDArray[np.uint64]] = [np.empty(0, np.uint64)] * len(bounds)
    partners = np.zeros(stop - start, np.uint32)

    def work(chunk: int, _: int) -> None:
        begin, end = bounds[chunk]
        first = np.ascontiguousarray(plan.first[:, start + begin : start + end].T)
        size = np.ascontiguousarray(plan.size[:, start + begin : start + end].T)
        rows = np.empty(size.sum(dtype=np.intp), np.uint64)
        _unite_rows(first, size, plan.members, rows, partners[begin:end])
        packed[chunk] = rows[: partners[begin:end].sum(dtype=np.intp)].copy()

    run_in_chunks(work, len(bounds), chunk=1, threads=threads)
    together = np.concatenate([np.empty(0, np.uint64), *packed])
    index_b = (together >> np.uint64(32)).astype(np.uint32)
    return RangePairs(partners, index_b, together.astype(np.uint32))  # the lower half are the passes


def pairs_of_rows(
    plan: CandidatePlan, rows: npt.NDArray[np.intp], *, threads: int | None = None
) -> RangePairs:
    """The pairs of some records of side A, in the order of ``rows``."""
    part = replace(plan, first=plan.first[:, rows], size=plan.size[:, rows])
    return pairs_of_range(part, 0, len(rows), threads=threads)


def join_ranges(
    ranges: Sequence[RangePairs], reports: tuple[PassReport, ...], all_pairs: int
) -> CandidatePairs:
    """All pairs, from those of consecutive ranges that cover side A."""
    partners = np.concatenate([np.empty(0, np.uint32), *(part.partners for part in ranges)])
    index_b = np.empty(int(partners.sum(dtype=np.intp)), np.intp)
    passes = np.empty(len(index_b), np.uint32)
    begin = 0
    for part in ranges:
        end = begin + len(part.index_b)
        index_b[begin:end], passes[begin:end] = part.index_b, part.passes
        begin = end
    index_a = np.repeat(np.arange(len(partners), dtype=np.intp), partners)
    return CandidatePairs(index_a, index_b, passes, reports, all_pairs)


def pass_names_of(passes: int, pass_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the passes in a bit set, in the protocol's order."""
    return tuple(name for p, name in enumerate(pass_names) if passes >> p & 1)


def _check_blocking(blocking_a: Blocking, blocking_b: Blocking, pass_names: Sequence[str]) -> None:
    for name, values in (("blocking_a", blocking_a), ("blocking_b", blocking_b)):
        if values.dtype != np.uint64 or values.ndim != 2 or values.shape[1] != len(pass_names):
            raise kernel_input(
                f"{name} as {values.dtype} of shape {values.shape}", f"uint64, shape (n, {len(pass_names)})"
            )
        if len(values) > MAX_RECORDS:
            raise kernel_input(f"{name} of {len(values)} records", f"at most {MAX_RECORDS}")
    if len(pass_names) > MAX_PASSES:
        raise kernel_input(f"{len(pass_names)} passes", f"at most {MAX_PASSES}")


def _check_budget(reports: Sequence[PassReport], pair_budget: int) -> None:
    total = sum(report.pairs for report in reports)
    if total <= pair_budget:
        return
    largest = max(reports, key=lambda report: report.pairs)
    raise NightlinkError(
        "E-PAIR-BUDGET",
        found=f"{total} pairs, of which {largest.pairs} from the pass {largest.name}",
        expected=f"at most {pair_budget} (blocking.pair_budget)",
        remedy=f"Lower blocking.max_block_pairs, add a part to {largest.name}, or raise the budget.",
    )


def _group_pass(
    name: str, values_a: npt.NDArray[np.uint64], values_b: npt.NDArray[np.uint64], max_block_pairs: int
) -> _PassBlocks:
    """Blocks of one pass, by sorting each side's values; sizes are known before any pair exists."""
    distinct_a, of_a, counts_a = np.unique(values_a, return_inverse=True, return_counts=True)
    distinct_b, of_b, counts_b = np.unique(values_b, return_inverse=True, return_counts=True)
    shared, in_a, in_b = np.intersect1d(distinct_a, distinct_b, assume_unique=True, return_indices=True)
    pairs = counts_a[in_a] * counts_b[in_b]
    pairs[shared == NULL_TOKEN] = 0
    kept = (pairs > 0) & (pairs <= max_block_pairs)
    in_a, in_b = in_a[kept], in_b[kept]
    nulls = (int(np.count_nonzero(values == NULL_TOKEN)) for values in (values_a, values_b))
    return _PassBlocks(
        _number_blocks(in_a, len(distinct_a))[of_a],
        _number_blocks(in_b, len(distinct_b))[of_b],
        np.concatenate([[0], counts_a[in_a]]),
        np.concatenate([[0], counts_b[in_b]]),
        _report(name, pairs, kept, *nulls),
    )


def _number_blocks(kept: npt.NDArray[np.intp], distinct: int) -> npt.NDArray[np.intp]:
    """From the number of a value to that of its block, from 1 on; 0 for a value without a kept block."""
    block = np.zeros(distinct, np.intp)
    block[kept] = np.arange(1, len(kept) + 1)
    return block


def _take_blocks(
    blocks: Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
    blocking: Blocking,
    partners_per_record: int | None,
) -> npt.NDArray[np.bool_]:
    """Which of its blocks each record of a side takes, shape (n, P), from (block of record, partners in block)."""
    records, passes = blocking.shape
    taken = np.ones((records, passes), np.bool_)
    if partners_per_record is None or passes == 0:
        return taken
    in_use = np.flatnonzero([len(size) > 1 for _, size in blocks])
    for start in range(0, records, RECORDS_PER_CHUNK):
        rows = slice(start, start + RECORDS_PER_CHUNK)
        present = np.count_nonzero(blocking[rows][:, in_use], axis=1)
        room = partners_per_record * len(in_use) ** ROOM_EXPONENT // np.maximum(present, 1) ** ROOM_EXPONENT
        # (partners, pass) in one number, so that they sort as such.
        packed = np.stack(
            [size[block[rows]] * MAX_PASSES + p for p, (block, size) in enumerate(blocks)], axis=1
        )
        packed.sort(axis=1)
        fits = np.cumsum(packed // MAX_PASSES, axis=1) <= room[:, np.newaxis]
        np.put_along_axis(taken[rows], packed % MAX_PASSES, fits, axis=1)
    return taken


def _propose(
    blocks: _PassBlocks, taken_a: npt.NDArray[np.bool_], taken_b: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.uint32], PassReport]:
    """What the pass proposes (each A record's first and size, the members, its report).

    The whole block for a record that takes it, else the members that take it.

    Members of a block stand together, those that take it first, each part in the order of side B.
    """
    kept = len(blocks.size_b)
    members_b = _rows_in_order(2 * blocks.block_of_b + ~taken_b)
    takers = np.bincount(blocks.block_of_b[taken_b], minlength=kept)
    takers[0] = 0
    first = np.cumsum(np.bincount(blocks.block_of_b, minlength=kept)) - blocks.size_b
    size = np.where(taken_a, blocks.size_b[blocks.block_of_a], takers[blocks.block_of_a])
    pairs = int(size.sum())
    report = replace(blocks.report, pairs=pairs, pairs_left_out=blocks.report.pairs - pairs)
    return first[blocks.block_of_a], size, members_b, report


def _rows_in_order(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    """Rows in ascending order of (number, row); numbers below 2**32. Sorting them packed is several times as fast."""
    packed = numbers.astype(np.uint64) << np.uint64(32)
    packed |= np.arange(len(numbers), dtype=np.uint64)
    packed.sort()
    return packed.astype(np.uint32)  # the lower half are the rows


def _report(
    name: str, pairs: npt.NDArray[np.intp], kept: npt.NDArray[np.bool_], null_a: int, null_b: int
) -> PassReport:
    found = pairs[pairs > 0]
    exponents = np.frexp(found.astype(np.float64))[1] - 1
    return PassReport(
        name=name,
        blocks=int(np.count_nonzero(kept)),
        pairs=int(pairs[kept].sum()),
        largest_block_pairs=int(found.max(initial=0)),
        blocks_dropped=len(found) - int(np.count_nonzero(kept)),
        pairs_dropped=int(found.sum() - pairs[kept].sum()),
        null_a=null_a,
        null_b=null_b,
        size_histogram=tuple(np.bincount(exponents).tolist()),
    )


def _chunk_bounds(proposals: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Consecutive ranges of records, each of about :data:`PROPOSALS_PER_CHUNK` proposals."""
    ends = np.cumsum(proposals)
    total = int(ends[-1]) if len(ends) else 0
    inner = np.searchsorted(ends, np.arange(PROPOSALS_PER_CHUNK, total, PROPOSALS_PER_CHUNK))
    cuts = np.unique(np.concatenate([[0], inner, [len(proposals)]])).tolist()
    return list(zip(cuts[:-1], cuts[1:], strict=True)) if total else []


@CompiledKernel
def _unite_rows(  # pragma: no cover - compiled; held to its twin in tests/reference
    first: npt.NDArray[np.uint32],
    size: npt.NDArray[np.uint32],
    members: npt.NDArray[np.uint32],
    out: npt.NDArray[np.uint64],
    distinct: npt.NDArray[np.uint32],
) -> None:
    """Write each record's partners, ascending, as ``partner << 32 | passes``; count them in ``distinct``."""
    begin = 0
    for i in range(first.shape[0]):
        end = begin
        for p in range(first.shape[1]):
            begin_p = np.intp(first[i, p])
            for t in range(begin_p, begin_p + np.intp(size[i, p])):
                out[end] = (np.uint64(members[p, t]) << np.uint64(32)) | (np.uint64(1) << np.uint64(p))
                end += 1
        out[begin:end].sort()
        last = begin - 1
        for k in range(begin, end):
            if last >= begin and out[last] >> np.uint64(32) == out[k] >> np.uint64(32):
                out[last] |= out[k]
            else:
                last += 1
                out[last] = out[k]
        distinct[i] = last + 1 - begin
        begin = last + 1
