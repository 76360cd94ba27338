"""Resolution: one-to-one holds, the optimum is one, groups agree with their slow twin, and no order of rows enters."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.linkage_unit.competition import compete
from linkage_core.linkage_unit.entity_clusters import LEAST_DENSITY, CustodianMatches, cluster_entities
from linkage_core.linkage_unit.link_selection import LIMITS, select_links
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one
from linkage_core.linkage_unit.optimal_one_to_one import optimal_one_to_one
from linkage_core.linkage_unit.record_groups import group_greedily
from tests.reference.linkage_unit_reference import slow_best_total, slow_entities, slow_groups

PATIENT = settings(deadline=None, max_examples=150)  # the first example compiles
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))


@st.composite
def scored_pairs(draw, most: int = 6):
    """Pairs of a few records of each side, each once, many with equal scores; tie keys as a hash would give them."""
    sides = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    cells = draw(st.lists(st.integers(0, sides[0] * sides[1] - 1), unique=True, max_size=20))
    index_a, index_b = np.divmod(np.array(cells, np.intp), sides[1])
    scores = np.array(draw(st.lists(SCORES, min_size=len(cells), max_size=len(cells))), np.float64)
    ties = np.array(draw(st.permutations(range(len(cells)))), np.uint64)
    return index_a, index_b, scores, ties, draw(st.sampled_from([0.0, 0.3]))


@PATIENT
@given(scored_pairs())
def test_the_optimum_is_one_to_one_and_nothing_is_better(case):
    index_a, index_b, scores, ties, possible = case
    found = optimal_one_to_one(index_a, index_b, scores, ties, possible=possible)
    chosen = found.selected
    assert len(set(index_a[chosen].tolist())) == len(set(index_b[chosen].tolist())) == len(chosen)
    assert np.all(scores[chosen] >= possible)
    total = math.fsum(scores[chosen])
    assert math.isclose(
        total, slow_best_total(index_a, index_b, scores, possible), rel_tol=1e-9, abs_tol=1e-12
    )
    greedy = greedy_one_to_one(index_a, index_b, scores, ties, possible=possible)
    assert total >= math.fsum(scores[greedy])
    if not found.improved:
        assert chosen.tolist() == greedy.tolist()


@PATIENT
@given(scored_pairs(), st.randoms(use_true_random=False))
def test_no_order_of_pairs_or_rows_enters_the_optimum(case, random):
    index_a, index_b, scores, ties, possible = case
    expected = optimal_one_to_one(index_a, index_b, scores, ties, possible=possible).selected
    order = np.array(random.sample(range(len(scores)), len(scores)), np.intp)
    renamed_a, renamed_b = (np.array(random.sample(range(9), 9), np.intp) for _ in "ab")
    again = optimal_one_to_one(
        renamed_a[index_a[order]], renamed_b[index_b[order]], scores[order], ties[order], possible=possible
    ).selected
    assert sorted(order[again].tolist()) == expected.tolist()


@st.composite
def pairs_of_parties(draw):
    parties = draw(st.integers(2, 4))
    record = st.tuples(st.integers(0, parties - 1), st.integers(0, 3))
    pairs = draw(st.lists(st.tuples(record, record), max_size=30, unique_by=frozenset))
    return [pair for pair in pairs if pair[0][0] != pair[1][0]]


@PATIENT
@given(pairs_of_parties(), st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.booleans())
def test_groups_agree_with_looking_at_all_pairs_each_time(pairs, merge_share, one_a_party):
    groups = group_greedily(pairs, merge_share=merge_share, one_a_party=one_a_party)
    assert groups == slow_groups(pairs, merge_share, one_a_party)
    members = [record for group in groups for record in group]
    assert len(members) == len(set(members))
    if one_a_party:
        assert all(len({party for party, _ in group}) == len(group) for group in groups)


@PATIENT
@given(scored_pairs(), st.sampled_from(sorted(LIMITS)), st.randoms(use_true_random=False))
def test_every_resolution_keeps_its_limits_and_knows_no_order(case, resolution, random):
    index_a, index_b, scores, ties, _ = case
    strength = 1000 * scores**4
    odds = PairOdds(strength, compete(strength, index_a, index_b, 9, 9))
    found = select_links(odds, index_a, index_b, ties, (9, 9), resolution)
    limits = LIMITS[resolution]
    for limited, index in ((limits.one_a_record_of_a, index_a), (limits.one_a_record_of_b, index_b)):
        chosen = index[found.pairs].tolist()
        assert not limited or len(set(chosen)) == len(chosen)
    best_of = {"one_to_many": index_b, "many_to_one": index_a}.get(resolution)
    if best_of is not None:  # everybody who may have one link has the likeliest
        for record in set(best_of[found.posterior >= 1e-7].tolist()):
            (link,) = found.pairs[best_of[found.pairs] == record]
            assert found.posterior[link] == found.posterior[best_of == record].max()
    order = np.array(random.sample(range(len(scores)), len(scores)), np.intp)
    shuffled = PairOdds(odds.odds[order], odds.probability[order])
    again = select_links(shuffled, index_a[order], index_b[order], ties[order], (9, 9), resolution)
    assert sorted(order[again.pairs].tolist()) == found.pairs.tolist()


@st.composite
def matches_of_custodians(draw):
    """Matches between up to five custodians of four records each, with distinct probabilities."""
    custodians = draw(st.integers(2, 5))
    record = st.tuples(st.integers(0, custodians - 1), st.integers(0, 3))
    pairs = draw(st.lists(st.tuples(record, record), max_size=14, unique_by=frozenset))
    return custodians, [tuple(sorted(pair)) for pair in pairs if pair[0][0] != pair[1][0]]


@PATIENT
@given(matches_of_custodians(), st.randoms(use_true_random=False))
def test_entities_agree_with_their_twin_and_no_order_enters(case, random):
    custodians, pairs = case
    by_two: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for rank, ((a, i), (b, j)) in enumerate(pairs):
        by_two.setdefault((a, b), []).append((i, j, rank))
    matches = []
    for (a, b), rows in sorted(by_two.items(), key=lambda _: random.random()):
        i, j, rank = (
            np.array(column, np.intp) for column in zip(*random.sample(rows, len(rows)), strict=True)
        )
        matches.append(CustodianMatches(a, b, i, j, 1.0 - rank / 100, rank.astype(np.uint64)))
    found = cluster_entities(matches, [4] * custodians)
    assert found.entities == slow_entities(pairs, LEAST_DENSITY)
    for entity in found.entities:
        assert len({custodian for custodian, _ in entity}) == len(entity) >= 2
        inside = sum(first in entity and second in entity for first, second in pairs)
        assert inside >= LEAST_DENSITY * len(entity) * (len(entity) - 1) / 2
