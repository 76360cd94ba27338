"""Score: compare the candidates' evidence, and judge it by a model, fitted tonight or trained. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds
from tasks.linkage_unit.block import chunk_limits, night_job
from tasks.linkage_unit.chunk_stages import model_of
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.run_chunks import run_chunks
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class ScoredPairs:
    """The model, and what it says of each candidate, in the pairs' order."""

    model: MatchModel
    odds: PairOdds


@stage("score pairs")
def score_pairs(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, unit: LinkageUnit
) -> ScoredPairs:
    """Odds and posterior of every candidate of :func:`block_records`, from an EM without labels or a trained model."""
    job = night_job(a, b, unit)
    run_chunks(job, [("patterns", job.chunks), ("model", 1)], chunk_limits(unit))
    model, odds = model_of(job)
    announce(f"matches expected: {model.expected_matches:.0f}, after {model.iterations} iterations")
    return ScoredPairs(model, odds)
