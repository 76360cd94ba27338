"""Score: compare the candidates' evidence, and fit the match model on this night's own pairs. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds, fit_match_model
from linkage_core.protocol.encoded_evidence import mean_fill
from linkage_core.protocol.evidence_spec import evidence_of
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class ScoredPairs:
    """The fitted model, and what it says of each candidate, in the pairs' order."""

    model: MatchModel
    odds: PairOdds


@stage("score pairs")
def score_pairs(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, unit: LinkageUnit
) -> ScoredPairs:
    """Odds and posterior of every candidate, from an EM without labels."""
    spec = evidence_of(unit.protocol)
    evidence_a, evidence_b = a.records.evidence, b.records.evidence
    aggregates = (a.manifest.aggregates, b.manifest.aggregates)
    fill = mean_fill(*aggregates)
    vectors = compare_pairs(evidence_a, evidence_b, pairs.index_a, pairs.index_b, spec, fill)
    model, odds = fit_match_model(
        vectors, evidence_a, evidence_b, pairs.index_a, pairs.index_b, spec, aggregates
    )
    announce(f"matches expected: {model.expected_matches:.0f}, after {model.iterations} iterations")
    return ScoredPairs(model, odds)
