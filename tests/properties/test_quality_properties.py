"""The quality figures agree with a loop over thresholds in exact fractions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage_core.evaluation.linkage_quality import (
    average_precision,
    mark_true_pairs,
    precision_recall_curve,
    threshold_quality,
)
from tests.reference.quality_reference import (
    slow_average_precision,
    slow_best_f1,
    slow_curve,
    slow_recall_at,
)

SCORED = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5, 0.8, 0.9, 1.0]), st.booleans()), max_size=40)


@given(SCORED, st.integers(0, 5))
def test_curve_average_precision_and_best_thresholds(scored, never_scored):
    scores = np.array([s for s, _ in scored], np.float64)
    are_true = np.array([t for _, t in scored], np.bool_)
    true_pairs = int(are_true.sum()) + never_scored
    curve = precision_recall_curve(scores, are_true, true_pairs)
    expected = slow_curve(scores, are_true, true_pairs)
    assert curve.thresholds.tolist() == [t for t, _, _ in expected]
    assert curve.precision.tolist() == [float(p) for _, p, _ in expected]
    assert curve.recall.tolist() == [float(r) for _, _, r in expected]
    assert average_precision(scores, are_true, true_pairs) == pytest.approx(
        slow_average_precision(scores, are_true, true_pairs)
    )
    best = threshold_quality(scores, are_true, true_pairs)
    assert best.best_f1 == pytest.approx(slow_best_f1(scores, are_true, true_pairs))
    assert best.best_f1_at_precision_98 == pytest.approx(slow_best_f1(scores, are_true, true_pairs, "0.98"))
    assert best.best_f1_at_precision_99 == pytest.approx(slow_best_f1(scores, are_true, true_pairs, "0.99"))
    assert best.recall_at_precision_95 == slow_recall_at(scores, are_true, true_pairs, "0.95")
    assert best.recall_at_precision_99 == slow_recall_at(scores, are_true, true_pairs, "0.99")


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6))),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))),
)
def test_true_pairs_are_found_as_a_set_finds_them(pairs, truth):
    index_a, index_b = np.array(pairs, np.intp).reshape(-1, 2).T
    truth_a, truth_b = np.array(truth, np.intp).reshape(-1, 2).T
    assert mark_true_pairs(index_a, index_b, truth_a, truth_b).tolist() == [p in set(truth) for p in pairs]
