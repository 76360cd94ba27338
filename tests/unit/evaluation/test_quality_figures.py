"""Quality figures by hand, on cases where the definitions differ from habit."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.blocking_quality import BlockingQuality, blocking_quality, missed_true_pairs
from linkage_core.evaluation.linkage_quality import (
    OutputQuality,
    ThresholdQuality,
    average_precision,
    output_quality,
    threshold_quality,
)

NOBODY = np.empty(0, np.intp)


def test_recall_counts_the_pairs_that_blocking_lost():
    assert output_quality(np.array([True, True, False]), 4) == OutputQuality(
        links=3, true_links=2, true_pairs=4, precision=2 / 3, recall=0.5, f1=4 / 7
    )


@pytest.mark.parametrize("true_pairs", [0, 5])
def test_no_links_give_zeros(true_pairs):
    assert output_quality(np.empty(0, np.bool_), true_pairs) == OutputQuality(0, 0, true_pairs, 0.0, 0.0, 0.0)


def test_equal_scores_enter_together():
    scores, are_true = np.array([0.9, 0.9]), np.array([True, False])
    assert average_precision(scores, are_true, 1) == 0.5
    assert average_precision(scores, are_true[::-1], 1) == 0.5
    assert threshold_quality(scores, are_true, 1) == ThresholdQuality(2 / 3, 0.9, 0.0, 0.0, 0.0, 0.0)


def test_a_pair_never_scored_contributes_nothing():
    assert average_precision(np.array([0.9]), np.array([True]), 4) == 0.25


def test_recall_at_a_precision_may_lie_beyond_a_dip():
    are_true = np.array([False] + [True] * 99)
    scores = np.linspace(1, 0.5, 100)
    quality = threshold_quality(scores, are_true, 99)
    assert quality.recall_at_precision_99 == 1.0
    assert quality.best_f1_threshold == 0.5


def test_nothing_scored():
    assert threshold_quality(np.empty(0), np.empty(0, np.bool_), 3) == ThresholdQuality(
        0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    )
    assert average_precision(np.empty(0), np.empty(0, np.bool_), 3) == 0.0


def test_more_true_links_than_truth_is_refused():
    with pytest.raises(NightlinkError, match="2 true pairs among the results, but 1 in the truth"):
        output_quality(np.array([True, True]), 1)


def test_blocking_quality():
    index_a, index_b = np.array([0, 0, 1]), np.array([0, 1, 1])
    truth_a, truth_b = np.array([0, 1, 2]), np.array([0, 1, 2])
    got = blocking_quality(index_a, index_b, truth_a, truth_b, records_a=3, records_b=4)
    assert got == BlockingQuality(2 / 3, 3, 2, 3, 0.75)
    assert missed_true_pairs(index_a, index_b, truth_a, truth_b).tolist() == [2]


def test_blocking_quality_of_nobody():
    got = blocking_quality(NOBODY, NOBODY, NOBODY, NOBODY, records_a=0, records_b=4)
    assert got == BlockingQuality(0.0, 0, 0, 0, 0.0)
