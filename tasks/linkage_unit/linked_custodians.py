"""Every two custodians of a night, linked; and the entities that join more than two. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.entity_clusters import (
    CustodianMatches,
    EntityClusters,
    EntityRow,
    cluster_entities,
    entity_rows,
)
from linkage_core.linkage_unit.link_decisions import Decision
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.resolve import ResolvedLinks
from tasks.linkage_unit.score import ScoredPairs
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class LinkedCustodians:
    """Two custodians' deliveries, and all that their linkage came to."""

    a: ReceivedDelivery
    b: ReceivedDelivery
    pairs: CandidatePairs
    scored: ScoredPairs
    links: ResolvedLinks

    @property
    def custodians(self) -> tuple[str, str]:
        """Names of the two, the earlier one in the protocol first."""
        return self.a.manifest.custodian, self.b.manifest.custodian


@dataclass(frozen=True)
class JoinedEntities:
    """Who is whom, where a match alone does not say it."""

    clusters: EntityClusters
    rows: list[EntityRow]


def every_two(
    deliveries: Sequence[ReceivedDelivery],
) -> Iterator[tuple[ReceivedDelivery, ReceivedDelivery]]:
    """Each pair of deliveries, in the protocol's order: one pair of two custodians, three of three."""
    return combinations(deliveries, 2)


def matches_are_entities(unit: LinkageUnit) -> bool:
    """Whether nothing needs joining, since each match of two custodians is one person's two records."""
    protocol = unit.protocol
    one_to_one = protocol.decision.resolution in ("one_to_one", "optimal_one_to_one")
    return len(protocol.custodians) == 2 and one_to_one


@stage("join entities")
def join_entities(
    deliveries: Sequence[ReceivedDelivery], linked: Sequence[LinkedCustodians], unit: LinkageUnit
) -> JoinedEntities:
    """Matches of all pairs of custodians as entities, at most one record of a custodian in each."""
    numbers = {delivery.manifest.custodian: k for k, delivery in enumerate(deliveries)}
    clusters = cluster_entities(
        [_matches(two, numbers) for two in linked], [len(delivery.records) for delivery in deliveries]
    )
    rows = entity_rows(
        clusters,
        [delivery.manifest.custodian for delivery in deliveries],
        [delivery.records.record_pseudonyms for delivery in deliveries],
        unit.protocol.project,
    )
    announce(
        f"entities: {len(clusters.entities)}, components split: {clusters.components_split}, "
        f"largest component: {clusters.largest_component}"
    )
    return JoinedEntities(clusters, rows)


def _matches(two: LinkedCustodians, numbers: dict[str, int]) -> CustodianMatches:
    chosen = two.links.pairs
    is_match = chosen.decision == Decision.MATCH
    return CustodianMatches(
        numbers[two.custodians[0]],
        numbers[two.custodians[1]],
        chosen.index_a[is_match],
        chosen.index_b[is_match],
        chosen.probability[is_match],
        chosen.tie_keys[is_match],
    )
