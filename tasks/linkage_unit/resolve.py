"""Decide and resolve: at most one link a record, at the protocol's thresholds. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.link_table import LinkTable, build_link_table
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one, pair_tie_keys
from tasks.linkage_unit.expectations.link_table import judge_link_table
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class ResolvedLinks:
    """The night's links and the counts of their validation."""

    table: LinkTable
    expectations: list[ExpectationCount]


@stage("resolve links")
def resolve_links(
    a: ReceivedDelivery,
    b: ReceivedDelivery,
    pairs: CandidatePairs,
    scores: npt.NDArray[np.float64],
    unit: LinkageUnit,
) -> ResolvedLinks:
    """Greedy one-to-one in descending score; ties by a seeded hash of the two pseudonyms."""
    decision = unit.protocol.decision
    near = np.flatnonzero(scores >= decision.possible)
    index_a, index_b, near_scores = pairs.index_a[near], pairs.index_b[near], scores[near]
    pseudonyms_a, pseudonyms_b = a.records.record_pseudonyms[index_a], b.records.record_pseudonyms[index_b]
    ties = pair_tie_keys(pseudonyms_a, pseudonyms_b, seed=unit.protocol.project.encode())
    chosen = greedy_one_to_one(index_a, index_b, near_scores, ties, possible=decision.possible)
    table = build_link_table(
        pseudonyms_a[chosen],
        pseudonyms_b[chosen],
        near_scores[chosen],
        pairs.passes[near][chosen],
        pass_names=unit.protocol.pass_names,
        match=decision.match,
        possible=decision.possible,
    )
    counts = judge_link_table(table, len(a.records), len(b.records))
    refuse_broken(counts)
    announce(f"links: {len(table)}")
    return ResolvedLinks(table, counts)
