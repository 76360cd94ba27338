"""Greedy one-to-one: order of acceptance, the tie rule, hubs, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.dice_kernels import dice_pairs
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one, pair_tie_keys, siphash_2_4

GOLDEN_TIE_KEY = 0x0175D855AA6EAC3B


def solve(pairs, possible=0.5):
    index_a, index_b = np.array([p[:2] for p in pairs], np.intp).reshape(-1, 2).T
    scores = np.array([p[2] for p in pairs], np.float64)
    ties = np.array([p[3] if len(p) > 3 else 0 for p in pairs], np.uint64)
    return greedy_one_to_one(index_a, index_b, scores, ties, possible=possible).tolist()


@pytest.mark.parametrize(
    ("pairs", "selected"),
    [
        ([], []),
        ([(0, 0, 0.9), (0, 1, 0.8), (1, 0, 0.7), (1, 1, 0.6)], [0, 3]),
        ([(0, 0, 0.7), (0, 1, 0.8)], [1]),
        ([(0, 0, 0.49)], []),
        ([(0, 0, 0.5)], [0]),
        ([(0, 0, 0.9, 5), (0, 1, 0.9, 4), (1, 0, 0.9, 9)], [1, 2]),  # equal scores: the lower key first
        ([(0, 0, 0.9, 2**64 - 1), (0, 1, 0.9, 2**63)], [1]),  # keys are unsigned
        ([(0, 1, 0.9, 3), (0, 0, 0.9, 3)], [1]),  # equal keys too: the lower pair of rows
    ],
)
def test_who_is_selected(pairs, selected):
    assert solve(pairs) == selected


def test_the_same_people_are_linked_whatever_the_order_of_the_rows():
    rng = np.random.default_rng(1)
    n = 60
    people_a = np.frombuffer(rng.bytes(16 * n), "V16")
    people_b = np.frombuffer(rng.bytes(16 * n), "V16")
    scores = rng.choice([0.8, 0.9], (n, n))  # nearly everything is a tie
    linked = set()
    for _ in range(5):
        order_a, order_b = rng.permutation(n), rng.permutation(n)
        index_a, index_b = (side.ravel() for side in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
        row_a, row_b = order_a[index_a], order_b[index_b]
        ties = pair_tie_keys(people_a[row_a], people_b[row_b], b"project")
        chosen = greedy_one_to_one(index_a, index_b, scores[row_a, row_b], ties, possible=0.5)
        linked.add(tuple(sorted(zip(row_a[chosen].tolist(), row_b[chosen].tolist(), strict=True))))
    assert len(linked) == 1
    assert len(linked.pop()) == n


def test_siphash_gives_the_answers_of_openssl():
    # printf of bytes 0..31 | openssl mac -macopt hexkey:000102...0f -macopt size:8 SIPHASH
    message = np.frombuffer(bytes(range(32)), "<u8").astype(np.uint64)
    key = np.frombuffer(bytes(range(16)), "<u8").astype(np.uint64)
    got = siphash_2_4([message[w : w + 1] for w in range(4)], key)
    assert got.astype("<u8").tobytes().hex() == "ce7cf2722f512771"


def test_tie_keys_are_fixed_for_a_seed():
    left, right = np.array([bytes(range(16))], "V16"), np.array([bytes(range(16, 32))], "V16")
    assert pair_tie_keys(left, right, b"seed").tolist() == [GOLDEN_TIE_KEY]
    assert pair_tie_keys(right, left, b"seed").tolist() != [GOLDEN_TIE_KEY]
    assert len(pair_tie_keys(left[:0], right[:0], b"seed")) == 0


def test_hub_records_win_no_link_and_change_no_other():
    rng = np.random.default_rng(2)
    draws = rng.integers(0, 2**64, (4, 400, 16), dtype=np.uint64)
    people = (draws[0] & draws[1]) | (draws[2] & draws[3])
    noise = np.where(rng.random((400, 16)) < 0.2, np.uint64(1) << np.uint64(7), np.uint64(0))
    hubs = np.array([[2**64 - 1] * 16, [0] * 16, [0xFF00FF00FF00FF00] * 16], np.uint64)

    def links(left, right):
        index_a, index_b = (s.ravel() for s in np.indices((len(left), len(right))))
        scores = dice_pairs(left, right, index_a, index_b)
        ties = np.zeros(len(scores), np.uint64)
        chosen = greedy_one_to_one(index_a, index_b, scores, ties, possible=0.8)
        return list(zip(index_a[chosen].tolist(), index_b[chosen].tolist(), strict=True))

    alone = links(people, people ^ noise)
    assert alone == [(i, i) for i in range(400)]
    assert links(np.concatenate([people, hubs]), np.concatenate([people ^ noise, hubs[:1] ^ noise[:1]])) == [
        *alone,
        (400, 400),  # two all-ones filters are alike; they take nobody's place
    ]


@pytest.mark.parametrize(
    ("position", "wrong", "found"),
    [
        (0, np.zeros(2, np.int32), "index_a as int32"),
        (1, np.zeros(3, np.intp), "index_b as int64 of shape (3,)"),
        (2, np.zeros(2, np.float32), "scores as float32"),
        (3, np.zeros(2, np.int64), "tie_keys as int64"),
        (1, np.array([0, -1]), "a negative index"),
    ],
)
def test_wrong_arrays_are_refused(position, wrong, found):
    columns = [np.zeros(2, np.intp), np.zeros(2, np.intp), np.zeros(2), np.zeros(2, np.uint64)]
    columns[position] = wrong
    with pytest.raises(NightlinkError) as refusal:
        greedy_one_to_one(*columns, possible=0.5)
    assert (refusal.value.code, found in refusal.value.found) == ("E-KERNEL-INPUT", True)


@pytest.mark.parametrize("wrong", [np.zeros(2, "V8"), np.zeros(3, "V16")])
def test_pseudonyms_of_another_kind_are_refused(wrong):
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        pair_tie_keys(np.zeros(2, "V16"), wrong, b"seed")
