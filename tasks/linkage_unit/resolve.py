"""Resolve: links within the protocol's limits, above a threshold that holds its target. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.known_links import (
    KNOWN_LINK,
    PlacedLinks,
    known_links_error,
    place_known_links,
)
from linkage_core.linkage_unit.link_decisions import Decision, decide
from linkage_core.linkage_unit.link_probabilities import (
    ChosenThreshold,
    LinkProbabilities,
    choose_threshold,
    links_above,
)
from linkage_core.linkage_unit.link_selection import LIMITS
from linkage_core.linkage_unit.link_table import LinkTable, build_link_table
from linkage_core.linkage_unit.settled_pairs import SettledPairs, tie_keys_of
from tasks.linkage_unit.block import chunk_limits, night_job
from tasks.linkage_unit.chunk_stages import known_chunk, settled_pairs_of
from tasks.linkage_unit.expectations.link_table import judge_link_table
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.run_chunks import run_chunks
from tasks.linkage_unit.score import ScoredPairs
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import begin_job
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.stages import announce, stage

Indices = npt.NDArray[np.intp]
MOST_PASSES_WITH_KNOWN_LINKS = 31


@dataclass(frozen=True)
class PublishedPairs:
    """The pairs of the link table in the order of the resolution: rows, probabilities, decisions, ties."""

    index_a: Indices
    index_b: Indices
    probability: npt.NDArray[np.float64]
    decision: npt.NDArray[np.uint8]
    tie_keys: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ResolvedLinks:
    """The night's links, how probable they are, the threshold, and the counts of their validation.

    ``known`` tells of the links given in advance; their pairs are in the table, not among the probabilities.
    """

    table: LinkTable
    probabilities: LinkProbabilities
    threshold: ChosenThreshold
    expectations: list[ExpectationCount]
    pairs: PublishedPairs
    known: PlacedLinks | None = None


@stage("resolve links")
def resolve_links(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, scored: ScoredPairs, unit: LinkageUnit
) -> ResolvedLinks:
    """Known links first, then by posterior as the protocol's resolution says; ties by a seeded hash of pseudonyms.

    A chunk like the others, in the child process: what ``scored`` shows is read there from the chunk of the model.

    Raises
    ------
    NightlinkError
        E-QUALITY-TARGET when no threshold holds the protocol's target precision: nothing is published.
        E-KNOWN-LINKS when known links contradict one another.
    """
    job, known = night_job(a, b, unit), _placed(a, b, unit)
    begin_job(job)
    if known is not None:
        job.write("known", 0, known_chunk(known))
    run_chunks(job, [("links", 1)], chunk_limits(unit))
    return decide_links(a, b, pairs, settled_pairs_of(job), known, unit)


def decide_links(
    a: ReceivedDelivery,
    b: ReceivedDelivery,
    pairs: CandidatePairs,
    settled: SettledPairs,
    known: PlacedLinks | None,
    unit: LinkageUnit,
) -> ResolvedLinks:
    """The threshold, the decisions, and the link table as it is published, with its expectations."""
    rules, links = unit.protocol.decision, settled.links
    threshold = choose_threshold(links, rules.target_precision)
    _refuse_unsupported(threshold, rules.target_precision)
    decisions = decide(links.probability, links_above(links, threshold), possible=rules.possible)
    chosen = PublishedPairs(
        pairs.index_a[links.pairs],
        pairs.index_b[links.pairs],
        links.probability,
        decisions,
        settled.tie_keys,
    )
    passes, pass_names = pairs.passes[links.pairs], unit.protocol.proposer_names
    if known is not None:
        passes = np.concatenate([passes, _passes_of_known(pairs, known, len(pass_names))])
        chosen, pass_names = _with_known(chosen, known, a, b, unit), (*pass_names, KNOWN_LINK)
    table = build_link_table(
        a.records.record_pseudonyms[chosen.index_a],
        b.records.record_pseudonyms[chosen.index_b],
        chosen.probability,
        chosen.decision,
        passes,
        pass_names=pass_names,
    )
    counts = judge_link_table(table, len(a.records), len(b.records), LIMITS[rules.resolution])
    refuse_broken(counts)
    _announce_links(table, threshold, links)
    return ResolvedLinks(table, links, threshold, counts, chosen, known)


def _placed(a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> PlacedLinks | None:
    if unit.known_links is None:
        return None
    if len(unit.protocol.proposer_names) > MOST_PASSES_WITH_KNOWN_LINKS:
        raise known_links_error(
            f"{len(unit.protocol.proposer_names)} passes beside known links",
            f"at most {MOST_PASSES_WITH_KNOWN_LINKS}",
        )
    return place_known_links(
        unit.known_links,
        (a.manifest.custodian, b.manifest.custodian),
        (a.records.record_pseudonyms, b.records.record_pseudonyms),
        LIMITS[unit.protocol.decision.resolution],
    )


def _with_known(
    chosen: PublishedPairs, known: PlacedLinks, a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit
) -> PublishedPairs:
    """The chosen pairs, and after them the known links, which are matches whatever the model says."""
    count = len(known.link_a)
    pseudonyms = (a.records.record_pseudonyms, b.records.record_pseudonyms)
    return PublishedPairs(
        np.concatenate([chosen.index_a, known.link_a]),
        np.concatenate([chosen.index_b, known.link_b]),
        np.concatenate([chosen.probability, np.ones(count)]),
        np.concatenate([chosen.decision, np.full(count, Decision.MATCH, np.uint8)]),
        np.concatenate([chosen.tie_keys, tie_keys_of(known.link_a, known.link_b, pseudonyms, unit.protocol)]),
    )


def _passes_of_known(pairs: CandidatePairs, known: PlacedLinks, bit: int) -> npt.NDArray[np.uint32]:
    """The passes that proposed each known link too, and the bit that says that it is known."""
    wanted = {
        pair: k for k, pair in enumerate(zip(known.link_a.tolist(), known.link_b.tolist(), strict=True))
    }
    passes = np.full(len(known.link_a), 1 << bit, np.uint32)
    for at in np.flatnonzero(np.isin(pairs.index_a, known.link_a)).tolist():
        place = wanted.get((int(pairs.index_a[at]), int(pairs.index_b[at])))
        if place is not None:
            passes[place] |= pairs.passes[at]
    return passes


def _announce_links(table: LinkTable, threshold: ChosenThreshold, links: LinkProbabilities) -> None:
    announce(f"links: {len(table)}, expected precision {threshold.expected_precision:.4f}")
    if links.optimum is not None:
        announce(
            f"optimal one-to-one: {links.optimum.improved} of {links.optimum.components} components differ from "
            f"greedy's choice, {links.optimum.left_to_greedy} too large and left to greedy"
        )


def _refuse_unsupported(threshold: ChosenThreshold, target: float) -> None:
    if not threshold.reached:
        raise NightlinkError(
            "E-QUALITY-TARGET",
            found=f"no threshold at which the links' expected precision reaches {target}",
            expected="data that tell people apart well enough",
            remedy="Nothing was published. Check both deliveries' fields, or agree on a lower target_precision.",
        )
