"""Optimal one-to-one: what greedy loses, components too large, and scores that are none."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.optimal_one_to_one import optimal_one_to_one


def solve(pairs, **limits):
    index_a, index_b = np.array([p[:2] for p in pairs], np.intp).reshape(-1, 2).T
    scores = np.array([p[2] for p in pairs], np.float64)
    ties = np.arange(len(pairs), dtype=np.uint64)
    return optimal_one_to_one(index_a, index_b, scores, ties, possible=limits.pop("possible", 0.1), **limits)


TWO_SPOILT_BY_ONE = [(0, 0, 0.9), (0, 1, 0.8), (1, 0, 0.8)]


def test_two_good_pairs_beat_the_best_one():
    found = solve([*TWO_SPOILT_BY_ONE, (5, 5, 0.5)])
    assert found.selected.tolist() == [1, 2, 3]
    assert (found.components, found.improved, found.left_to_greedy) == (2, 1, 0)


def test_a_component_that_is_too_large_is_left_to_greedy_and_reported():
    found = solve(TWO_SPOILT_BY_ONE, most_cells=3)
    assert found.selected.tolist() == [0]
    assert (found.left_to_greedy, found.pairs_left_to_greedy, found.improved) == (1, 3, 0)


def test_where_greedy_is_as_good_its_tie_rule_decides():
    found = solve([(0, 0, 0.5), (0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.5)])
    assert found.selected.tolist() == [0, 3]
    assert found.improved == 0


def test_pairs_below_the_least_score_take_no_part():
    assert solve([(0, 0, 0.9), (0, 1, 0.05), (1, 0, 0.05)]).selected.tolist() == [0]
    empty = solve([(0, 0, 0.05)])
    assert (len(empty.selected), empty.components) == (0, 0)
    assert len(solve([]).selected) == 0


@pytest.mark.parametrize("wrong", [-0.1, np.inf, np.nan])
def test_scores_that_cannot_be_added_up_are_refused(wrong):
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        solve([(0, 0, wrong)])
