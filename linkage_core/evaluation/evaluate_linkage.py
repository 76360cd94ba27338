"""Evaluate the whole linkage on two sides with a known truth: normalise, encode, block, score, resolve.

It runs the real path with keys of its own. The truth is looked at after the last decision, to count. Neither
the set's name nor its size nor the order of fields or rows steers anything: records are put in the order of
their pseudonyms before they are compared, as a delivery's are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.encode_evidence import published_aggregates
from linkage_core.custodian.encode_records import RecordEncoder, encode_bucket, survey_buckets
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.sealed_people import OwnRecords, SealedPeople, household_share, seal_people
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.errors import NightlinkError
from linkage_core.evaluation.blocking_quality import blocking_quality
from linkage_core.evaluation.linkage_quality import (
    Indices,
    average_precision,
    mark_true_pairs,
    output_quality,
    threshold_quality,
)
from linkage_core.linkage_unit.candidate_coverage import field_presence
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.filter_candidates import candidates_by_filters
from linkage_core.linkage_unit.link_decisions import Decision, decide
from linkage_core.linkage_unit.link_probabilities import (
    ChosenThreshold,
    LinkProbabilities,
    choose_threshold,
    link_probabilities,
    links_above,
)
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds, fit_match_model, patterns_of
from linkage_core.linkage_unit.one_to_one import pair_tie_keys
from linkage_core.linkage_unit.quality.estimate import Estimate
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks
from linkage_core.linkage_unit.quality.night_quality import precision_estimates
from linkage_core.linkage_unit.quality.sealed_people import SealedCounts
from linkage_core.linkage_unit.trained_model import TrainedModel, check_model
from linkage_core.linkage_unit.trained_odds import judge_patterns
from linkage_core.protocol.encoded_evidence import EvidenceAggregates, mean_fill
from linkage_core.protocol.encoded_records import EncodedRecords, blocking_values, pseudonym_order
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, evidence_of
from linkage_core.protocol.linkage_protocol import (
    NAMES,
    REQUIRED_FIELDS,
    BlockingSpec,
    CandidateMode,
    LinkageProtocol,
    restrict_protocol,
)

MODES: tuple[CandidateMode, ...] = get_args(CandidateMode)
NOBODY, IS_NULL = -1, -2
STAGES = ("normalise", "encode", "block", "score", "resolve")


@dataclass(frozen=True)
class LinkageFigures:
    """The figures of one run; precision and recall as :mod:`linkage_core.evaluation.linkage_quality` defines.

    ``best_f1_at_p98`` and ``best_f1_at_p99`` are over the thresholds of precision .98 and .99 and more: F1 alone would
    give precision away, and what a target of .99 costs is no error of the threshold.
    ``expected_precision`` and ``expected_matches`` are what the model said before the truth was looked at;
    ``reached`` is False when it found no threshold that holds the target, and so put out no link.
    """

    records_a: int
    records_b: int
    true_pairs: int
    ap: float
    best_f1: float
    best_f1_at_p98: float
    best_f1_at_p99: float
    r_at_p95: float
    r_at_p99: float
    candidate_recall: float
    pairs_scored: int
    reduction_ratio: float
    output_links: int
    output_precision: float
    output_recall: float
    output_f1: float
    expected_precision: float
    expected_matches: float
    reached: bool
    seconds: Mapping[str, float]
    peak_mib: Mapping[str, float]


@dataclass(frozen=True)
class SealedNumbers:
    """How many people who do not exist each side adds."""

    null_people: int
    canary_pairs: int


@dataclass(frozen=True, repr=False)
class EncodedSides:
    """What both custodians encoded under one key, and which row each record was.

    Attributes
    ----------
    protocol : LinkageProtocol
        As :func:`agreed_protocol` restricts it.
    records : two EncodedRecords
    aggregates : two EvidenceAggregates
    rows : two ndarrays of intp
        People who do not exist follow those that were handed in.
    sealed : two SealedPeople, optional
    """

    protocol: LinkageProtocol
    records: tuple[EncodedRecords, EncodedRecords]
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates]
    rows: tuple[Indices, Indices]
    sealed: tuple[SealedPeople, SealedPeople] | None = None


@dataclass(frozen=True)
class ModeFigures:
    """What one mode proposes as candidates, beside the truth."""

    candidate_recall: float
    pairs_scored: int
    reduction_ratio: float
    seconds: float


@dataclass(frozen=True)
class LinkageRun:
    """Everything that the linkage unit came to, before any truth; rows are those of the sides handed in.

    Attributes
    ----------
    rows_a, rows_b : ndarray of intp, shape (pairs,)
        Of the candidates, in their order.
    records_a, records_b : int
    sides : EncodedSides
        What the linkage unit was given; ``candidates`` are rows of these.
    tie_keys : ndarray of uint64, shape (pairs,)
    """

    candidates: CandidatePairs = field(repr=False)
    rows_a: Indices = field(repr=False)
    rows_b: Indices = field(repr=False)
    records_a: int
    records_b: int
    model: MatchModel
    odds: PairOdds
    links: LinkProbabilities
    threshold: ChosenThreshold
    sides: EncodedSides = field(repr=False)
    tie_keys: npt.NDArray[np.uint64] = field(repr=False)

    def precision_estimates(self) -> dict[str, Estimate]:
        """What the night would say of its own precision, by estimator."""
        judged = JudgedLinks(
            self.candidates.index_a,
            self.candidates.index_b,
            self.candidates.passes,
            self.tie_keys,
            self.odds,
            self.links,
            self.threshold,
            (self.records_a, self.records_b),
            self.sides.protocol.decision.resolution,
        )
        evidence = (self.sides.records[0].evidence, self.sides.records[1].evidence)
        spec = evidence_of(self.sides.protocol)
        return precision_estimates(judged, self.model, evidence, spec, self.sides.aggregates)

    def sealed_counts(self) -> SealedCounts:
        """What became of the people who do not exist, as a publication counts it."""
        if self.sides.sealed is None:
            return SealedCounts(
                (self.records_a, self.records_b), int(self.output.sum()), (0, 0), (0, 0), 0, 0
            )
        canaries = tuple(canary_numbers(side) for side in self.sides.sealed)
        real = (self.records_a - len(canaries[0]), self.records_b - len(canaries[1]))
        matched = self.links.pairs[self.output]
        beyond = (self.rows_a[matched] - real[0], self.rows_b[matched] - real[1])
        number = [
            np.where(rows >= 0, np.append(c, NOBODY)[np.maximum(rows, -1)], NOBODY)
            for rows, c in zip(beyond, canaries, strict=True)
        ]
        nulls_matched = tuple(
            int(((n == IS_NULL) & (other < 0)).sum()) for n, other in zip(number, beyond[::-1], strict=True)
        )
        return SealedCounts(
            real,
            int(((beyond[0] < 0) & (beyond[1] < 0)).sum()),
            (int((canaries[0] == IS_NULL).sum()), int((canaries[1] == IS_NULL).sum())),
            (nulls_matched[0], nulls_matched[1]),
            int(np.isin(canaries[0][canaries[0] >= 0], canaries[1]).sum()),
            int(((number[0] >= 0) & (number[0] == number[1])).sum()),
        )

    @property
    def output(self) -> npt.NDArray[np.bool_]:
        """Which of ``links`` are output."""
        return links_above(self.links, self.threshold)

    def decisions(self, possible: float) -> npt.NDArray[np.uint8]:
        """A :class:`Decision` code for each candidate; pairs that lost the one-to-one are non-matches."""
        codes = np.full(len(self.rows_a), Decision.NON_MATCH, np.uint8)
        codes[self.links.pairs] = decide(self.links.probability, self.output, possible=possible)
        return codes


class StageMeter:
    """Seconds and peak memory of each stage, by the instruments handed in; they decide nothing.

    Parameters
    ----------
    clock : callable
        Seconds from any start, such as ``time.perf_counter``.
    take_peak_mib : callable, optional
        The largest resident size since its last call.
    """

    def __init__(self, clock: Callable[[], float], take_peak_mib: Callable[[], float] = lambda: 0.0) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_mib: dict[str, float] = {}
        self._clock, self._take_peak_mib = clock, take_peak_mib
        take_peak_mib()
        self._last = clock()

    def stage(self, name: str) -> None:
        """End the stage ``name``; the next one begins."""
        now = self._clock()
        self.seconds[name] = round(now - self._last, 3)
        self.peak_mib[name] = round(self._take_peak_mib(), 1)
        self._last = self._clock()


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
    """Link two sides and compare with the truth: :func:`link_sides`, then :func:`linkage_figures`.

    Parameters
    ----------
    truth : two ndarrays of intp, shape (true pairs,)
        Row numbers of the true pairs, each pair once.
    clock : callable
        As :class:`StageMeter` takes it.
    """
    meter = StageMeter(clock)
    run = link_sides(side_a, side_b, key, protocol, meter, source_format=source_format)
    return linkage_figures(run, truth, meter)


def link_sides(
    side_a: pa.RecordBatch,
    side_b: pa.RecordBatch,
    key: bytes,
    protocol: LinkageProtocol,
    meter: StageMeter,
    *,
    source_format: SourceFormat | None = None,
    trained: TrainedModel | None = None,
    sealed: SealedNumbers | None = None,
) -> LinkageRun:
    """Both custodians' part and then the linkage unit's, without any truth: :func:`encode_sides`, then
    :func:`link_encoded`. A trained model knows the protocol's fields, so the protocol is kept whole for it.
    """
    whole = trained is not None
    sides = encode_sides(
        side_a, side_b, key, protocol, meter, source_format=source_format, whole=whole, sealed=sealed
    )
    return link_encoded(sides, meter, trained)


def encode_sides(
    side_a: pa.RecordBatch,
    side_b: pa.RecordBatch,
    key: bytes,
    protocol: LinkageProtocol,
    meter: StageMeter,
    *,
    source_format: SourceFormat | None = None,
    whole: bool = False,
    sealed: SealedNumbers | None = None,
) -> EncodedSides:
    """Both custodians' part.

    Parameters
    ----------
    side_a, side_b : RecordBatch
        ``source_id``, unique on its side, and any of the protocol's fields, as text.
    key : bytes
        A linkage key of 32 bytes; take a fresh random one a run. The sites' own keys are derived from it.
    protocol : LinkageProtocol
        What the night runs by, as :func:`agreed_protocol` restricts it.
    source_format : SourceFormat, optional
        How both sides write their values.
    whole : bool
        Keep the protocol as it is: fields that the sides lack are null, as in a night.
    sealed : SealedNumbers, optional
        People who do not exist, added behind each side's own.

    Raises
    ------
    NightlinkError
        E-INPUT when no blocking pass can be computed on both sides; otherwise as the stages do.
    """
    written = source_format or SourceFormat()
    records = [normalise_batch(side, protocol, written).records for side in (side_a, side_b)]
    meter.stage("normalise")
    agreed = protocol if whole else agreed_protocol(protocol, records[0], records[1])
    added = (
        None
        if sealed is None
        else tuple(_seal(side, agreed, key, s, sealed) for s, side in enumerate(records))
    )
    (encoded_a, aggregates_a, rows_a), (encoded_b, aggregates_b, rows_b) = (
        _encode(side, agreed, key, s, added and added[s].records) for s, side in enumerate(records)
    )
    meter.stage("encode")
    return EncodedSides(
        agreed,
        (encoded_a, encoded_b),
        (aggregates_a, aggregates_b),
        (rows_a, rows_b),
        None if added is None else (added[0], added[1]),
    )


def link_encoded(sides: EncodedSides, meter: StageMeter, trained: TrainedModel | None = None) -> LinkageRun:
    """The linkage unit's part, without any truth; E-MATCH-MODEL when the trained model is not of the protocol."""
    agreed, (encoded_a, encoded_b), (rows_a, rows_b) = sides.protocol, sides.records, sides.rows
    candidates, model, odds = _judge_pairs(sides, meter, trained)
    a, b = candidates.index_a, candidates.index_b
    ties = pair_tie_keys(
        encoded_a.record_pseudonyms[a], encoded_b.record_pseudonyms[b], seed=agreed.project.encode()
    )
    links = link_probabilities(odds, a, b, ties, len(encoded_a), len(encoded_b), agreed.decision.resolution)
    threshold = choose_threshold(links, agreed.decision.target_precision)
    meter.stage("resolve")
    return LinkageRun(
        candidates,
        rows_a[a],
        rows_b[b],
        len(encoded_a),
        len(encoded_b),
        model,
        odds,
        links,
        threshold,
        sides,
        ties,
    )


