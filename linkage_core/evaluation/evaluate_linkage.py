"""Evaluate the whole linkage on two sides with a known truth: normalise, encode, block, compare, model, resolve.

It runs the real path with a key of its own. The truth is looked at after the last decision, to count. Neither
the set's name nor its size nor the order of fields or rows steers anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.encode_evidence import encode_evidence
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.blocking_quality import blocking_quality
from linkage_core.evaluation.linkage_quality import (
    Indices,
    average_precision,
    mark_true_pairs,
    output_quality,
    threshold_quality,
)
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.link_probabilities import (
    ChosenThreshold,
    LinkProbabilities,
    choose_threshold,
    link_probabilities,
    links_above,
)
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds, fit_match_model
from linkage_core.linkage_unit.one_to_one import pair_tie_keys
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, mean_fill
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, restrict_protocol

EncodedSide = tuple[EncodedEvidence, EvidenceAggregates]


@dataclass(frozen=True)
class LinkageFigures:
    """The figures of one run; precision and recall as :mod:`linkage_core.evaluation.linkage_quality` defines.

    ``expected_precision`` and ``expected_matches`` are what the model said before the truth was looked at.
    """

    records_a: int
    records_b: int
    true_pairs: int
    ap: float
    best_f1: float
    r_at_p95: float
    r_at_p99: float
    candidate_recall: float
    pairs_scored: int
    reduction_ratio: float
    output_precision: float
    output_recall: float
    output_f1: float
    expected_precision: float
    expected_matches: float
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class LinkageRun:
    """Everything that the linkage unit came to, before any truth."""

    candidates: CandidatePairs
    model: MatchModel
    odds: PairOdds
    links: LinkProbabilities
    threshold: ChosenThreshold

    @property
    def output(self) -> npt.NDArray[np.bool_]:
        """Which of ``links`` are output."""
        return links_above(self.links, self.threshold)


def evaluate(
    side_a: pa.RecordBatch,
    side_b: pa.RecordBatch,
    truth: tuple[Indices, Indices],
    key: bytes,
    protocol: LinkageProtocol,
    *,
    clock: Callable[[], float],
    source_format: SourceFormat | None = None,
) -> LinkageFigures:
    """Link two sides and compare with the truth.

    Parameters
    ----------
    side_a, side_b : RecordBatch
        ``source_id`` and any of the protocol's fields, as text.
    truth : two ndarrays of intp, shape (true pairs,)
        Row numbers of the true pairs.
    key : bytes
        A linkage key of 32 bytes; take a fresh random one a run.
    protocol : LinkageProtocol
        What the night runs by. Fields without a value on one side are taken out of it, with all that is
        defined over them.
    clock : callable
        Seconds from any start, such as ``time.perf_counter``; it is read between stages and decides nothing.
    source_format : SourceFormat, optional
        How both sides write their values.
    """
    stages = StageClock(clock)
    written = source_format or SourceFormat()
    records = [normalise_batch(side, protocol, written).records for side in (side_a, side_b)]
    stages.stage("normalise")
    agreed = restrict_protocol(protocol, common_fields(records[0], records[1], protocol))
    keys = derive_custodian_keys(key, agreed)
    encoded_a, encoded_b = (encode_evidence(side, agreed, keys, seed=s) for s, side in enumerate(records))
    stages.stage("encode")
    run = link_evidence(encoded_a, encoded_b, agreed, key, stages)
    return _figures(run, truth, (len(encoded_a[0]), len(encoded_b[0])), stages.seconds)


def common_fields(
    records_a: pa.RecordBatch, records_b: pa.RecordBatch, protocol: LinkageProtocol
) -> tuple[str, ...]:
    """Fields of the protocol that have a value on both sides, in the protocol's order."""
    return tuple(
        name
        for name in protocol.field_names
        if all(records.column(name).null_count < records.num_rows for records in (records_a, records_b))
    )


def link_evidence(
    side_a: EncodedSide,
    side_b: EncodedSide,
    protocol: LinkageProtocol,
    tie_seed: bytes,
    clock: StageClock,
) -> LinkageRun:
    """The linkage unit's part, from encodings alone."""
    (evidence_a, aggregates_a), (evidence_b, aggregates_b) = side_a, side_b
    spec = evidence_of(protocol)
    candidates = propose_pairs(
        np.ascontiguousarray(evidence_a.tokens[:, : spec.passes]),
        np.ascontiguousarray(evidence_b.tokens[:, : spec.passes]),
        pass_names=protocol.pass_names,
        partners_per_record=protocol.blocking.partners_per_record,
        max_block_pairs=protocol.blocking.max_block_pairs,
        pair_budget=protocol.blocking.pair_budget,
    )
    clock.stage("block")
    a, b = candidates.index_a, candidates.index_b
    fill = mean_fill(aggregates_a, aggregates_b)
    vectors = compare_pairs(evidence_a, evidence_b, a, b, spec, fill)
    clock.stage("compare")
    model, odds = fit_match_model(vectors, evidence_a, evidence_b, a, b, spec, (aggregates_a, aggregates_b))
    clock.stage("model")
    ties = _tie_keys(a, b, len(evidence_a), len(evidence_b), tie_seed)
    links = link_probabilities(odds, a, b, ties, len(evidence_a), len(evidence_b))
    threshold = choose_threshold(links, protocol.decision.target_precision)
    clock.stage("resolve")
    return LinkageRun(candidates, model, odds, links, threshold)


class StageClock:
    """Seconds of each stage, by the clock that was handed in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._last = clock()

    def stage(self, name: str) -> None:
        now = self._clock()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def _tie_keys(
    index_a: Indices, index_b: Indices, records_a: int, records_b: int, seed: bytes
) -> npt.NDArray[np.uint64]:
    """Tie keys over random pseudonyms of this run."""
    generator = np.random.default_rng(list(hashlib.sha256(b"pseudonyms" + seed).digest()))
    pseudonyms = [
        np.frombuffer(generator.bytes(16 * records), PSEUDONYM_DTYPE) for records in (records_a, records_b)
    ]
    return pair_tie_keys(pseudonyms[0][index_a], pseudonyms[1][index_b], seed)


def _figures(
    run: LinkageRun, truth: tuple[Indices, Indices], records: tuple[int, int], seconds: Mapping[str, float]
) -> LinkageFigures:
    a, b = run.candidates.index_a, run.candidates.index_b
    true_pairs = len(truth[0])
    is_true = mark_true_pairs(a, b, *truth)
    blocking = blocking_quality(a, b, *truth, records_a=records[0], records_b=records[1])
    best = threshold_quality(run.odds.probability[run.links.pairs], is_true[run.links.pairs], true_pairs)
    output = output_quality(is_true[run.links.pairs[run.output]], true_pairs)
    return LinkageFigures(
        records_a=records[0],
        records_b=records[1],
        true_pairs=true_pairs,
        ap=average_precision(run.odds.probability, is_true, true_pairs),
        best_f1=best.best_f1,
        r_at_p95=best.recall_at_precision_95,
        r_at_p99=best.recall_at_precision_99,
        candidate_recall=blocking.candidate_recall,
        pairs_scored=blocking.pairs_scored,
        reduction_ratio=blocking.reduction_ratio,
        output_precision=output.precision,
        output_recall=output.recall,
        output_f1=output.f1,
        expected_precision=run.threshold.expected_precision,
        expected_matches=run.model.expected_matches,
        seconds=dict(seconds),
    )
