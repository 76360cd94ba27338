"""Neighbours, margins and passes of a pair, held to a slow count pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linkage_core.linkage_unit.pair_context import NEAR_ODDS, pair_context


def slow_context(k: int, odds: list[float], index: list[int]) -> tuple[int, float]:
    """A record's other near candidates beside pair ``k``, and the pair's margin over the best of them."""
    others = [odds[i] for i in range(len(odds)) if i != k and index[i] == index[k] and odds[i] >= NEAR_ODDS]
    return len(others), math.log(odds[k]) - math.log(max(others, default=NEAR_ODDS))


@pytest.mark.parametrize("pairs", [1, 2, 400])
def test_context_is_that_of_its_slow_twin(pairs: int) -> None:
    generator = np.random.default_rng(pairs)
    drawn = generator.choice(60 * 50, pairs, replace=False)
    index_a, index_b = drawn // 50, drawn % 50
    odds = np.exp(generator.normal(-2, 5, pairs).round(0))  # rounded: ties happen
    passes = generator.integers(1, 1 << 20, pairs).astype(np.uint32)
    chosen = generator.choice(pairs, min(pairs, 90), replace=False)
    found = pair_context(odds, passes, index_a, index_b, chosen)
    for row, k in enumerate(chosen.tolist()):
        for side, index in enumerate((index_a, index_b)):
            neighbours, margin = slow_context(k, odds.tolist(), index.tolist())
            assert found.neighbours[row, side] == neighbours
            assert found.margins[row, side] == pytest.approx(margin)
        assert found.passes[row] == bin(passes[k]).count("1")


def test_no_pair_is_asked_for() -> None:
    nothing = np.zeros(0, np.intp)
    found = pair_context(np.zeros(0), np.zeros(0, np.uint32), nothing, nothing, nothing)
    assert found.neighbours.shape == found.margins.shape == (0, 2)
