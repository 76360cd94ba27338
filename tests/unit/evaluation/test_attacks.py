"""Each attack on cases small enough to see why it succeeds or fails."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.attacks import hardenings
from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.colour_refinement import recognise_by_colour, unique_colours
from linkage_core.evaluation.attacks.encoded_people import (
    as_bits,
    pack_bits,
    pair_scores,
    similarity_matrix,
    unpack_bits,
)
from linkage_core.evaluation.attacks.frequency_alignment import align_ranks, filter_words, frequency_alignment
from linkage_core.evaluation.attacks.known_people import (
    known_people,
    plain_filters,
    q_gram_indicators,
    same_value_classes,
)
from linkage_core.evaluation.attacks.success_interval import clopper_pearson
from linkage_core.evaluation.attacks.token_percolation import token_percolation
from linkage_core.protocol.linkage_protocol import FieldSpec

SPECS = (
    FieldSpec(name="given_name", kind="name"),
    FieldSpec(name="birth_date", kind="date"),
)
KEY = b"k" * 32


def people(names=("ann", "bob", None, "ann"), dates=("19700101", "19851224", "19900303", "19700101")):
    return known_people(pa.RecordBatch.from_pydict({"given_name": names, "birth_date": dates}), SPECS)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1500), (7, 1500), (1500, 1500), (1, 2)])
def test_intervals_are_exact(successes, trials):
    exact = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx((exact.low, exact.high))


def test_nothing_tried_tells_nothing():
    outcome = AttackOutcome(0, 0, 0)
    assert (outcome.success, outcome.interval) == (0.0, (0.0, 1.0))
    assert worst_of([outcome, AttackOutcome(1, 2, 2)]).right == 1


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(-1, 2, 0.95), (3, 2, 0.95), (1, 2, 1.0)])
def test_impossible_counts_are_refused(successes, trials, confidence):
    with pytest.raises(NightlinkError, match="E-INPUT"):
        clopper_pearson(successes, trials, confidence)


def test_q_grams_of_records():
    known = people()
    indicators = q_gram_indicators(known)
    # ann and bob have 4 padded bigrams each and share none; a date has 7 with their places, of which 1-9 is shared
    assert indicators.sum(axis=1).tolist() == [11, 11, 7, 11]
    assert (indicators[0] == indicators[3]).all()
    assert same_value_classes(known).tolist() == [1, 2, 0, 1]
    assert (indicators[[3, 1]] == q_gram_indicators(known.take(np.array([3, 1])))).all()


def test_filters_of_records():
    known = people()
    filters = plain_filters(known, KEY, 1024, 5)
    counts = np.bitwise_count(filters).sum(axis=1)
    assert counts[2] <= 35 < counts[0] <= 55
    budget = plain_filters(known, KEY, 1024, 5, {"given_name": 4, "birth_date": 7})
    assert np.bitwise_count(budget).sum(axis=1).max() <= 11


def test_bits_and_scores_agree():
    rng = np.random.default_rng(0)
    bits = rng.random((6, 128)) < 0.3
    packed = pack_bits(bits)
    assert (unpack_bits(packed) == bits).all()
    left, right = np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6)
    for measure in ("dice", "hamming"):
        encoded = as_bits(packed, measure)
        pairs = pair_scores(encoded, encoded, left, right).reshape(6, 6)
        whole = similarity_matrix(encoded, encoded)
        assert pairs == pytest.approx(whole if measure == "dice" else (whole - 1) * 64, abs=1e-4)


@pytest.mark.parametrize(
    "hardening",
    [
        hardenings.plain(),
        hardenings.shared_out({"given_name": 60, "birth_date": 60}, 40),
        hardenings.xor_folded(),
        hardenings.rule_90(),
        hardenings.balanced(),
        hardenings.flipped(13),
        hardenings.salted(),
        hardenings.tabulation_min_hash(256),
        hardenings.signed_fourier(6, 256),
        hardenings.rotation(256),
        hardenings.random_projection(64),
        hardenings.diffused(6),
        hardenings.pair_filters(1),
        hardenings.pair_filters(8),
        hardenings.pair_fourier_signs(8),
    ],
    ids=lambda hardening: hardening.name,
)
def test_equal_people_look_alike_and_keys_differ(hardening):
    encoded, again, other = (hardening.encode(people(), key) for key in (KEY, KEY, b"z" * 32))
    assert len(encoded) == 4 and "4 records" in repr(encoded)
    assert np.array_equal(encoded.packed, again.packed) and np.array_equal(encoded.reals, again.reals)
    assert not (np.array_equal(encoded.packed, other.packed) and np.array_equal(encoded.reals, other.reals))
    if "pair filters" not in hardening.name:  # people without a family name have but one of the three
        similarity = similarity_matrix(encoded, encoded)
        assert similarity[0, 3] > similarity[0, 1]


def test_ranks_align_where_counts_are_unique():
    victim = np.array([7, 7, 7, 8, 8, 9, 5, 0], np.uint64)
    names = np.array([1, 1, 1, 2, 2, 3, 4, 0], np.uint64)
    encodings, meanings = align_ranks(victim, names)
    assert (encodings.tolist(), meanings.tolist()) == ([7, 8], [1, 2])
    assert frequency_alignment(victim, names, names) == AttackOutcome(right=5, targets=7, guesses=5)
    nobody = np.zeros(8, np.uint64)
    assert frequency_alignment(nobody, names, names) == AttackOutcome(0, 0, 0)


def test_equal_filters_count_as_one_value():
    filters = np.array([[1, 2], [1, 2], [0, 0], [1, 3]], np.uint64)
    words = filter_words([filters])
    assert words[0] == words[1] != words[3] and words[2] == 0


def tokens(seed, columns=4, people=300, values=40):
    rng = np.random.default_rng(seed)
    return rng.integers(1, values, (people, columns)).astype(np.uint64)


def rekeyed(values, seed):
    """The same values under another key: other numbers, null stays null."""
    names = np.random.default_rng(seed).permutation(int(values.max())) + 1
    return np.where(values > 0, np.append(0, names)[values.astype(np.intp)], 0).astype(np.uint64)


def test_colours_need_no_key():
    victim = tokens(1)
    victim[0] = 0
    attacker = rekeyed(victim, 2)
    everybody = np.arange(len(victim))
    unique = unique_colours(victim)
    outcome = recognise_by_colour(victim, attacker, everybody)
    assert outcome.right == outcome.guesses == unique.sum() > 250


def test_colours_of_twins_are_not_unique():
    victim = np.repeat(tokens(1, people=20), 2, axis=0)
    assert not unique_colours(victim).any()
    profile = np.tile(np.array([1, 2], np.uint64), 20)
    assert unique_colours(victim, profile).any()
    assert recognise_by_colour(victim, victim, np.arange(40), (profile, profile)).right > 0


def test_percolation_spreads_from_few():
    victim = tokens(3)
    attacker, everybody = rekeyed(victim, 4), np.arange(len(victim))
    few = everybody[:10]
    assert token_percolation(victim, attacker, everybody, (few, few)).success > 0.9
    nothing = np.zeros_like(victim)
    assert token_percolation(nothing, nothing, everybody, (few, few)).guesses == 0


def test_percolation_can_start_from_counts():
    values = np.random.default_rng(5).zipf(1.4, (2000, 5)) % 500 + 1
    victim = values.astype(np.uint64)
    assert token_percolation(victim, rekeyed(victim, 6), np.arange(2000)).success > 0.5
