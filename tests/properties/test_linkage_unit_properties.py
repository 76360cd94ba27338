"""Every kernel of the linkage unit agrees with its slow twin, on inputs that hypothesis makes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.linkage_unit.candidate_pairs import pass_names_of, propose_pairs
from linkage_core.linkage_unit.dice_kernels import dice_pairs
from linkage_core.linkage_unit.link_decisions import BAND_NAMES, score_bands
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one, pair_tie_keys, siphash_2_4
from tests.reference.linkage_unit_reference import (
    slow_candidates,
    slow_dice,
    slow_greedy,
    slow_siphash_2_4,
)

PATIENT = settings(deadline=None, max_examples=60)  # the first example compiles
WORDS = st.one_of(st.just(0), st.just(2**64 - 1), st.integers(0, 2**64 - 1))


@st.composite
def filters_and_pairs(draw):
    words = draw(st.sampled_from([0, 1, 3, 7, 8, 9, 16, 32]))
    sides = [
        np.array(
            draw(st.lists(st.lists(WORDS, min_size=words, max_size=words), min_size=1, max_size=4)), "u8"
        )
        for _ in "ab"
    ]
    pairs = draw(st.lists(st.tuples(*(st.integers(0, len(s) - 1) for s in sides)), max_size=9))
    index_a, index_b = np.array(pairs, np.intp).reshape(-1, 2).T
    return *(s.reshape(len(s), words) for s in sides), index_a, index_b


@PATIENT
@given(filters_and_pairs())
def test_dice_agrees_with_counting_bits_in_sets(case):
    filters_a, filters_b, index_a, index_b = case
    expected = [slow_dice(filters_a[i], filters_b[j]) for i, j in zip(index_a, index_b, strict=True)]
    assert dice_pairs(filters_a, filters_b, index_a, index_b).tolist() == expected


@st.composite
def blocking_values(draw):
    passes = draw(st.integers(0, 4))
    row = st.lists(st.integers(0, 3), min_size=passes, max_size=passes)
    sides = [draw(st.lists(row, max_size=8)) for _ in "ab"]
    return tuple(np.array(rows, np.uint64).reshape(len(rows), passes) for rows in sides)


@PATIENT
@given(blocking_values(), st.integers(0, 20), st.none() | st.integers(1, 8))
def test_candidates_agree_with_comparing_everybody_with_everybody(case, max_block_pairs, partners):
    blocking_a, blocking_b = case
    names = [f"p{p}" for p in range(blocking_a.shape[1])]
    got = propose_pairs(
        blocking_a, blocking_b, pass_names=names, max_block_pairs=max_block_pairs, pair_budget=10_000,
        partners_per_record=partners,
    )  # fmt: skip
    expected = slow_candidates(blocking_a, blocking_b, max_block_pairs, partners)
    everything = slow_candidates(blocking_a, blocking_b, max_block_pairs)
    assert list(zip(got.index_a.tolist(), got.index_b.tolist(), strict=True)) == sorted(expected)
    for i, j, passes in zip(got.index_a, got.index_b, got.passes, strict=True):
        assert set(pass_names_of(int(passes), names)) == {names[p] for p in expected[i, j]}
    for p, report in enumerate(got.reports):
        assert report.pairs == sum(p in passes for passes in expected.values())
        assert report.pairs + report.pairs_left_out == sum(p in passes for passes in everything.values())
        assert report.blocks + report.blocks_dropped == sum(report.size_histogram)


SCORES = st.sampled_from([0.0, 0.5, 0.7, 0.72, 0.8, 0.9, 1.0])
PAIRS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), SCORES, st.integers(0, 3)),
    max_size=25,
    unique_by=lambda pair: pair[:2],
)


@PATIENT
@given(PAIRS, st.sampled_from([0.0, 0.7, 0.8]), st.randoms(use_true_random=False))
def test_greedy_agrees_with_its_twin_in_any_order_of_the_pairs(pairs, possible, random):
    def solve(rows, solver):
        columns = [np.array([row[c] for row in rows], t) for c, t in enumerate(("p", "p", "f8", "u8"))]
        return {rows[k][:2] for k in solver(*columns)}

    shuffled = random.sample(pairs, len(pairs))
    expected = solve(pairs, lambda *columns: slow_greedy(*columns, possible))
    for order in (pairs, shuffled):
        assert solve(order, lambda *columns: greedy_one_to_one(*columns, possible=possible)) == expected


@PATIENT
@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4), st.binary(min_size=16, max_size=16)
)
def test_siphash_agrees_with_python_integers(messages, key):
    words = np.frombuffer(b"".join(messages), "<u8").reshape(-1, 4).astype(np.uint64)
    got = siphash_2_4(list(words.T), np.frombuffer(key, "<u8").astype(np.uint64))
    assert got.tolist() == [slow_siphash_2_4(message, key) for message in messages]


@PATIENT
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=6, unique=True), st.binary())
def test_a_tie_key_depends_on_its_pair_and_the_seed_alone(pairs, seed):
    left = np.array([pair[:16] for pair in pairs], "V16")
    right = np.array([pair[16:] for pair in pairs], "V16")
    keys = pair_tie_keys(left, right, seed)
    assert pair_tie_keys(left[::-1], right[::-1], seed).tolist() == keys[::-1].tolist()
    assert pair_tie_keys(left, right, seed + b"x").tolist() != keys.tolist()


@PATIENT
@given(st.integers(0, 400), st.integers(1, 400))
def test_a_score_falls_into_its_band_as_exact_fractions_do(shared, total):
    shared = min(shared, total)
    scores = np.array([shared / total])
    band = score_bands(scores)[0]
    assert band == min(20 * shared // total, 19)
    low, high = BAND_NAMES[band].split("-")
    assert float(low) <= scores[0] <= float(high)
