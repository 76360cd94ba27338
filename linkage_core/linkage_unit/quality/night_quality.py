"""All estimators together, for one night's matches between two custodians. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.match_model import MatchModel
from linkage_core.linkage_unit.quality.capture_recapture import RecallRange, recall_by_recapture
from linkage_core.linkage_unit.quality.duplicate_links import precision_by_duplicates
from linkage_core.linkage_unit.quality.estimate import Estimate
from linkage_core.linkage_unit.quality.held_out_sex import judge_without_sex, precision_by_sex
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks
from linkage_core.linkage_unit.quality.linked_by_subgroup import Subgroup, linked_by_subgroup
from linkage_core.linkage_unit.quality.posterior_sums import precision_by_posteriors, recall_by_posteriors
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec

POSTERIORS, DUPLICATES, HELD_OUT_SEX = "posteriors", "duplicates", "held_out_sex"


@dataclass(frozen=True)
class NightQuality:
    """What a night says of its matches.

    Attributes
    ----------
    precision : mapping of estimator to Estimate
        Those that could be computed, in a fixed order.
    recall : float
        By the posterior sums.
    recall_range : RecallRange, optional
    subgroups : two tuples of Subgroup
        Of the records of side A and of side B.
    """

    precision: Mapping[str, Estimate]
    recall: float
    recall_range: RecallRange | None
    subgroups: tuple[tuple[Subgroup, ...], tuple[Subgroup, ...]]


def estimate_quality(
    judged: JudgedLinks,
    model: MatchModel,
    evidence: tuple[EncodedEvidence, EncodedEvidence],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> NightQuality:
    """Ask every estimator; deterministic."""
    passes = spec.tokens[: spec.passes]
    return NightQuality(
        precision_estimates(judged, model, evidence, spec, aggregates),
        recall_by_posteriors(judged, model.expected_matches),
        recall_by_recapture(judged.passes[judged.matches], passes),
        (
            linked_by_subgroup(
                evidence[0], _in_a_match(judged.index_a[judged.matches], judged.records[0]), spec
            ),
            linked_by_subgroup(
                evidence[1], _in_a_match(judged.index_b[judged.matches], judged.records[1]), spec
            ),
        ),
    )


def precision_estimates(
    judged: JudgedLinks,
    model: MatchModel,
    evidence: tuple[EncodedEvidence, EncodedEvidence],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> dict[str, Estimate]:
    """Precision by each estimator that can tell it."""
    found = {POSTERIORS: precision_by_posteriors(judged), DUPLICATES: precision_by_duplicates(judged)}
    if SEX in spec.fields:
        sexless = judge_without_sex(judged, model, evidence, spec, aggregates)
        found[HELD_OUT_SEX] = precision_by_sex(judged, sexless)
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _in_a_match(rows: npt.NDArray[np.intp], records: int) -> npt.NDArray[np.bool_]:
    linked = np.zeros(records, np.bool_)
    linked[rows] = True
    return linked