def mode_figures(
    sides: EncodedSides, truth: tuple[Indices, Indices], clock: Callable[[], float]
) -> dict[CandidateMode, ModeFigures]:
    """Candidates of each mode on the same encodings, under the limits that the protocol sets.

    Raises
    ------
    NightlinkError
        E-PAIR-BUDGET when a mode would compare more pairs than the protocol allows.
    """
    return {mode: one_mode_figures(sides, truth, clock, candidates=mode) for mode in MODES}


def one_mode_figures(
    sides: EncodedSides, truth: tuple[Indices, Indices], clock: Callable[[], float], **blocking: object
) -> ModeFigures:
    """Candidates under the protocol with some entries of ``blocking`` changed."""
    changed = BlockingSpec.model_validate({**sides.protocol.blocking.model_dump(), **blocking})
    began = clock()
    found = propose_candidates(*sides.records, sides.protocol.model_copy(update={"blocking": changed}))
    seconds = round(clock() - began, 3)
    quality = blocking_quality(
        sides.rows[0][found.index_a],
        sides.rows[1][found.index_b],
        *truth,
        records_a=len(sides.records[0]),
        records_b=len(sides.records[1]),
    )
    return ModeFigures(quality.candidate_recall, quality.pairs_scored, quality.reduction_ratio, seconds)


