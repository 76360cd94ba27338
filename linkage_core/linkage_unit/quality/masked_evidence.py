"""Evidence of a pair for a reviewer who may see no value: what agrees, by how much, how common. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.comparison_vectors import NULL_LEVEL, compare_pairs
from linkage_core.linkage_unit.match_model import (
    MatchModel,
    field_gain,
    patterns_of,
    rarity_of_bands,
    untested_levels,
)
from linkage_core.linkage_unit.pair_context import PairContext
from linkage_core.linkage_unit.pattern_features import feature_names, pattern_features
from linkage_core.linkage_unit.quality.linked_by_subgroup import band_words
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, mean_fill
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec

Indices = npt.NDArray[np.intp]
NOT_COMPARED = "not given or not comparable"


@dataclass(frozen=True)
class FieldEvidence:
    """One field of a pair.

    Attributes
    ----------
    level : str
        How far it agrees, as :meth:`EvidenceSpec.level_names` says, or :data:`NOT_COMPARED`.
    common : str
        How common the agreeing value is on the first side; empty where nothing agrees exactly.
    bits : int
        What it adds for a match (above 0) or against it, log2 of odds, rounded.
    """

    field: str
    level: str
    common: str
    bits: int


def mask_evidence(
    evidence: tuple[EncodedEvidence, EncodedEvidence],
    index_a: Indices,
    index_b: Indices,
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
    model: MatchModel,
) -> list[tuple[FieldEvidence, ...]]:
    """For each pair its fields, in the spec's order."""
    levels = compare_pairs(*evidence, index_a, index_b, spec, mean_fill(*aggregates), threads=1).levels
    is_least = untested_levels(levels, spec)
    bands = [side.rarity[index] for side, index in zip(evidence, (index_a, index_b), strict=True)]
    fields = []
    for f in range(len(spec.fields)):
        gains = field_gain(levels, is_least, f, spec, model.match_rates, model.random_rates)
        pairs = zip(levels[:, f].tolist(), gains.tolist(), bands[0][:, f], bands[1][:, f], strict=True)
        fields.append(
            [
                _of_field(spec, f, level, nats, (int(a), int(b)), aggregates, model)
                for level, nats, a, b in pairs
            ]
        )
    return list(zip(*fields, strict=True))


def collision_bits(
    evidence: tuple[EncodedEvidence, EncodedEvidence],
    index_a: Indices,
    index_b: Indices,
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> list[int]:
    """For each pair the collision score: strangers agree in all of it once in 2 to so many pairs."""
    levels = compare_pairs(*evidence, index_a, index_b, spec, mean_fill(*aggregates), threads=1).levels
    patterns = patterns_of(levels, *evidence, index_a, index_b, spec)
    features = pattern_features(patterns, np.ones(len(index_a)), spec, aggregates)
    nats = features[:, feature_names(spec).index("nats")][patterns.of_pair]
    return [round(bits) for bits in (nats / np.log(2)).tolist()]


def context_evidence(context: PairContext, collisions: list[int]) -> list[tuple[FieldEvidence, ...]]:
    """For each pair what its fields do not tell: how common all of it is, its passes, and its records' others."""
    told = []
    for collision, passes, neighbours, margins in zip(
        collisions,
        context.passes.tolist(),
        context.neighbours.tolist(),
        (context.margins / np.log(2)).round().astype(int).tolist(),
        strict=True,
    ):
        words = {
            "all of it": f"strangers agree so once in 2^{collision} pairs",
            "passes": f"{passes} propose it",
            "neighbours": f"{neighbours[0]} and {neighbours[1]} other near candidates",
            "margin": f"{margins[0]:+d} and {margins[1]:+d} bits over each record's next candidate",
        }
        told.append(tuple(FieldEvidence(name, words_of, "", 0) for name, words_of in words.items()))
    return told


def _of_field(
    spec: EvidenceSpec,
    f: int,
    level: int,
    nats: float,
    bands: tuple[int, int],
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
    model: MatchModel,
) -> FieldEvidence:
    name = spec.fields[f]
    if level == NULL_LEVEL:
        return FieldEvidence(name, NOT_COMPARED, "", 0)
    common = ""
    if level == 0 and name != SEX:
        common = band_words(len(spec.rarity_edges) + 1)[bands[0]]
        sides, rate = zip(aggregates, bands, strict=True), float(model.random_rates[name][0])
        nats += sum(float(rarity_of_bands(side, f, rate)[band]) for side, band in sides) / 2
    return FieldEvidence(name, spec.level_names(name)[level], common, round(nats / float(np.log(2))))
