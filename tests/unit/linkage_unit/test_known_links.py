"""Known links and forbidden pairs: the file, their rows in two deliveries, and what is left to decide."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.known_links import HEADER, free_pairs, parse_known_links, place_known_links
from linkage_core.linkage_unit.link_selection import LIMITS

ONE_TO_ONE, MANY = LIMITS["one_to_one"], LIMITS["many_to_many"]


def record(custodian: str, row: int) -> str:
    return str(uuid.UUID(int={"hospital": 100, "pharmacy": 200, "lab": 300}[custodian] + row))


def file_of(*pairs) -> bytes:
    """Pairs (custodian, row, custodian, row, relation)."""
    lines = [",".join([a, record(a, i), b, record(b, j), word]) for a, i, b, j, word in pairs]
    return "\n".join([",".join(HEADER), *lines, ""]).encode()


def place(data, limits=ONE_TO_ONE, custodians=("hospital", "pharmacy"), rows=10):
    sides = tuple(
        np.array([uuid.UUID(record(c, row)).bytes for row in range(rows)], "V16") for c in custodians
    )
    return place_known_links(parse_known_links(data), custodians, sides, limits)


def test_pairs_are_placed_whichever_side_comes_first():
    data = file_of(
        ("pharmacy", 3, "hospital", 1, "link"),
        ("hospital", 2, "pharmacy", 4, "never"),
        ("hospital", 5, "lab", 6, "link"),
        ("hospital", 7, "pharmacy", 77, "link"),
    )
    placed = place(data)
    assert (placed.link_a.tolist(), placed.link_b.tolist()) == ([1], [3])
    assert (placed.never_a.tolist(), placed.never_b.tolist()) == ([2], [4])
    assert placed.absent == 1
    assert parse_known_links(data).sha256 == hashlib.sha256(data).hexdigest()
    swapped = place(data, custodians=("pharmacy", "hospital"))
    assert (swapped.link_a.tolist(), swapped.link_b.tolist()) == ([3], [1])
    assert place(file_of()).absent == 0


def test_a_record_may_have_two_known_links_only_where_it_may_have_two_links():
    data = file_of(("hospital", 1, "pharmacy", 3, "link"), ("hospital", 1, "pharmacy", 4, "link"))
    with pytest.raises(NightlinkError, match="E-KNOWN-LINKS: found 1 records with a second known link"):
        place(data)
    assert len(place(data, LIMITS["one_to_many"]).link_a) == 2


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        (ONE_TO_ONE, [(0, 0), (3, 4)]),
        (LIMITS["one_to_many"], [(0, 0), (1, 2), (3, 4)]),
        (LIMITS["many_to_one"], [(0, 0), (0, 1), (3, 4)]),
        (MANY, [(0, 0), (0, 1), (1, 2), (3, 4)]),
    ],
)
def test_rivals_of_known_links_are_left_out_where_a_record_has_one(limits, free):
    placed = place(
        file_of(("hospital", 1, "pharmacy", 1, "link"), ("hospital", 2, "pharmacy", 2, "never")), limits
    )
    pairs = np.array([(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (3, 4)], np.intp)
    left = free_pairs(pairs[:, 0], pairs[:, 1], placed, limits)
    assert [tuple(pair) for pair in pairs[left].tolist()] == free


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "another header"),
        (b"a,b\n", "another header"),
        (b"\xff", "no CSV"),
        (file_of(("hospital", 1, "pharmacy", 3, "maybe")), "line 2 that is no pair"),
        (file_of(("hospital", 1, "hospital", 3, "link")), "line 2 that is no pair"),
        (file_of() + b"hospital,Zaphod,pharmacy,Zaphod,link\n", "no UUID, at line 2"),
        (
            file_of(("hospital", 1, "pharmacy", 3, "link"), ("pharmacy", 3, "hospital", 1, "never")),
            "a pair twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_line(data, found):
    with pytest.raises(NightlinkError, match=f"E-KNOWN-LINKS: found .*{found}") as refusal:
        parse_known_links(data)
    assert "Zaphod" not in str(refusal.value)