def agreed_protocol(
    protocol: LinkageProtocol, records_a: pa.RecordBatch, records_b: pa.RecordBatch
) -> LinkageProtocol:
    """The protocol over the fields that have a value on both sides.

    Fields that every protocol has stay, though one side may have no value in them: their tokens and filters
    are null then, and say nothing.

    Raises
    ------
    NightlinkError
        E-INPUT when no blocking pass is over fields that both sides have.
    """
    common = common_fields(records_a, records_b, protocol)
    present = {*common, NAMES} if {GIVEN, FAMILY} <= set(common) else set(common)
    if not any(present.issuperset(part.field for part in p.parts) for p in protocol.blocking.passes):
        raise NightlinkError(
            "E-INPUT",
            found=f"values on both sides in {', '.join(common) or 'no field'} only",
            expected="fields for at least one blocking pass of the protocol on both sides",
            remedy="Give both sides fields in common, or a protocol with passes over those that they have.",
        )
    kept = [name for name in protocol.field_names if name in common or name in REQUIRED_FIELDS]
    return restrict_protocol(protocol, kept)


def common_fields(
    records_a: pa.RecordBatch, records_b: pa.RecordBatch, protocol: LinkageProtocol
) -> tuple[str, ...]:
    """Fields of the protocol that have a value on both sides, in the protocol's order."""
    return tuple(
        name
        for name in protocol.field_names
        if all(records.column(name).null_count < records.num_rows for records in (records_a, records_b))
    )


