"""Kernels of the evidence agree with their slow twins, on inputs that hypothesis makes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.diffusion import diffuse, diffusion_table
from linkage_core.custodian.field_aggregates import near_values
from linkage_core.custodian.field_columns import FieldColumn
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.linkage_unit.comparison_vectors import (
    compare_pairs,
    equal_pairs,
    near_pairs,
    near_threshold,
)
from linkage_core.linkage_unit.competition import MOST_SWEEPS, compete, expect_patterns, pass_messages
from linkage_core.linkage_unit.link_probabilities import (
    LinkProbabilities,
    _pool_adjacent,
    choose_threshold,
    links_above,
    local_error_rates,
)
from linkage_core.linkage_unit.pair_patterns import find_patterns, merge_patterns
from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.evidence_spec import CORE_FIELDS, IMPLIED_CODES
from linkage_core.protocol.linkage_protocol import FieldSpec
from tests.reference.evidence_reference import (
    slow_diffuse,
    slow_isotonic,
    slow_known,
    slow_level,
    slow_matchings,
    slow_messages,
    slow_near,
    slow_patterns,
    slow_q_gram_differences,
)
from tests.reference.evidence_specs import evidence_over

PATIENT = settings(deadline=None, max_examples=40)  # the first example compiles
FIELDS = ("given_name", "middle_name", "family_name", "birth_date", "sex", "street", "postcode")
SPEC = evidence_over(FIELDS)


@PATIENT
@given(st.integers(0, 2**32 - 1), st.integers(0, 130), st.sampled_from([1, 3, 8]))
def test_diffusion_agrees_with_parities_bit_by_bit(seed, rows, terms):
    filters = np.random.default_rng(seed).integers(0, 2**64, (rows, 2), np.uint64)
    table = diffusion_table(seed.to_bytes(32, "little"), 128, 192, terms)
    expected = [slow_diffuse(row, table) for row in filters[:3]]
    assert diffuse(filters, table)[:3].tolist() == expected
    assert np.array_equal(diffuse(filters[::-1], table), diffuse(filters, table)[::-1])


@PATIENT
@given(st.integers(0, 2**32 - 1))
def test_diffusion_is_linear_and_its_rows_distinct(seed):
    table = diffusion_table(seed.to_bytes(32, "little"), 512, 128, 8)
    assert all(len(set(row)) == 8 for row in table.tolist())
    a, b = np.random.default_rng(seed).integers(0, 2**64, (2, 5, 8), np.uint64)
    assert np.array_equal(diffuse(a ^ b, table), diffuse(a, table) ^ diffuse(b, table))


@PATIENT
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=8))
def test_near_values_are_those_whose_sets_of_q_grams_differ_little(texts):
    values = pa.array(sorted(set(texts)))
    spec = FieldSpec(name="family_name", kind="name")
    column = FieldColumn(np.arange(len(values)), values)
    q = value_q_grams(values, spec)
    sets = [set(q.tokens[q.gram_ids[q.starts[v] : q.starts[v + 1]]].tolist()) for v in range(len(values))]
    first, second = np.divmod(np.arange(len(values) ** 2, dtype=np.int32), len(values))
    differences = [slow_q_gram_differences(sets[i], sets[j]) for i, j in zip(first, second, strict=True)]
    for limit in (1.0, 4.5, 5.0):
        near = near_values(column, spec, first, second, limit)
        assert near.tolist() == [difference < limit for difference in differences]


def _random_evidence(generator, rows):
    tokens = generator.integers(0, 3, (rows, len(SPEC.tokens))).astype(np.uint64)
    filters = tuple(
        np.repeat(generator.integers(0, 2, (rows, 1)), 32, axis=1).astype(np.uint64) for _ in SPEC.groups
    )
    rarity = generator.integers(0, 4, (rows, len(FIELDS))).astype(np.uint8)
    return EncodedEvidence(tokens, filters, rarity, generator.integers(0, 4, rows).astype(np.uint8))


@PATIENT
@given(st.integers(0, 2**32 - 1))
def test_levels_agree_with_sets_of_known_atoms(seed):
    generator = np.random.default_rng(seed)
    a, b = _random_evidence(generator, 4), _random_evidence(generator, 4)
    # few agreements, or everything is known of every pair
    a.tokens[generator.random(a.tokens.shape) < 0.8] = 0
    i, j = (index.astype(np.intp) for index in np.divmod(np.arange(16), 4))
    fill = (0.4,) * len(SPEC.groups)
    near = near_pairs(a, b, i, j, SPEC, fill)
    for g, group in enumerate(SPEC.groups):
        limit = near_threshold(group, 0.4, SPEC.near_q_grams) * group.sent_bits
        filters = a.group_filters[g], b.group_filters[g]
        expected = [slow_near(filters[0][x], filters[1][y], limit) for x, y in zip(i, j, strict=True)]
        assert near[:, g].tolist() == expected
    equal = equal_pairs(a, b, i, j, near)
    for g, (filters_a, filters_b) in enumerate(zip(a.group_filters, b.group_filters, strict=True)):
        same = [filters_a[i[k]].any() and np.array_equal(filters_a[i[k]], filters_b[j[k]]) for k in range(16)]
        assert equal[:, g].tolist() == same
    levels = compare_pairs(a, b, i, j, SPEC, fill).levels
    for k in range(16):
        known = slow_known(a.tokens[i[k]], b.tokens[j[k]], near[k], equal[k], SPEC, IMPLIED_CODES)
        for f, field in enumerate(FIELDS):
            names = SPEC.level_names(field)
            got = names[levels[k, f]] if levels[k, f] >= 0 else None
            if field == "sex" or got in ("swapped", "swapped_sound"):
                continue
            swapped = field == "family_name" and levels[k, 0] >= len(names)
            present = a.rarity[i[k], f] > 0 and b.rarity[j[k], f] > 0
            if not swapped and not (field == "family_name" and got is None):
                tokens = a.tokens[i[k]], b.tokens[j[k]]
                expected = slow_level(field, known, SPEC, present, CORE_FIELDS, *tokens)
                assert got == expected


@PATIENT
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_levels_do_not_depend_on_threads_or_order(seed, threads):
    generator = np.random.default_rng(seed)
    a, b = _random_evidence(generator, 5), _random_evidence(generator, 5)
    i, j = generator.integers(0, 5, (2, 40)).astype(np.intp)
    whole = compare_pairs(a, b, i, j, SPEC, (0.4,) * 3, threads=1).levels
    assert np.array_equal(compare_pairs(a, b, i, j, SPEC, (0.4,) * 3, threads=threads).levels, whole)
    turned = compare_pairs(a, b, i[::-1].copy(), j[::-1].copy(), SPEC, (0.4,) * 3).levels
    assert np.array_equal(turned, whole[::-1])


PAIRS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1e4)), max_size=9, unique_by=lambda p: p[:2]
)


@PATIENT
@given(PAIRS)
def test_competition_agrees_with_messages_sent_pair_by_pair(pairs):
    i, j = (np.array([p[s] for p in pairs], np.intp) for s in (0, 1))
    odds = np.array([p[2] for p in pairs])
    expected = slow_messages(odds, i, j, MOST_SWEEPS)
    got = compete(odds, i, j, 4, 4)
    assert got.tolist() == pytest.approx(expected, abs=1e-3)
    assert np.bincount(i, got, 4).max() <= 1 + 1e-9
    distinct, of_pair = np.unique(odds, return_inverse=True)
    graph = (distinct, of_pair.astype(np.uint32), i, j, (4, 4), np.ones(len(odds)))
    pass_messages(*graph)
    sums = expect_patterns(*graph)
    by_pattern = [sum(p for p, o in zip(got, odds, strict=True) if o == own) for own in distinct]
    assert sums.tolist() == pytest.approx(by_pattern, abs=1e-9)


@PATIENT
@given(PAIRS)
def test_without_circles_competition_is_exact(pairs):
    tree, group = [], {("a", n): ("a", n) for n in range(4)} | {("b", n): ("b", n) for n in range(4)}
    for i, j, weight in pairs:
        if group["a", i] != group["b", j]:
            old, new = group["a", i], group["b", j]
            group = {node: new if root == old else root for node, root in group.items()}
            tree.append((i, j, weight))
    i, j = (np.array([p[s] for p in tree], np.intp) for s in (0, 1))
    odds = np.array([p[2] for p in tree])
    assert compete(odds, i, j, 4, 4).tolist() == pytest.approx(slow_matchings(odds, i, j), abs=1e-4)


@PATIENT
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 30), st.integers(1, 5))
def test_patterns_are_the_distinct_states_in_order_however_pairs_are_cut(seed, pairs, fields, chunk):
    generator = np.random.default_rng(seed)
    counts, bands = generator.integers(2, 9, fields).tolist(), 8  # thirty such fields outgrow a word
    levels = (generator.integers(-1, counts, (pairs, fields)) * generator.integers(0, 2)).astype(np.int8)
    bands_a, bands_b = generator.integers(0, bands + 1, (2, pairs, fields)).astype(np.uint8)
    expected = slow_patterns(levels, bands_a, bands_b, counts, bands)
    whole = find_patterns(levels, bands_a, bands_b, counts, bands)
    assert list(map(tuple, whole.states.tolist())) == sorted(set(expected))
    assert list(map(tuple, whole.states[whole.of_pair].tolist())) == expected
    parts = [
        find_patterns(levels[s], bands_a[s], bands_b[s], counts, bands)
        for s in (slice(n, n + chunk) for n in range(0, pairs, chunk))
    ]
    merged = merge_patterns(parts, fields)
    assert np.array_equal(merged.states, whole.states) and np.array_equal(merged.of_pair, whole.of_pair)


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=10))
def test_pooling_agrees_with_the_min_max_formula(blocks):
    wrong, links = (np.array([block[s] for block in blocks], np.float64) for s in (0, 1))
    assert _pool_adjacent(wrong, links).tolist() == pytest.approx(slow_isotonic(wrong, links))


@PATIENT
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.lists(st.integers(1, 9), max_size=30),
    st.floats(0, 2),
)
def test_error_rates_rise_as_odds_fall(links, rivals, scale):
    odds = np.array(links, np.float64)
    rates = local_error_rates(odds, np.array(rivals, np.float64), scale)
    ranked = rates[np.argsort(-odds, kind="stable")]
    assert np.all(np.diff(ranked) >= -1e-12)
    assert rates.min() >= 0 and rates.max() <= 1


@PATIENT
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), max_size=30), st.floats(0.01, 0.99))
def test_a_chosen_threshold_holds_its_target_and_is_the_lowest_to_do_so(drawn, target):
    probability, odds = (np.array([link[s] for link in drawn], np.float64) for s in (0, 1))
    links = LinkProbabilities(np.arange(len(drawn)), probability, odds)
    chosen = choose_threshold(links, target)
    out = probability[links_above(links, chosen)]
    assert len(out) == chosen.links
    assert chosen.reached == (len(out) > 0)
    if chosen.reached:
        assert out.mean() >= target - 1e-12
    for lower in probability[(probability < chosen.threshold) & (probability >= 0.5)]:
        assert probability[probability >= lower].mean() < target + 1e-12
