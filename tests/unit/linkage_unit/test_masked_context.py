"""What a reviewer is told of a pair beside its fields: how common all of it is, and its records' other candidates."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from linkage_core.evaluation.evaluate_linkage import LinkageRun, StageMeter, link_sides
from linkage_core.linkage_unit.pair_context import pair_context
from linkage_core.linkage_unit.quality.masked_evidence import collision_bits, context_evidence, mask_evidence
from linkage_core.protocol.evidence_spec import evidence_of
from tests.reference.small_world import few_people, raw_table, shipped_protocol

KEY = hashlib.sha256(b"masked context").digest()


@pytest.fixture(scope="module")
def run() -> LinkageRun:
    people = few_people(200)
    sides = [raw_table(side).combine_chunks().to_batches()[0] for side in (people.side_a, people.side_b)]
    return link_sides(sides[0], sides[1], KEY, shipped_protocol(), StageMeter(lambda: 0.0))


def told(run: LinkageRun, chosen: np.ndarray) -> list[dict[str, str]]:
    candidates, sides = run.candidates, run.sides
    evidence = (sides.records[0].evidence, sides.records[1].evidence)
    rows = (candidates.index_a[chosen], candidates.index_b[chosen])
    collisions = collision_bits(evidence, *rows, evidence_of(sides.protocol), sides.aggregates)
    context = pair_context(run.odds.odds, candidates.passes, candidates.index_a, candidates.index_b, chosen)
    assert len(
        mask_evidence(evidence, *rows, evidence_of(sides.protocol), sides.aggregates, run.model)
    ) == len(chosen)
    return [{row.field: row.level for row in rows} for rows in context_evidence(context, collisions)]


def test_a_sure_link_is_rare_and_far_ahead(run: LinkageRun) -> None:
    chosen = run.links.pairs[np.argsort(-run.links.posterior, kind="stable")[:10]]
    for words in told(run, chosen):
        assert set(words) == {"all of it", "passes", "neighbours", "margin"}
        assert int(words["all of it"].split("2^")[1].split(" ")[0]) > 20
        ahead = [int(word) for word in words["margin"].split(" bits")[0].split(" and ")]
        assert min(ahead) > 3
        assert int(words["passes"].split(" ")[0]) >= 1


def test_candidates_that_are_nobodys_are_common_and_behind(run: LinkageRun) -> None:
    chosen = np.argsort(run.odds.odds, kind="stable")[:10]
    for words in told(run, chosen):
        assert int(words["all of it"].split("2^")[1].split(" ")[0]) < 20
        assert words["margin"].startswith("-")


def test_no_pair_is_told_of(run: LinkageRun) -> None:
    assert told(run, np.zeros(0, np.intp)) == []
