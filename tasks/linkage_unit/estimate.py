"""Estimate: what the night says of its own matches, before anybody may see the truth. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from linkage_core.linkage_unit.known_links import free_pairs
from linkage_core.linkage_unit.link_selection import LIMITS
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.quality.delivery_shape import DeliveryShape, shape_of
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks
from linkage_core.linkage_unit.quality.night_quality import NightQuality, estimate_quality
from linkage_core.protocol.evidence_spec import evidence_of
from tasks.linkage_unit.linked_custodians import LinkedCustodians
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@stage("estimate quality")
def estimate_links(two: LinkedCustodians, unit: LinkageUnit) -> dict[str, Any]:
    """Precision by every estimator, recall, and linked against unlinked by subgroup, as JSON-able figures."""
    judged = _judged(two, unit)
    found = estimate_quality(
        judged,
        two.scored.model,
        (two.a.records.evidence, two.b.records.evidence),
        evidence_of(unit.protocol),
        (two.a.manifest.aggregates, two.b.manifest.aggregates),
    )
    for name, estimate in found.precision.items():
        announce(f"precision by {name}: {estimate.value:.4f}, 95% [{estimate.low:.4f}, {estimate.high:.4f}]")
    return {"matches": len(judged.matches), **_described(found, two, unit)}


def shape_of_delivery(delivery: ReceivedDelivery, unit: LinkageUnit) -> DeliveryShape:
    """Fill, set bits and missing values of a delivery, to be compared with the last nights'."""
    fill = delivery.manifest.aggregates.filter_fill
    return shape_of(delivery.records.evidence, evidence_of(unit.protocol), fill)


def _judged(two: LinkedCustodians, unit: LinkageUnit) -> JudgedLinks:
    """The candidates with their links; pairs that known links settle have no odds. Ties count among links alone."""
    pairs, links, rules = two.pairs, two.links.probabilities, unit.protocol.decision
    odds, ties = two.scored.odds, np.zeros(len(pairs.index_a), np.uint64)
    ties[links.pairs] = two.links.pairs.tie_keys[: len(links.pairs)]
    if two.links.known is not None:
        open_pairs = np.zeros(len(pairs.index_a))
        open_pairs[free_pairs(pairs.index_a, pairs.index_b, two.links.known, LIMITS[rules.resolution])] = 1.0
        odds = PairOdds(odds.odds * open_pairs, odds.probability * open_pairs)
    records = (len(two.a.records), len(two.b.records))
    return JudgedLinks(
        pairs.index_a,
        pairs.index_b,
        pairs.passes,
        ties,
        odds,
        links,
        two.links.threshold,
        records,
        rules.resolution,
    )


def _described(found: NightQuality, two: LinkedCustodians, unit: LinkageUnit) -> dict[str, Any]:
    return {
        "custodians": list(two.custodians),
        "target_precision": unit.protocol.decision.target_precision,
        "precision": {name: _rounded(asdict(estimate)) for name, estimate in found.precision.items()},
        "recall": round(found.recall, 6),
        "recall_range": None if found.recall_range is None else _rounded(asdict(found.recall_range)),
        "subgroups": {
            name: [_rounded(asdict(group)) for group in groups]
            for name, groups in zip(two.custodians, found.subgroups, strict=True)
        },
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(v, 6) if isinstance(v, float | np.floating) else v for name, v in figures.items()}
