"""Pairs and patterns carried over from a former night are those of comparing everything, to the byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.linkage_unit.candidate_pairs import CandidatePlan, pairs_of_range, plan_both_ways
from linkage_core.linkage_unit.carried_pairs import CarriedPairs, ComparedPairs, carry_over
from linkage_core.linkage_unit.pair_patterns import PairPatterns

PASSES, FIELDS = 3, 2
Side = dict[int, int]
"""From a person to the version of their record."""


class Night:
    """Two sides, each record drawn from person and version alone; rows in the order of persons."""

    def __init__(self, sides: tuple[Side, Side], room: int | None, most: int) -> None:
        self.sides = [sorted(side.items()) for side in sides]
        values = [self._drawn(side, s, PASSES, 4) for s, side in enumerate(self.sides)]
        self.evidence = [self._drawn(side, s, FIELDS, 3) for s, side in enumerate(self.sides)]
        names = [f"p{p}" for p in range(PASSES)]
        self.forth, self.back = plan_both_ways(
            *values, pass_names=names, max_block_pairs=most, pair_budget=10**6, partners_per_record=room
        )
        self.compared = 0

    @staticmethod
    def _drawn(side: list[tuple[int, int]], which: int, width: int, values: int) -> npt.NDArray[np.uint64]:
        rows = [np.random.default_rng([which, width, *record]).integers(0, values, width) for record in side]
        return np.array(rows, np.uint64).reshape(len(side), width)

    def compare(self, index_a: npt.NDArray[np.intp], index_b: npt.NDArray[np.intp]) -> PairPatterns:
        self.compared += len(index_a)
        rows = (3 * self.evidence[0][index_a] + self.evidence[1][index_b]).astype(np.uint8)
        states, of_pair = np.unique(rows.reshape(-1, FIELDS), axis=0, return_inverse=True)
        return PairPatterns(states, of_pair.reshape(-1).astype(np.uint32))

    def all_pairs(self) -> ComparedPairs:
        """The slow twin: every pair made and compared."""
        found = pairs_of_range(self.forth, 0, len(self.sides[0]), threads=1)
        index_a = np.repeat(np.arange(len(self.sides[0]), dtype=np.intp), found.partners)
        patterns = self.compare(index_a, found.index_b.astype(np.intp))
        return ComparedPairs(found.partners, found.index_b, found.passes, patterns, self.forth.standing)

    def rows_in(self, before: Night, side: int) -> npt.NDArray[np.intp]:
        rows = {record: row for row, record in enumerate(before.sides[side])}
        return np.array([rows.get(record, -1) for record in self.sides[side]], np.intp)

    def carried(self, before: Night, pairs: ComparedPairs) -> CarriedPairs:
        rows = (self.rows_in(before, 0), self.rows_in(before, 1))
        return carry_over(pairs, rows, self.forth, self.back, self.compare)


def same_bytes(found: ComparedPairs, wanted: ComparedPairs) -> bool:
    arrays = [
        (pairs.partners, pairs.index_b, pairs.passes, pairs.patterns.states, pairs.patterns.of_pair, *pairs.standing)
        for pairs in (found, wanted)
    ]  # fmt: skip
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(*arrays, strict=True)
    )


SIDE = st.dictionaries(st.integers(0, 30), st.integers(1, 3), max_size=25)
EDITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 3)), max_size=6)


@settings(max_examples=200, deadline=None)
@given(
    SIDE, SIDE, st.lists(EDITS, min_size=1, max_size=4), st.none() | st.integers(1, 30), st.integers(1, 40)
)
def test_any_history_of_nights_ends_in_the_bytes_of_comparing_everything(
    side_a: Side, side_b: Side, nights: list[list[tuple[int, int, int]]], room: int | None, most: int
) -> None:
    sides = (dict(side_a), dict(side_b))
    before = Night(sides, room, most)
    pairs = before.all_pairs()
    for edits in nights:
        for side, person, version in edits:
            sides[side].pop(person, None)
            if version:
                sides[side][person] = version
        now = Night(sides, room, most)
        carried = now.carried(before, pairs)
        assert carried.compared == now.compared
        assert same_bytes(carried.pairs, now.all_pairs())
        before, pairs = now, carried.pairs


def test_nothing_is_compared_where_nothing_changed() -> None:
    sides = (dict.fromkeys(range(25), 1), dict.fromkeys(range(20), 1))
    before, now = Night(sides, 10, 40), Night(sides, 10, 40)
    pairs = before.all_pairs()
    carried = now.carried(before, pairs)
    assert (carried.compared, carried.touched) == (0, (0, 0))
    assert len(pairs.index_b) > 20 and same_bytes(carried.pairs, pairs)


def test_one_changed_record_costs_its_own_pairs() -> None:
    sides = (dict.fromkeys(range(25), 1), dict.fromkeys(range(20), 1))
    before, now = Night(sides, None, 10**6), Night(({**sides[0], 7: 2}, sides[1]), None, 10**6)
    carried = now.carried(before, before.all_pairs())
    assert carried.touched == (1, 0)
    assert carried.compared == _partners(now, 7)


def _partners(night: Night, row: int) -> int:
    return int(pairs_of_range(night.forth, row, row + 1, threads=1).partners[0])


def test_both_ways_plan_the_same_pairs() -> None:
    night = Night((dict.fromkeys(range(25), 1), dict.fromkeys(range(22), 2)), 8, 60)
    forth, back = (_pairs(plan) for plan in (night.forth, night.back))
    assert forth == {(a, b): passes for (b, a), passes in back.items()}
    assert forth


def _pairs(plan: CandidatePlan) -> dict[tuple[int, int], int]:
    found = pairs_of_range(plan, 0, plan.size.shape[1], threads=1)
    index_a = np.repeat(np.arange(len(found.partners)), found.partners)
    return dict(
        zip(zip(index_a.tolist(), found.index_b.tolist(), strict=True), found.passes.tolist(), strict=True)
    )
