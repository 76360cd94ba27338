"""The night's summary: counts and digests, all that a report may hold. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.link_decisions import BAND_NAMES, Decision, score_histogram
from linkage_core.linkage_unit.link_table import LinkTable
from linkage_core.linkage_unit.match_model import MatchModel
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from linkage_core.protocol.row_rules import FILE_RULES, ROW_RULES
from tasks.linkage_unit.estimate import estimate_links, shape_of_delivery
from tasks.linkage_unit.linked_custodians import JoinedEntities, LinkedCustodians
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.resolve import ResolvedLinks
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.summed_pairs import sum_pairs
from tasks.protocol.code_version import code_version


def summarise_night(
    night: date,
    deliveries: Sequence[ReceivedDelivery],
    linked: Sequence[LinkedCustodians],
    entities: JoinedEntities | None,
    unit: LinkageUnit,
) -> dict[str, Any]:
    """Everything that the report shows, but the publication itself, as JSON-able counts.

    With three custodians or more, ``candidates``, ``scores``, ``model`` and ``links`` are of all pairs of custodians
    together (:mod:`tasks.linkage_unit.summed_pairs`), and ``pairs_of_custodians`` has them one by one.
    """
    protocol = unit.protocol
    by_two = [_describe_two(two, unit) for two in linked]
    judged = [c for d in deliveries for c in d.expectations] + [
        c for two in linked for c in two.links.expectations
    ]
    return {
        "run_id": night.isoformat(),
        "as_of": night.isoformat(),
        "project": protocol.project,
        "protocol_version": protocol.version,
        "protocol_fingerprint": protocol_fingerprint(protocol),
        "key_epoch": protocol.key_epoch,
        "code_version": code_version(),
        "custodians": {d.manifest.custodian: _describe_delivery(d, unit) for d in deliveries},
        "method": _describe_method(unit),
        "quality": [estimate_links(two, unit) for two in linked],
        **(by_two[0] if len(by_two) == 1 else sum_pairs(by_two)),
        "rule_sentences": {**FILE_RULES, **ROW_RULES},
        "expectations": [count.model_dump() for count in judged],
        **_describe_the_unusual(linked, entities, unit),
    }


def _describe_two(two: LinkedCustodians, unit: LinkageUnit) -> dict[str, Any]:
    return {
        "candidates": {**_describe_candidates(two.pairs, unit), "custodians": list(two.custodians)},
        "scores": _describe_scores(two.links, unit),
        "model": _describe_model(two.scored.model),
        "links": _describe_links(two.links.table),
    }


def _describe_the_unusual(
    linked: Sequence[LinkedCustodians], entities: JoinedEntities | None, unit: LinkageUnit
) -> dict[str, Any]:
    """What most nights have not: another resolution than one-to-one, known links, entities."""
    told: dict[str, Any] = {}
    if unit.protocol.decision.resolution != "one_to_one":
        told["resolution"] = unit.protocol.decision.resolution
    optima = [
        two.links.probabilities.optimum for two in linked if two.links.probabilities.optimum is not None
    ]
    if optima:
        told["optimum"] = {
            "components": sum(o.components for o in optima),
            "improved": sum(o.improved for o in optima),
            "left_to_greedy": sum(o.left_to_greedy for o in optima),
            "pairs_left_to_greedy": sum(o.pairs_left_to_greedy for o in optima),
        }
    if unit.known_links is not None:
        placed = [two.links.known for two in linked if two.links.known is not None]
        told["known_links"] = {
            "sha256": unit.known_links.sha256,
            "links": sum(len(known.link_a) for known in placed),
            "never": sum(len(known.never_a) for known in placed),
            "absent": sum(known.absent for known in placed),
        }
    if unit.reviewed is not None:
        told["review"] = asdict(unit.reviewed)
    if unit.settings.trained_model is not None and unit.trained is not None:
        told["trained_model"] = {
            "sha256": unit.settings.trained_model.sha256,
            "method": unit.trained.card.method,
        }
    if entities is not None:
        told["entities"] = {
            "entities": len(entities.clusters.entities),
            "members": len(entities.rows),
            "components": entities.clusters.components,
            "components_split": entities.clusters.components_split,
            "largest_component": entities.clusters.largest_component,
        }
    return told


def _describe_method(unit: LinkageUnit) -> dict[str, Any]:
    """How records were linked, in the words of the protocol."""
    protocol = unit.protocol
    return {
        "fields": list(protocol.field_names),
        "filters": [group.name for group in protocol.evidence.filters],
        "tokens": len(evidence_of(protocol).tokens),
        "passes": len(protocol.pass_names),
        "resolution": protocol.decision.resolution,
        "target_precision": protocol.decision.target_precision,
    }


def _describe_delivery(delivery: ReceivedDelivery, unit: LinkageUnit) -> dict[str, Any]:
    manifest = delivery.manifest
    return {
        "extracted": manifest.extracted,
        "rejected": manifest.rejected,
        "rejected_by_rule": dict(manifest.rejected_by_rule),
        "delivered": manifest.row_count,
        "sequence": manifest.sequence,
        "manifest_sha256": delivery.manifest_sha256,
        "key_check_value": manifest.key_check_value,
        "as_of": manifest.as_of.isoformat(),
        "code_version": manifest.code_version,
        "expectations": [count.model_dump() for count in manifest.expectations],
        "shape": asdict(shape_of_delivery(delivery, unit)),
    }


def _describe_candidates(pairs: CandidatePairs, unit: LinkageUnit) -> dict[str, Any]:
    mode = unit.protocol.blocking.candidates
    return {
        **({} if mode == "blocked" else {"mode": mode}),
        "pairs": len(pairs.index_a),
        "all_pairs": pairs.all_pairs,
        "reduction_ratio": pairs.reduction_ratio,
        "passes": [
            {
                "name": report.name,
                "pairs": report.pairs,
                "largest_block_pairs": report.largest_block_pairs,
                "blocks": report.blocks,
                "blocks_dropped": report.blocks_dropped,
                "null_a": report.null_a,
                "null_b": report.null_b,
            }
            for report in pairs.reports
        ],
    }


def _describe_scores(links: ResolvedLinks, unit: LinkageUnit) -> dict[str, Any]:
    """The one-to-one links by probability, both thresholds, and what is expected of the links published."""
    histogram, chosen = score_histogram(links.probabilities.probability), links.threshold
    return {
        "bin_edges": list(histogram.bin_edges),
        "counts": list(histogram.counts),
        "match_threshold": chosen.threshold,
        "possible_threshold": unit.protocol.decision.possible,
        "target_precision": unit.protocol.decision.target_precision,
        "expected_precision": chosen.expected_precision,
        "expected_recall": chosen.expected_recall,
    }


def _describe_model(model: MatchModel) -> dict[str, Any]:
    """How many matches the model expects, and how often it sees each field at each of its levels (m: matches; u: random
    pairs), by which a link's evidence can be explained."""
    return {
        "expected_matches": round(model.expected_matches),
        "iterations": model.iterations,
        "converged": model.converged,
        "exact_agreement": [
            {
                "field": name,
                "matches": round(float(model.match_rates[name][0]), 4),
                "random_pairs": round(float(model.random_rates[name][0]), 6),
            }
            for name in model.random_rates
        ],
        "rates": {
            kind: {name: [float(f"{rate:.6g}") for rate in levels] for name, levels in rates.items()}
            for kind, rates in (("matches", model.match_rates), ("random_pairs", model.random_rates))
        },
    }


def _describe_links(table: LinkTable) -> dict[str, Any]:
    bands = np.bincount(table.score_band, minlength=len(BAND_NAMES))
    return {
        "match": int((table.decision == Decision.MATCH).sum()),
        "possible_match": int((table.decision == Decision.POSSIBLE_MATCH).sum()),
        "by_band": {BAND_NAMES[code]: int(count) for code, count in enumerate(bands) if count},
    }
