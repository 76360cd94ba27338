"""A night's pairs judged by a trained model, which corrects the one fitted on the night. Zone: linkage_unit.

How many matches a night has, how often values are missing and how common names are differ from night to night: all
that is the fitted model's, whose log-odds are a feature. So a model trained at one overlap holds at another, where
one that saw levels alone did not (decision 0024). Everything after it (competition, resolution, calibration by
rivals, the threshold) is as without it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linkage_core.linkage_unit.candidate_coverage import FieldPresence
from linkage_core.linkage_unit.competition import pass_messages, take_posteriors
from linkage_core.linkage_unit.match_model import MAX_LOG_ODDS, Indices, MatchModel, PairOdds, fit_patterns
from linkage_core.linkage_unit.pair_patterns import PairPatterns
from linkage_core.linkage_unit.pattern_features import pattern_features
from linkage_core.linkage_unit.trained_model import TrainedModel, log_odds
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.evidence_spec import EvidenceSpec


def judge_patterns(
    trained: TrainedModel,
    patterns: PairPatterns,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
    presence: tuple[FieldPresence, FieldPresence],
) -> tuple[MatchModel, PairOdds]:
    """Odds and posteriors of all pairs, given their patterns.

    Parameters
    ----------
    trained : TrainedModel
        Of this protocol's features (:func:`~linkage_core.linkage_unit.trained_model.check_model`).
    patterns, index_a, index_b, records, spec, aggregates, presence
        As :func:`~linkage_core.linkage_unit.match_model.fit_patterns` takes them.

    Returns
    -------
    MatchModel
        The fitted one, but for ``expected_matches``, which is the trained model's.
    PairOdds
        Odds of the trained model, and posteriors after the competition.
    """
    model, fitted = fit_patterns(patterns, index_a, index_b, records, spec, aggregates, presence)
    logs = log_odds(trained, pattern_features(patterns, fitted.odds, spec, aggregates))
    odds, posterior = np.exp(np.clip(logs, -MAX_LOG_ODDS, MAX_LOG_ODDS)), np.ones(len(patterns))
    graph = (odds, patterns.of_pair, index_a, index_b, records, posterior)
    pass_messages(*graph)
    take_posteriors(*graph)
    expected = min(float(posterior.sum()) / model.candidate_share, max(min(records), 1))
    return replace(model, expected_matches=expected), PairOdds(odds[patterns.of_pair], posterior)
