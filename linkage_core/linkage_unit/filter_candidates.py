"""Candidate pairs by similar filters: the modes ``top_k`` and ``threshold_join`` of a protocol. Zone: linkage_unit.

Each of the protocol's filters proposes pairs by itself: every record of side A with its ``nearest`` records of side B
(:mod:`~linkage_core.linkage_unit.nearest_neighbours`), or with all that are at least so similar
(:mod:`~linkage_core.linkage_unit.threshold_join`), both exactly. A record without a filter, since it lacks one of its
fields, takes no part there. A pair is compared once, and keeps which filters proposed it.

Pairs of a range of side A depend on that range and side B alone, so that they can be made range by range, anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, PassReport, RangePairs, join_ranges
from linkage_core.linkage_unit.nearest_neighbours import find_nearest
from linkage_core.linkage_unit.threshold_join import stream_similar_pairs
from linkage_core.protocol.linkage_protocol import BlockingSpec, LinkageProtocol

Filters = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.uint64]
_HALF = np.uint64(32)


@dataclass(frozen=True)
class FilterProposals:
    """What the filters propose for consecutive records of side A.

    Attributes
    ----------
    pairs : RangePairs
        The union; bit ``f`` of ``passes`` is set when filter ``f`` proposed the pair.
    proposed : tuple of int
        Pairs of each filter, before the union.
    null_a, null_b : tuple of int
        Records of the range, and of side B, without the filter.
    """

    pairs: RangePairs
    proposed: tuple[int, ...]
    null_a: tuple[int, ...]
    null_b: tuple[int, ...]


def propose_by_filters(
    filters_a: Sequence[Filters],
    filters_b: Sequence[Filters],
    blocking: BlockingSpec,
    *,
    records_a: int,
    made_before: int = 0,
    threads: int | None = None,
) -> FilterProposals:
    """Pairs that some filter proposes, by ``blocking.candidates``: its nearest, or all that are similar enough.

    Parameters
    ----------
    filters_a, filters_b : sequence of ndarray of uint64, shape (na, W), (nb, W)
        For each filter of the protocol the range's and all of side B; all zero where there is none.
    records_a : int
        Records of the whole of side A, for the budget of ``top_k``.
    made_before : int
        Pairs that are known to have been proposed for other ranges of side A.
    threads : int, optional
        Threads to use; every number gives the same bytes. By default all cores of the process.

    Returns
    -------
    FilterProposals
        Memory beside what the kernels take: some 40 bytes a pair proposed.

    Raises
    ------
    NightlinkError
        E-PAIR-BUDGET: for ``top_k`` before any pair is made; for ``threshold_join``, whose pairs nobody can count
        without making them, as soon as there are too many.
    """
    if blocking.candidates == "top_k":
        _check_nearest(records_a, len(filters_b), blocking)
    keys, null_a, null_b = [], [], []
    left = blocking.pair_budget - made_before
    for of_a, of_b in zip(filters_a, filters_b, strict=True):
        present = [np.flatnonzero(side.any(axis=1)) for side in (of_a, of_b)]
        found = _pairs_of_filter(_take(of_a, present[0]), _take(of_b, present[1]), blocking, left, threads)
        keys.append(_keys(present[0][found[0]], present[1][found[1]]))
        left -= len(keys[-1])
        null_a.append(len(of_a) - len(present[0]))
        null_b.append(len(of_b) - len(present[1]))
    records = len(filters_a[0]) if filters_a else 0
    return FilterProposals(unite_keys(keys, records), tuple(map(len, keys)), tuple(null_a), tuple(null_b))


def candidates_by_filters(
    filters_a: Sequence[Filters], filters_b: Sequence[Filters], protocol: LinkageProtocol
) -> CandidatePairs:
    """All pairs of two sides at once: :func:`propose_by_filters` over the whole of side A, with its errors."""
    records_a, records_b = len(filters_a[0]), len(filters_b[0])
    made = propose_by_filters(filters_a, filters_b, protocol.blocking, records_a=records_a)
    reports = filter_reports(protocol.proposer_names, [made])
    return join_ranges([made.pairs], reports, records_a * records_b)


def filter_reports(names: Sequence[str], ranges: Sequence[FilterProposals]) -> tuple[PassReport, ...]:
    """A report for each filter over all ranges of side A; filters have no blocks."""
    return tuple(
        PassReport(
            name=name,
            blocks=0,
            pairs=sum(part.proposed[f] for part in ranges),
            largest_block_pairs=0,
            blocks_dropped=0,
            pairs_dropped=0,
            null_a=sum(part.null_a[f] for part in ranges),
            null_b=max((part.null_b[f] for part in ranges), default=0),
        )
        for f, name in enumerate(names)
    )


def check_pairs_made(made: int, blocking: BlockingSpec) -> None:
    """E-PAIR-BUDGET when all ranges together proposed more than the budget."""
    if made > blocking.pair_budget:
        raise _too_many_similar(blocking)


def unite_keys(keys: Sequence[Keys], records: int) -> RangePairs:
    """Each pair once, ascending, with a bit for each filter that has it.

    Parameters
    ----------
    keys : sequence of ndarray of uint64
        Of each filter its pairs ``row in the range << 32 | row of B``, each once.
    """
    together = np.unique(np.concatenate([np.empty(0, np.uint64), *keys]))
    passes = np.zeros(len(together), np.uint32)
    for f, its_keys in enumerate(keys):
        passes[np.searchsorted(together, its_keys)] |= np.uint32(1 << f)
    partners = np.bincount((together >> _HALF).astype(np.intp), minlength=records).astype(np.uint32)
    return RangePairs(partners, together.astype(np.uint32), passes)  # the lower halves are rows of B


def _take(filters: Filters, rows: npt.NDArray[np.intp]) -> Filters:
    return filters if len(rows) == len(filters) else filters[rows]


def _keys(index_a: npt.NDArray[np.intp], index_b: npt.NDArray[np.intp]) -> Keys:
    return index_a.astype(np.uint64) << _HALF | index_b.astype(np.uint64)


def _pairs_of_filter(
    filters_a: Filters, filters_b: Filters, blocking: BlockingSpec, left: int, threads: int | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    if blocking.candidates == "top_k":
        nearest = find_nearest(filters_a, filters_b, blocking.nearest, threads=threads).index_b
        return np.repeat(np.arange(len(filters_a)), nearest.shape[1]), nearest.reshape(-1)
    parts_a, parts_b, made = [np.empty(0, np.intp)], [np.empty(0, np.intp)], 0
    for part in stream_similar_pairs(filters_a, filters_b, blocking.similarity, threads=threads):
        made += len(part)
        if made > left:
            raise _too_many_similar(blocking)
        parts_a.append(part.index_a)
        parts_b.append(part.index_b)
    return np.concatenate(parts_a), np.concatenate(parts_b)


def _check_nearest(records_a: int, filters: int, blocking: BlockingSpec) -> None:
    pairs = records_a * blocking.nearest * filters
    if pairs > blocking.pair_budget:
        raise NightlinkError(
            "E-PAIR-BUDGET",
            found=f"{pairs} pairs: {blocking.nearest} nearest by each of {filters} filters for {records_a} records",
            expected=f"at most {blocking.pair_budget} (blocking.pair_budget)",
            remedy="Lower blocking.nearest, or raise the budget.",
        )


def _too_many_similar(blocking: BlockingSpec) -> NightlinkError:
    return NightlinkError(
        "E-PAIR-BUDGET",
        found=f"more than {blocking.pair_budget} pairs with filters of similarity {blocking.similarity} or more",
        expected=f"at most {blocking.pair_budget} (blocking.pair_budget)",
        remedy="Raise blocking.similarity, or the budget.",
    )