def _encode(
    records: pa.RecordBatch,
    protocol: LinkageProtocol,
    key: bytes,
    site: int,
    sealed: pa.RecordBatch | None = None,
) -> tuple[EncodedRecords, EvidenceAggregates, Indices]:
    """One custodian's records, its aggregates, and which row each record was; sealed people are not surveyed."""
    site_key = hashlib.sha256(b"site %d of " % site + key).digest()
    encoder = RecordEncoder(protocol, derive_custodian_keys(key, protocol), site_key)
    survey = survey_buckets([[records]], records.num_rows, encoder)
    if sealed is not None:
        records = pa.concat_batches([records.select(sealed.schema.names), sealed])
    part = encode_bucket([records], encoder, replace(survey, records=records.num_rows))
    pseudonyms = record_pseudonyms(
        site_key, records.column(SOURCE_ID), project=protocol.project, epoch=protocol.key_epoch
    )
    aggregates = published_aggregates(
        replace(survey, records=records.num_rows), part.fills, encoder.evidence.spec
    )
    return part.records, aggregates, pseudonym_order(pseudonyms)


def _seal(
    records: pa.RecordBatch, protocol: LinkageProtocol, key: bytes, site: int, wanted: SealedNumbers
) -> SealedPeople:
    places = np.arange(records.num_rows) / max(records.num_rows, 1)
    return seal_people(
        OwnRecords(records, places),
        protocol,
        key,
        custodian=str(site),
        null_people=wanted.null_people,
        canary_pairs=wanted.canary_pairs,
        household_share=household_share([records], protocol),
    )


