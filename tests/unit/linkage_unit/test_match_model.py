"""The model on small worlds whose truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_coverage import CandidateCoverage, FieldPresence, field_presence
from linkage_core.linkage_unit.comparison_vectors import (
    ComparisonVectors,
    compare_pairs,
    evidence_masks,
    near_threshold,
)
from linkage_core.linkage_unit.competition import compete, prior_odds
from linkage_core.linkage_unit.link_probabilities import (
    LinkProbabilities,
    choose_threshold,
    link_probabilities,
    links_above,
)
from linkage_core.linkage_unit.link_selection import LIMITS, unlimited_odds
from linkage_core.linkage_unit.match_model import (
    BESIDE_OTHER_GIVEN,
    PairOdds,
    _cap_rate,
    field_gain,
    fit_match_model,
    fit_patterns,
    household_start,
    random_rates,
    start_rates,
    untested_levels,
)
from linkage_core.linkage_unit.pair_patterns import PairPatterns, states_of_field
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, FieldAggregate
from linkage_core.protocol.evidence_spec import EvidenceSpec
from linkage_core.protocol.linkage_protocol import FilterGroup
from tests.reference.evidence_specs import evidence_over

SPEC = evidence_over(("given_name", "family_name", "birth_date", "sex", "postcode"))
EXACT_RATES = {"given_name": 0.002, "family_name": 0.001, "birth_date": 0.0001, "sex": 0.5, "postcode": 0.1}


COMPLETE = FieldPresence(np.ones((1, len(SPEC.fields)), np.bool_), np.array([1], np.intp))


def aggregates(records, spec=SPEC, exact_rates=EXACT_RATES):
    fields = []
    for name in spec.fields:
        levels = spec.level_names(name)
        rates = np.full(len(levels), 1e-3)
        rates[0] = exact_rates[name]
        rates[levels.index("different")] += 1 - rates.sum()
        fields.append(FieldAggregate(tuple(rates.tolist()), (exact_rates[name],) * 3))
    return EvidenceAggregates(records, tuple(fields), (0.42,) * 3)


def evidence(rows, spec=SPEC):
    filters = tuple(np.zeros((rows, 32), np.uint64) for _ in spec.groups)
    rarity = np.full((rows, len(spec.fields)), 2, np.uint8)
    return EncodedEvidence(
        np.zeros((rows, len(spec.tokens)), np.uint64), filters, rarity, np.ones(rows, np.uint8)
    )


def level(field, name):
    return SPEC.level_names(field).index(name)


def world(people=400, strangers=2000, seed=0):
    """Matches that mostly agree, and strangers that do not, in that order."""
    generator = np.random.default_rng(seed)
    different = [level(name, "different") for name in SPEC.fields]
    levels = np.tile(np.array(different, np.int8), (people + strangers, 1))
    agrees = generator.random((people, len(SPEC.fields))) < 0.93
    levels[:people][agrees] = 0
    levels[people:, 3] = generator.integers(0, 2, strangers)
    a = np.concatenate([np.arange(people), generator.integers(0, 2 * people, strangers)])
    b = np.concatenate([np.arange(people), generator.integers(0, 2 * people, strangers)])
    _, once = np.unique(a * 10_000 + b, return_index=True)
    once = np.sort(once)
    return ComparisonVectors(levels[once]), a[once].astype(np.intp), b[once].astype(np.intp), once < people


def fit(vectors, a, b, rows=800):
    sides = evidence(rows), evidence(rows)
    return fit_match_model(vectors, *sides, a, b, SPEC, (aggregates(rows), aggregates(rows)))


def test_the_model_counts_matches_and_tells_them_from_strangers():
    vectors, a, b, is_match = world()
    model, odds = fit(vectors, a, b)
    assert model.converged and model.expected_matches == pytest.approx(400, rel=0.05)
    assert odds.probability[is_match].mean() > 0.95 and odds.probability[~is_match].mean() < 0.01
    assert model.match_rates["given_name"][0] == pytest.approx(0.93, abs=0.03)


def test_the_order_of_pairs_does_not_matter():
    vectors, a, b, _ = world()
    _, odds = fit(vectors, a, b)
    _, turned = fit(ComparisonVectors(vectors.levels[::-1].copy()), a[::-1].copy(), b[::-1].copy())
    assert turned.probability[::-1] == pytest.approx(odds.probability, rel=1e-9)


def test_a_missing_field_contributes_nothing():
    vectors, a, b, _ = world()
    nulled = vectors.levels.copy()
    nulled[:, 4] = -1
    model, _ = fit(ComparisonVectors(nulled), a, b)
    assert model.match_rates["postcode"] == pytest.approx(
        start_rates(SPEC, "postcode", model.random_rates["postcode"])
    )


def test_a_relative_is_no_match():
    vectors, a, b, _ = world()
    relative = np.array(
        [[level("given_name", "different"), 0, level("birth_date", "different"), 0, 0]], np.int8
    )
    levels = np.concatenate([vectors.levels, np.repeat(relative, 200, axis=0)])
    spare = np.arange(500, 700, dtype=np.intp)
    _, odds = fit(ComparisonVectors(levels), np.concatenate([a, spare]), np.concatenate([b, spare]))
    assert odds.probability[-200:].max() < 0.15


def test_no_pairs_give_no_matches():
    none = np.empty(0, np.intp)
    model, odds = fit(ComparisonVectors(np.empty((0, 5), np.int8)), none, none)
    assert len(odds.probability) == 0 and model.expected_matches == pytest.approx(8)


def test_rivals_share_the_probability():
    one = np.zeros(2, np.intp)
    assert compete(np.array([1e6, 1e6]), one, np.array([0, 1]), 1, 2) == pytest.approx([0.5, 0.5], abs=1e-5)


def test_a_rival_that_is_surely_somebody_elses_does_not_count():
    a, b = np.array([0, 0, 1], np.intp), np.array([0, 1, 1], np.intp)
    alone, rivalled = (
        compete(np.array([2.0, 2.0, 1e9]), a, b, 2, 2)[0],
        compete(np.array([2.0, 2.0, 0]), a, b, 2, 2)[0],
    )
    assert alone == pytest.approx(2 / 3, abs=1e-6) and rivalled == pytest.approx(2 / 5, abs=1e-6)


def test_prior_odds_are_against_two_records_that_are_nobodys():
    assert prior_odds(600, 1000, 1000) == pytest.approx(600 / (1000 - 0.95 * 600) ** 2)
    assert prior_odds(0, 10, 10) == 0 and prior_odds(10, 10, 10) == pytest.approx(10)


def test_matches_whose_fields_are_missing_become_no_candidates():
    rates = {name: np.eye(len(SPEC.level_names(name)))[0] for name in SPEC.fields}
    nothing = FieldPresence(np.zeros((1, len(SPEC.fields)), np.bool_), np.array([7], np.intp))
    half = FieldPresence(np.array([[False] * 5, [True] * 5]), np.array([5, 5], np.intp))
    nobody = FieldPresence(np.empty((0, len(SPEC.fields)), np.bool_), np.empty(0, np.intp))
    assert CandidateCoverage(SPEC, COMPLETE, COMPLETE).share(rates) == 1.0
    assert CandidateCoverage(SPEC, COMPLETE, half).share(rates) == pytest.approx(0.5, abs=0.02)
    for side in (nothing, nobody):
        assert CandidateCoverage(SPEC, side, COMPLETE).share(rates) == 0.05
    strangers = {name: rate[::-1] for name, rate in rates.items()}
    assert CandidateCoverage(SPEC, COMPLETE, COMPLETE).share(strangers) == 0.05


def test_presence_counts_records_by_their_fields():
    sides = evidence(5)
    sides.rarity[3, 1] = 0
    counted = field_presence(sides)
    assert counted.present.tolist() == [[True, False, True, True, True], [True] * 5]
    assert counted.counts.tolist() == [1, 4]


STREET = evidence_over(("given_name", "family_name", "birth_date", "sex", "street"))


@pytest.mark.parametrize(
    ("levels", "untested"),
    [
        ({"birth_date": "near"}, {"birth_date"}),  # alone: nothing could have shown the whole date
        ({"birth_date": "near", "sex": "exact"}, set()),  # date and sex are a token
        ({"birth_date": "near", "family_name": "different"}, set()),  # beside another core field: never told
        ({"birth_date": "different"}, set()),
        ({"given_name": "swapped"}, set()),
        ({"birth_date": "exact"}, set()),
        ({"street": "number_and_start"}, {"street"}),
        ({"street": "number_and_start", "family_name": "exact"}, set()),  # family and street are a token
        ({"street": "number_and_start", "family_name": "soundex"}, {"street", "family_name"}),
        ({"street": "house_number"}, set()),
    ],
)
def test_a_level_that_nothing_could_have_shown_to_be_exact_is_the_least(levels, untested):
    row = [STREET.level_names(name).index(levels[name]) if name in levels else -1 for name in STREET.fields]
    found = untested_levels(np.array([row], np.int8), STREET)[0]
    assert {name for name, least in zip(STREET.fields, found, strict=True) if least} == untested


MIDDLE = evidence_over(("given_name", "middle_name", "family_name", "birth_date", "sex"))


@pytest.mark.parametrize(("beside", "is_least"), [({}, True), ({"family_name": "exact"}, False)])
def test_an_initial_is_the_least_where_no_token_tells_the_whole_middle_name(beside, is_least):
    levels = {"middle_name": "initial", **beside}
    row = [MIDDLE.level_names(name).index(levels[name]) if name in levels else -1 for name in MIDDLE.fields]
    assert untested_levels(np.array([row], np.int8), MIDDLE)[0, 1] == is_least


def middle_world(differ_too, people=400, others=100):
    """Matches of whom a quarter differ in the given name, so many of them in the middle name too; strangers."""
    generator = np.random.default_rng(1)
    differs = [len(MIDDLE.level_codes(name)) for name in MIDDLE.fields]
    levels = np.zeros((people + others, len(MIDDLE.fields)), np.int8)
    levels[: people // 4, 0] = differs[0]
    levels[: round(differ_too * people / 4), 1] = differs[1]
    levels[people:] = differs
    levels[people:, 4] = generator.integers(0, 2, others)
    return ComparisonVectors(levels), *(np.arange(people + others, dtype=np.intp),) * 2


@pytest.mark.parametrize("differ_too", [0.0, 0.8])
def test_how_often_both_names_of_a_match_differ_is_learnt(differ_too):
    vectors, a, b = middle_world(differ_too)
    rates = {"given_name": 0.002, "middle_name": 0.08, "family_name": 0.001, "birth_date": 0.0001, "sex": 0.5}
    told = aggregates(1000, MIDDLE, rates)
    sides = evidence(1000, MIDDLE), evidence(1000, MIDDLE)
    model, _ = fit_match_model(vectors, *sides, a, b, MIDDLE, (told, told))
    agrees, differs = model.match_rates[BESIDE_OTHER_GIVEN]
    assert differs == pytest.approx(differ_too, abs=0.06) and agrees + differs == pytest.approx(1)
    assert model.match_rates["middle_name"][2] < 0.02


def test_two_names_that_differ_never_speak_for_a_match():
    levels = np.full((2, len(MIDDLE.fields)), -1, np.int8)
    levels[:, 0] = (MIDDLE.level_names("given_name").index("different"), 0)
    levels[:, 1] = MIDDLE.level_names("middle_name").index("different")
    random = {"middle_name": np.array([0.1, 0.1, 0.8])}
    match = {"middle_name": np.array([0.9, 0.05, 0.05])}
    for differ_too, gain in ((0.2, np.log(0.25)), (0.9, 0.0)):
        rates = {**match, BESIDE_OTHER_GIVEN: np.array([1 - differ_too, differ_too])}
        told = field_gain(levels, np.zeros(levels.shape, np.bool_), 1, MIDDLE, rates, random)
        assert told.tolist() == pytest.approx([gain, np.log(0.05 / 0.8)])


def test_sex_adds_nothing_beside_equal_given_names():
    random = {name: np.full(len(SPEC.level_names(name)), 0.1) for name in SPEC.fields}
    match = {name: rates * np.where(np.arange(len(rates)) == 0, 4, 0.5) for name, rates in random.items()}
    levels = np.full((4, len(SPEC.fields)), -1, np.int8)
    levels[:, 3] = (0, 0, 1, 1)
    levels[:, 0] = (0, level("given_name", "different")) * 2
    gain = field_gain(levels, np.zeros(levels.shape, np.bool_), 3, SPEC, match, random)
    assert gain.tolist() == pytest.approx([0, np.log(4), 0, np.log(0.5)])
    assert not field_gain(levels, np.zeros(levels.shape, np.bool_), 1, SPEC, match, random).any()


def test_where_every_record_may_have_many_links_pairs_stand_against_all_records():
    odds = PairOdds(np.array([8.0, 2.0]), np.array([0.9, 0.1]))
    for resolution in ("one_to_one", "one_to_many", "many_to_one"):
        assert unlimited_odds(odds, (4, 5), LIMITS[resolution]).tolist() == [8.0, 2.0]
    of_all = odds.odds * (4 - 0.95) / 4 * (5 - 0.95) / 5
    assert unlimited_odds(odds, (4, 5), LIMITS["many_to_many"]) == pytest.approx(of_all)


def test_a_least_level_may_be_exact_and_teaches_nothing():
    vectors, a, b, is_match = world()
    alone = np.full((300, 5), -1, np.int8)
    alone[:, 2] = level("birth_date", "near")
    levels = np.concatenate([vectors.levels, alone])
    spare = np.arange(500, 800, dtype=np.intp)
    model, odds = fit(ComparisonVectors(levels), np.concatenate([a, spare]), np.concatenate([b, spare]))
    without, _ = fit(vectors, a, b)
    assert model.match_rates["birth_date"][0] == pytest.approx(without.match_rates["birth_date"][0], abs=0.02)
    assert odds.odds[-1] > 50 * odds.odds[: len(a)][~is_match].max()


def test_matches_that_no_pass_proposes_are_counted():
    vectors, a, b, is_match = world()
    kept = ~is_match | (a % 2 == 0)
    sides = evidence(800), evidence(800)
    sides[0].rarity[1::2] = 0
    levels = vectors.levels.copy()
    model, _ = fit_match_model(
        ComparisonVectors(levels[kept]), *sides, a[kept], b[kept], SPEC, (aggregates(800), aggregates(800))
    )
    assert model.candidate_share == pytest.approx(0.5, abs=0.03)
    assert model.expected_matches == pytest.approx(400, rel=0.08)


def test_a_level_below_exact_is_never_a_miracle():
    fields = list(aggregates(10).fields)
    given = SPEC.fields.index("given_name")
    levels = (0.1, *fields[given].level_rates[1:])
    fields[given] = FieldAggregate(levels, fields[given].band_agreement)
    crowded = EvidenceAggregates(10, tuple(fields), (0.42,) * 3)
    rates = random_rates(SPEC, (crowded, crowded))
    assert rates["given_name"][level("given_name", "soundex")] > 0.04


def test_a_capped_rate_leaves_a_distribution():
    rates = _cap_rate(np.array([0.2, 0.1, 0.7]), 2, 0.15)
    assert rates[2] == pytest.approx(0.15) and rates.sum() == pytest.approx(1)
    assert _cap_rate(np.array([0.9, 0.1]), 1, 0.15).tolist() == [0.9, 0.1]


@pytest.mark.parametrize("name", SPEC.fields)
def test_starts_are_distributions(name):
    random = random_rates(SPEC, (aggregates(10), aggregates(10)))[name]
    assert start_rates(SPEC, name, random).sum() == pytest.approx(1)
    assert household_start(name, random).sum() == pytest.approx(1)


def test_vectors_of_another_protocol_are_refused():
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        fit(ComparisonVectors(np.empty((0, 3), np.int8)), np.empty(0, np.intp), np.empty(0, np.intp))
    other = EvidenceAggregates(1, (), (0.4,) * 3)
    none = np.empty(0, np.intp)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        fit_match_model(
            ComparisonVectors(np.empty((0, 5), np.int8)),
            evidence(1),
            evidence(1),
            none,
            none,
            SPEC,
            (other, other),
        )


def test_patterns_of_other_pairs_or_fields_are_refused():
    none, both = np.empty(0, np.intp), (aggregates(1), aggregates(1))
    for states, of_pair in ((np.empty((0, 4), np.uint8), 0), (np.zeros((1, 5), np.uint8), 1)):
        patterns = PairPatterns(states, np.zeros(of_pair, np.uint32))
        with pytest.raises(NightlinkError, match="E-KERNEL-INPUT.*patterns of"):
            fit_patterns(patterns, none, none, (1, 1), SPEC, both, (COMPLETE, COMPLETE))
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT.*15 bands"):
        states_of_field(8, 15)


def test_pairs_out_of_range_are_refused():
    two = np.array([0, 5], np.intp)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        compare_pairs(evidence(2), evidence(2), two, two, SPEC, (0.4,) * 3)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        compare_pairs(evidence(2), evidence(2), two, two.astype(np.int32), SPEC, (0.4,) * 3)


def test_more_atoms_than_a_word_holds_are_refused():
    fields = tuple(f"field{i}" for i in range(70))
    spec = EvidenceSpec(fields, (), 0, (), (-1.5, 1.5), 5.0)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        evidence_masks(spec)


def test_near_means_less_than_half_of_the_bits():
    group = FilterGroup(name="g", fields=("given_name", "family_name"))
    assert near_threshold(group, 0.42, 5.0) == pytest.approx(0.43597, abs=1e-4)
    assert near_threshold(group, 0.42, 500.0) == 0.5


def test_without_rivals_the_models_posterior_stands():
    odds = PairOdds(np.array([9.0, 0.5]), np.array([0.9, 1 / 3]))
    index = np.array([0, 1], np.intp)
    links = link_probabilities(odds, index, index, np.zeros(2, np.uint64), 2, 2)
    assert links.probability.tolist() == [0.9, 1 / 3]


def test_rivals_of_confident_links_lower_what_is_as_low_as_they():
    linked, rivals, doubtful = 100, 60, 50
    a = np.concatenate([np.arange(linked), np.arange(rivals), np.arange(100, 100 + doubtful)]).astype(np.intp)
    b = np.concatenate([np.arange(linked), np.arange(200, 260), np.arange(100, 100 + doubtful)]).astype(
        np.intp
    )
    odds = np.concatenate([np.full(linked, 1e6), np.full(rivals, 3.0), np.full(doubtful, 3.0)])
    pairs = PairOdds(odds, compete(odds, a, b, 300, 300))
    links = link_probabilities(pairs, a, b, np.arange(len(a), dtype=np.uint64), 300, 300)
    sure = links.pairs < linked
    assert links.probability[sure] == pytest.approx(1.0, abs=0.01)  # one wrong link more than the rivals tell
    assert links.probability[~sure].max() < 0.25


def links_of(*probabilities):
    probability = np.array(probabilities, np.float64)
    return LinkProbabilities(np.arange(len(probability)), probability, np.arange(len(probability), 0.0, -1.0))


def test_among_links_of_one_probability_higher_odds_go_first():
    links = links_of(1.0, 1.0, 0.9, 0.9, 0.9)
    chosen = choose_threshold(links, 0.95)
    assert links_above(links, chosen).tolist() == [True, True, True, True, False]
    assert chosen.links == 4 and chosen.expected_precision == pytest.approx(0.95)


def test_a_target_that_cannot_be_held_is_told():
    chosen = choose_threshold(links_of(0.9, 0.8), 0.99)
    assert not chosen.reached and chosen.links == 0 and chosen.threshold > 1
    assert not links_above(links_of(0.9, 0.8), chosen).any()
    assert not choose_threshold(links_of(), 0.99).reached
    with pytest.raises(NightlinkError, match="E-INPUT"):
        choose_threshold(links_of(0.9), 1.0)
