"""Entities of several custodians: closure, the guard against chains, ids that stay, the digest's order."""

from __future__ import annotations

import itertools
import uuid

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.entity_clusters import (
    CustodianMatches,
    cluster_entities,
    digest_of_entity_rows,
    entity_rows,
)


def cluster(*rows, custodians=3, records=10):
    """Rows (custodian, row, custodian, row, probability)."""
    matches = []
    for a, b in itertools.combinations(range(custodians), 2):
        of_two = [row for row in rows if (row[0], row[2]) == (a, b)]
        columns = [np.array([row[k] for row in of_two], np.intp) for k in (1, 3)]
        probability = np.array([row[4] for row in of_two], np.float64)
        ties = np.arange(len(of_two), dtype=np.uint64)
        matches.append(CustodianMatches(a, b, *columns, probability, ties))
    return cluster_entities(matches, [records] * custodians)


def test_two_links_in_a_row_join_three_custodians():
    found = cluster((0, 1, 1, 2, 0.9), (1, 2, 2, 3, 0.9), (0, 5, 2, 7, 0.99))
    assert found.entities == [[(0, 1), (1, 2), (2, 3)], [(0, 5), (2, 7)]]
    assert (found.components, found.components_split, found.largest_component) == (2, 0, 3)


def test_a_component_with_two_records_of_a_custodian_is_split_by_the_better_links():
    # hospital 1 - pharmacy 2 - laboratory 3 - hospital 4: which of the two patients is it?
    found = cluster((0, 1, 1, 2, 0.95), (1, 2, 2, 3, 0.99), (0, 4, 2, 3, 0.7))
    assert found.entities == [[(0, 1), (1, 2), (2, 3)]]  # and hospital 4 would be a second patient
    assert (found.components, found.components_split, found.largest_component) == (1, 1, 4)


def test_a_chain_of_five_custodians_is_too_loose():
    chain = [(k, 0, k + 1, 0, 0.9 + k / 100) for k in range(4)]
    four = cluster(*chain[:3], custodians=5)
    assert four.entities == [[(0, 0), (1, 0), (2, 0), (3, 0)]]
    five = cluster(*chain, custodians=5)
    assert five.components_split == 1
    assert five.entities == [[(0, 0), (1, 0)], [(2, 0), (3, 0), (4, 0)]]


def test_nobody_is_an_entity_without_a_match():
    found = cluster()
    assert (found.entities, found.components, found.largest_component) == ([], 0, 0)


PSEUDONYMS = [np.array([uuid.UUID(int=100 * c + row).bytes for row in range(10)], "V16") for c in range(3)]


def rows_of(found, project="p"):
    return entity_rows(found, ["hospital", "pharmacy", "laboratory"], PSEUDONYMS, project)


def test_an_entity_keeps_its_id_while_its_members_stay():
    both = rows_of(cluster((0, 1, 1, 2, 0.9), (0, 5, 2, 7, 0.99)))
    alone = rows_of(cluster((0, 1, 1, 2, 0.8)))
    grown = rows_of(cluster((0, 1, 1, 2, 0.9), (0, 1, 2, 4, 0.9)))
    assert set(alone) < set(both)
    assert not {row[0] for row in grown} & {row[0] for row in both}
    assert {row[0] for row in rows_of(cluster((0, 1, 1, 2, 0.8)), "q")} != {row[0] for row in alone}
    assert [row[1:] for row in alone] == [
        ("hospital", str(uuid.UUID(int=1))), ("pharmacy", str(uuid.UUID(int=102)))
    ]  # fmt: skip


def test_the_digest_is_of_the_rows_in_their_order():
    rows = rows_of(cluster((0, 1, 1, 2, 0.9), (0, 5, 2, 7, 0.99)))
    assert digest_of_entity_rows(rows) == digest_of_entity_rows(iter(rows))
    assert digest_of_entity_rows(rows) != digest_of_entity_rows(rows[:2])
    for wrong in (rows[::-1], [*rows, rows[-1]]):
        with pytest.raises(NightlinkError, match="out of order or repeated"):
            digest_of_entity_rows(wrong)
