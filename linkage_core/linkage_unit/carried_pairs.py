"""Pairs and patterns of a former night carried over, so that only what changed is compared. Zone: linkage_unit.

A pair's pattern depends on its two records' encodings alone; whether it is a pair, and by which passes, on their
blocking values and their standing in the plan (:class:`~linkage_core.linkage_unit.candidate_pairs.CandidatePlan`). So
pairs of two records of which neither has changed are as they were, and all others are made and compared anew. What
comes out is what comparing everything gives, to the byte: nothing is approximated, and nothing is remembered that could
drift. Rows of both nights are in the order of pseudonyms, so that pairs that stay keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_pairs import CandidatePlan, RangePairs, Standing, pairs_of_rows
from linkage_core.linkage_unit.pair_patterns import PairPatterns, merge_patterns

Indices = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.uint32]
ComparePairs = Callable[[Indices, Indices], PairPatterns]
"""From rows of both sides to the pairs' patterns."""
_GONE = -1
_HALF = np.uint64(32)


@dataclass(frozen=True)
class ComparedPairs:
    """All pairs of a night with their patterns, in ascending order of (row of A, row of B).

    Attributes
    ----------
    partners : ndarray of uint32, shape (na,)
        How many pairs each record of side A has.
    index_b, passes : ndarray of uint32, shape (m,)
    patterns : PairPatterns
        Of all pairs.
    standing : two ndarrays of uint64, shape (na,), (nb,)
        The records' standing in the plan that the pairs are of.
    """

    partners: Numbers = field(repr=False)
    index_b: Numbers = field(repr=False)
    passes: Numbers = field(repr=False)
    patterns: PairPatterns = field(repr=False)
    standing: tuple[Standing, Standing] = field(repr=False)


@dataclass(frozen=True)
class CarriedPairs:
    """Tonight's pairs, and how many of them were compared tonight; ``touched`` are the records of each side."""

    pairs: ComparedPairs
    compared: int
    touched: tuple[int, int]


def carry_over(
    before: ComparedPairs,
    rows_before: tuple[Indices, Indices],
    forth: CandidatePlan,
    back: CandidatePlan,
    compare: ComparePairs,
) -> CarriedPairs:
    """Tonight's pairs and patterns from a former night's.

    Parameters
    ----------
    before : ComparedPairs
        Of the former night.
    rows_before : two ndarrays of intp, shape (na,), (nb,)
        Of each record of tonight its row then where nothing of it changed, else -1
        (:func:`~linkage_core.protocol.record_state.rows_of_before`); ascending but for those.
    forth, back : CandidatePlan
        Tonight's plan, seen from either side (:func:`~linkage_core.linkage_unit.candidate_pairs.plan_both_ways`).
    compare : callable
        Compares pairs of tonight's rows.
    """
    touched = (
        _touched(rows_before[0], forth.standing[0], before.standing[0]),
        _touched(rows_before[1], forth.standing[1], before.standing[1]),
    )
    stays_a, stays_b, stays = _pairs_that_stay(before, rows_before, touched)
    fresh_a, fresh_b, fresh_passes = _pairs_anew(forth, back, touched)
    patterns = compare(fresh_a, fresh_b)
    # Both runs are in order: each fresh pair goes before the first that stays and is greater.
    places = np.searchsorted(_keys(stays_a, stays_b), _keys(fresh_a, fresh_b)) + np.arange(len(fresh_a))
    is_fresh = np.zeros(len(stays_a) + len(fresh_a), np.bool_)
    is_fresh[places] = True
    its_patterns = merge_patterns(
        [PairPatterns(before.patterns.states, before.patterns.of_pair[stays]), patterns],
        patterns.states.shape[1],
    )
    of_pair = _woven(is_fresh, its_patterns.of_pair[: len(stays_a)], its_patterns.of_pair[len(stays_a) :])
    index_a = _woven(is_fresh, stays_a, fresh_a.astype(np.uint32))
    return CarriedPairs(
        ComparedPairs(
            np.bincount(index_a, minlength=len(rows_before[0])).astype(np.uint32),
            _woven(is_fresh, stays_b, fresh_b.astype(np.uint32)),
            _woven(is_fresh, before.passes[stays], fresh_passes),
            patterns_in_use(its_patterns.states, of_pair),
            forth.standing,
        ),
        len(fresh_a),
        (int(touched[0].sum()), int(touched[1].sum())),
    )


def patterns_in_use(states: npt.NDArray[np.uint8], of_pair: Numbers) -> PairPatterns:
    """The patterns that some pair has, in their order: rows of ``states`` that none has are left out."""
    used = np.zeros(len(states), np.bool_)
    used[of_pair] = True
    number = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    return PairPatterns(states[used], number[of_pair])


def _touched(rows_before: Indices, standing: Standing, standing_before: Standing) -> npt.NDArray[np.bool_]:
    """Records that are new, changed, or stand otherwise in the plan."""
    touched: npt.NDArray[np.bool_] = rows_before == _GONE
    same = ~touched
    touched[same] = standing[same] != standing_before[rows_before[same]]
    return touched


def _pairs_that_stay(
    before: ComparedPairs,
    rows_before: tuple[Indices, Indices],
    touched: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
) -> tuple[Numbers, Numbers, Indices]:
    """Rows of tonight of the pairs whose records are both untouched, and where these pairs stood."""
    now_a = _rows_now(rows_before[0], touched[0], len(before.partners))
    now_b = _rows_now(rows_before[1], touched[1], len(before.standing[1]))
    index_a, index_b = np.repeat(now_a, before.partners), now_b[before.index_b]
    stays = np.flatnonzero((index_a != _GONE) & (index_b != _GONE))
    return index_a[stays].astype(np.uint32), index_b[stays].astype(np.uint32), stays


def _rows_now(rows_before: Indices, touched: npt.NDArray[np.bool_], records: int) -> npt.NDArray[np.int32]:
    now = np.full(records, _GONE, np.int32)
    same = np.flatnonzero(~touched)
    now[rows_before[same]] = same
    return now


def _pairs_anew(
    forth: CandidatePlan, back: CandidatePlan, touched: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
) -> tuple[Indices, Indices, Numbers]:
    """Pairs of which a record is touched, ascending."""
    rows_a, rows_b = np.flatnonzero(touched[0]), np.flatnonzero(touched[1])
    from_a, from_b = pairs_of_rows(forth, rows_a), pairs_of_rows(back, rows_b)
    # Those of two touched records come from both sides.
    alone = ~touched[0][from_b.index_b]
    index_a = np.concatenate([_first(rows_a, from_a), from_b.index_b[alone].astype(np.intp)])
    index_b = np.concatenate([from_a.index_b.astype(np.intp), _first(rows_b, from_b)[alone]])
    passes = np.concatenate([from_a.passes, from_b.passes[alone]])
    order = np.argsort(_keys(index_a, index_b))
    return index_a[order], index_b[order], passes[order]


def _first(rows: Indices, pairs: RangePairs) -> Indices:
    return np.repeat(rows, pairs.partners)


def _keys(index_a: npt.NDArray[np.integer], index_b: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    return (index_a.astype(np.uint64) << _HALF) | index_b.astype(np.uint64)


def _woven(is_fresh: npt.NDArray[np.bool_], stays: Numbers, fresh: Numbers) -> Numbers:
    woven = np.empty(len(is_fresh), np.uint32)
    woven[~is_fresh], woven[is_fresh] = stays, fresh
    return woven
