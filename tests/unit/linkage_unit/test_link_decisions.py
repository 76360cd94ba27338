"""Decisions, score bands and the histogram."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_decisions import (
    BAND_NAMES,
    Decision,
    decide,
    score_bands,
    score_histogram,
)


@pytest.mark.parametrize(
    ("score", "decision", "band"),
    [
        (0.0, Decision.NON_MATCH, "0.00-0.05"),
        (0.7199999, Decision.NON_MATCH, "0.70-0.75"),
        (0.72, Decision.POSSIBLE_MATCH, "0.70-0.75"),
        (0.75, Decision.POSSIBLE_MATCH, "0.75-0.80"),
        (0.7999999, Decision.POSSIBLE_MATCH, "0.75-0.80"),
        (0.80, Decision.MATCH, "0.80-0.85"),
        (2 * 144 / 360, Decision.MATCH, "0.80-0.85"),
        (0.15, Decision.NON_MATCH, "0.15-0.20"),
        (0.9999999, Decision.MATCH, "0.95-1.00"),
        (1.0, Decision.MATCH, "0.95-1.00"),
    ],
)
def test_a_score_its_decision_and_its_band(score, decision, band):
    scores = np.array([score])
    assert decide(scores, scores >= 0.80, possible=0.72).tolist() == [decision]
    assert BAND_NAMES[score_bands(scores)[0]] == band


def test_twenty_bands_and_none_finer():
    assert len(BAND_NAMES) == 20
    assert (BAND_NAMES[0], BAND_NAMES[3], BAND_NAMES[-1]) == ("0.00-0.05", "0.15-0.20", "0.95-1.00")


def test_the_histogram_counts_every_score_once():
    histogram = score_histogram(np.array([0.0, 0.04, 0.05, 0.8, 1.0]))
    assert len(histogram.bin_edges) == len(histogram.counts) + 1
    assert [k for k, count in enumerate(histogram.counts) for _ in range(count)] == [0, 0, 1, 16, 19]
    assert sum(score_histogram(np.empty(0)).counts) == 0


def test_a_match_is_one_whatever_its_probability():
    found = decide(np.array([0.9, 0.6]), np.array([False, True]), possible=0.8)
    assert found.tolist() == [Decision.POSSIBLE_MATCH, Decision.MATCH]


@pytest.mark.parametrize("wrong", [-0.1, 1.0001, float("nan")])
def test_a_score_that_is_none_is_refused_without_being_repeated(wrong):
    with pytest.raises(NightlinkError, match="1 of 2 scores outside") as refusal:
        score_bands(np.array([0.5, wrong]))
    assert str(wrong) not in str(refusal.value)
