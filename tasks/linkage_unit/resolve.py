"""Resolve: at most one link a record, above a threshold that holds the target precision. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.link_decisions import decide
from linkage_core.linkage_unit.link_probabilities import (
    LEAST_SELECTED,
    ChosenThreshold,
    LinkProbabilities,
    choose_threshold,
    link_probabilities,
    links_above,
)
from linkage_core.linkage_unit.link_table import LinkTable, build_link_table
from linkage_core.linkage_unit.one_to_one import pair_tie_keys
from tasks.linkage_unit.expectations.link_table import judge_link_table
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.score import ScoredPairs
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class ResolvedLinks:
    """The night's links, how probable they are, the threshold, and the counts of their validation."""

    table: LinkTable
    probabilities: LinkProbabilities
    threshold: ChosenThreshold
    expectations: list[ExpectationCount]


@stage("resolve links")
def resolve_links(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, scored: ScoredPairs, unit: LinkageUnit
) -> ResolvedLinks:
    """One-to-one by posterior; ties by a seeded hash of the two pseudonyms.

    Raises
    ------
    NightlinkError
        E-QUALITY-TARGET when no threshold holds the protocol's target precision: nothing is published.
    """
    ties = _tie_keys(a, b, pairs, scored, unit)
    links = link_probabilities(
        scored.odds, pairs.index_a, pairs.index_b, ties, len(a.records), len(b.records)
    )
    threshold = choose_threshold(links, unit.protocol.decision.target_precision)
    _refuse_unsupported(threshold, unit.protocol.decision.target_precision)
    is_match = links_above(links, threshold)
    table = build_link_table(
        a.records.record_pseudonyms[pairs.index_a[links.pairs]],
        b.records.record_pseudonyms[pairs.index_b[links.pairs]],
        links.probability,
        decide(links.probability, is_match, possible=unit.protocol.decision.possible),
        pairs.passes[links.pairs],
        pass_names=unit.protocol.pass_names,
    )
    counts = judge_link_table(table, len(a.records), len(b.records))
    refuse_broken(counts)
    announce(f"links: {len(table)}, expected precision {threshold.expected_precision:.4f}")
    return ResolvedLinks(table, links, threshold, counts)


def _tie_keys(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, scored: ScoredPairs, unit: LinkageUnit
) -> npt.NDArray[np.uint64]:
    """Tie keys of the pairs that enter the resolution; 0 for the many that do not."""
    keys = np.zeros(len(pairs.index_a), np.uint64)
    entered = np.flatnonzero(scored.odds.probability >= LEAST_SELECTED)
    keys[entered] = pair_tie_keys(
        a.records.record_pseudonyms[pairs.index_a[entered]],
        b.records.record_pseudonyms[pairs.index_b[entered]],
        seed=unit.protocol.project.encode(),
    )
    return keys


def _refuse_unsupported(threshold: ChosenThreshold, target: float) -> None:
    if not threshold.reached:
        raise NightlinkError(
            "E-QUALITY-TARGET",
            found=f"no threshold at which the links' expected precision reaches {target}",
            expected="data that tell people apart well enough",
            remedy="Nothing was published. Check both deliveries' fields, or agree on a lower target_precision.",
        )