def canary_numbers(sealed: SealedPeople) -> npt.NDArray[np.int64]:
    """Numbers of pairs; int64, :data:`IS_NULL` for a null person."""
    return np.array([IS_NULL if c is None else c for c in sealed.canaries], np.int64)


def _judge_pairs(
    sides: EncodedSides, meter: StageMeter, trained: TrainedModel | None
) -> tuple[CandidatePairs, MatchModel, PairOdds]:
    """Block and score, from encodings alone."""
    protocol, aggregates, spec = sides.protocol, sides.aggregates, evidence_of(sides.protocol)
    evidence_a, evidence_b = (records.evidence for records in sides.records)
    candidates = propose_candidates(*sides.records, protocol)
    meter.stage("block")
    a, b = candidates.index_a, candidates.index_b
    vectors = compare_pairs(evidence_a, evidence_b, a, b, spec, mean_fill(*aggregates))
    if trained is None:
        model, odds = fit_match_model(vectors, evidence_a, evidence_b, a, b, spec, aggregates)
    else:
        check_model(trained, protocol)
        patterns = patterns_of(vectors.levels, evidence_a, evidence_b, a, b, spec)
        presence = (field_presence(evidence_a), field_presence(evidence_b))
        records = (len(evidence_a), len(evidence_b))
        model, odds = judge_patterns(trained, patterns, a, b, records, spec, aggregates, presence)
    meter.stage("score")
    return candidates, model, odds


def propose_candidates(
    encoded_a: EncodedRecords, encoded_b: EncodedRecords, protocol: LinkageProtocol
) -> CandidatePairs:
    """Candidate pairs in the protocol's mode, as a night's block stage makes them."""
    spec, blocking = evidence_of(protocol), protocol.blocking
    if spec.by_filters:
        return candidates_by_filters(
            encoded_a.evidence.group_filters, encoded_b.evidence.group_filters, protocol
        )
    return propose_pairs(
        blocking_values(encoded_a, spec),
        blocking_values(encoded_b, spec),
        pass_names=protocol.pass_names,
        partners_per_record=blocking.partners_per_record,
        max_block_pairs=blocking.max_block_pairs,
        pair_budget=blocking.pair_budget,
    )


def linkage_figures(run: LinkageRun, truth: tuple[Indices, Indices], meter: StageMeter) -> LinkageFigures:
    """Compare a run with the truth: row numbers of the true pairs, each pair once."""
    true_pairs = len(truth[0])
    is_true = mark_true_pairs(run.rows_a, run.rows_b, *truth)
    blocking = blocking_quality(
        run.rows_a, run.rows_b, *truth, records_a=run.records_a, records_b=run.records_b
    )
    ranked = run.odds.probability[run.links.pairs]
    best = threshold_quality(ranked, is_true[run.links.pairs], true_pairs)
    output = output_quality(is_true[run.links.pairs[run.output]], true_pairs)
    return LinkageFigures(
        records_a=run.records_a,
        records_b=run.records_b,
        true_pairs=true_pairs,
        ap=average_precision(run.odds.probability, is_true, true_pairs),
        best_f1=best.best_f1,
        best_f1_at_p98=best.best_f1_at_precision_98,
        best_f1_at_p99=best.best_f1_at_precision_99,
        r_at_p95=best.recall_at_precision_95,
        r_at_p99=best.recall_at_precision_99,
        candidate_recall=blocking.candidate_recall,
        pairs_scored=blocking.pairs_scored,
        reduction_ratio=blocking.reduction_ratio,
        output_links=output.links,
        output_precision=output.precision,
        output_recall=output.recall,
        output_f1=output.f1,
        expected_precision=run.threshold.expected_precision,
        expected_matches=run.model.expected_matches,
        reached=run.threshold.reached,
        seconds=dict(meter.seconds),
        peak_mib=dict(meter.peak_mib),
    )
