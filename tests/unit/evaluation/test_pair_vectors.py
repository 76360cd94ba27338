"""The comparison's vectors and its intervals by person."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.evaluation.linkage_quality import (
    average_precision,
    precision_recall_curve,
    recall_at_precision,
)
from linkage_core.evaluation.pair_vectors import (
    collision_columns,
    filter_columns,
    name_frequencies,
    ternary_columns,
    token_columns,
)
from linkage_core.evaluation.person_bootstrap import pair_quality


def test_agreement_difference_and_null_are_three_states():
    tokens = np.array([[7, 0], [7, 5], [8, 5]], np.uint64)
    pairs = np.array([0, 1, 1], np.intp), np.array([1, 1, 2], np.intp)
    assert token_columns(tokens, tokens, *pairs).tolist() == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 0, 0]]
    codes = np.array([[3], [-1]])
    assert ternary_columns(codes, codes, -1).tolist() == [[1, 0], [0, 1]]


def test_an_empty_filter_is_null():
    filters = np.array([[3, 0], [0, 0]], np.uint64)
    index = np.array([0, 0], np.intp), np.array([0, 1], np.intp)
    assert filter_columns(filters, filters, *index).tolist() == [[1, 0], [0, 1]]


def test_namesakes_raise_the_collision_score_and_missing_names_have_none():
    codes = np.array([[1, 1, 9], [1, 1, 9], [2, 1, 9], [1, -1, 9]])
    share = name_frequencies(codes)
    assert share[:3].tolist() == [0.5, 0.5, 0.25] and np.isnan(share[3])
    at = np.array([0, 2, 0, 3], np.intp), np.array([1, 2, 3, 3], np.intp)
    score = collision_columns(share, share, *at)
    np.testing.assert_allclose(score[:, 0], np.log([0.5, 0.25, 0.5, 1.0]), rtol=1e-6)
    assert score[:, 1].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_definitions_and_lie_in_their_intervals(seed):
    generator = np.random.default_rng(seed)
    is_match = generator.random(2000) < 0.2
    scores = np.round(generator.normal(is_match * 2.5, 1.0), 2)  # with ties
    person = generator.integers(0, 300, 2000)
    quality = pair_quality(scores, is_match, person, draws=50, seed=1)
    total = int(is_match.sum())
    curve = precision_recall_curve(scores, is_match, total)
    expected = (
        average_precision(scores, is_match, total),
        *(recall_at_precision(curve, p) for p in (0.95, 0.99)),
    )
    found = quality.average_precision, quality.recall_at_precision_95, quality.recall_at_precision_99
    np.testing.assert_allclose([one.value for one in found], expected)
    assert all(one.low <= one.value <= one.high for one in found[:2])
    assert pair_quality(scores, is_match, person, draws=50, seed=1) == quality


def test_one_person_with_all_the_pairs_has_no_interval():
    scores, is_match = np.array([3.0, 2.0, 1.0]), np.array([True, False, True])
    one = pair_quality(scores, is_match, np.zeros(3, np.intp), draws=20, seed=0).average_precision
    assert one.low == one.value == one.high
