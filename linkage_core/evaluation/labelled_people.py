"""Labelled pairs of two sides whose truth is known, for training a match model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.evaluate_linkage import StageMeter, encode_sides, propose_candidates
from linkage_core.evaluation.linkage_quality import Indices, mark_true_pairs
from linkage_core.linkage_unit.candidate_coverage import field_presence
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.match_model import fit_patterns, patterns_of
from linkage_core.linkage_unit.model_training import LabelledPairs, number_people
from linkage_core.linkage_unit.pattern_features import pattern_features
from linkage_core.protocol.encoded_evidence import mean_fill
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol


def label_people(
    side_a: pa.RecordBatch,
    side_b: pa.RecordBatch,
    truth: tuple[Indices, Indices],
    key: bytes,
    protocol: LinkageProtocol,
    *,
    source_format: SourceFormat | None = None,
) -> LabelledPairs:
    """All candidate pairs of two sides, encoded and compared as a night would, each with its truth.

    Parameters and errors as :func:`~linkage_core.evaluation.evaluate_linkage.link_sides`, which judges by a trained
    model; the protocol is not restricted, since the model has to know every field of it.
    """
    meter = StageMeter(lambda: 0.0)
    sides = encode_sides(side_a, side_b, key, protocol, meter, source_format=source_format, whole=True)
    (encoded_a, encoded_b), aggregates, spec = sides.records, sides.aggregates, evidence_of(protocol)
    pairs = propose_candidates(encoded_a, encoded_b, protocol)
    a, b = pairs.index_a, pairs.index_b
    evidence_a, evidence_b = encoded_a.evidence, encoded_b.evidence
    levels = compare_pairs(evidence_a, evidence_b, a, b, spec, mean_fill(*aggregates)).levels
    patterns = patterns_of(levels, evidence_a, evidence_b, a, b, spec)
    is_match = mark_true_pairs(sides.rows[0][a], sides.rows[1][b], *truth)
    people = number_people(a, b, is_match, len(encoded_a))
    presence = (field_presence(evidence_a), field_presence(evidence_b))
    _, fitted = fit_patterns(patterns, a, b, (len(encoded_a), len(encoded_b)), spec, aggregates, presence)
    features = pattern_features(patterns, fitted.odds, spec, aggregates)
    return LabelledPairs(features, patterns.of_pair, is_match, np.ones(len(a)), *people)
