"""The gates of every change: what the default encoding must withstand, and what plain filters must not.

The positive control is half of the test. If plain filters stop falling, the attack code is broken and the other
half says nothing. 5,000 generated people; the attacker owns the victim's own file, the worst case.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.frequency_alignment import filter_words, frequency_alignment
from linkage_core.evaluation.attacks.graph_matching_light import graph_matching_light
from linkage_core.evaluation.attacks.hardenings import (
    PAIR_BITS,
    PAIR_BITS_PER_Q_GRAM,
    PAIR_FIELD_BITS,
    PAIRS,
    Hardening,
    pair_filters,
    plain,
)
from linkage_core.evaluation.attacks.insider_dictionary import insider_dictionary
from linkage_core.evaluation.attacks.known_people import q_gram_indicators, same_value_classes
from linkage_core.evaluation.attacks.known_plaintext_ridge import PopulationList, known_plaintext_ridge
from tests.benchmarks.attacked_columns import evidence_columns, frequency_by_column
from tests.benchmarks.attacked_registers import (
    PROTOCOL,
    Registers,
    blocking_columns,
    candidate_pairs,
    generated_registers,
    linkage_quality_of,
    new_key,
)

PEOPLE, KNOWN, TARGETS = 5_000, 2_000, 1_500
DEFAULT, CONTROL = pair_filters(terms=8), plain()
MOST_SUCCESS, LEAST_CONTROL, MOST_RECALL_LOST = 0.01, 0.95, 0.01


@cache
def registers() -> Registers:
    return generated_registers(PEOPLE, seed=11)


def test_the_default_is_what_is_deployed():
    assert sorted(group.fields for group in PROTOCOL.evidence.filters) == sorted(PAIRS)
    for group in PROTOCOL.evidence.filters:
        sizes = group.bits, group.bits_per_q_gram, group.field_bits, group.terms, group.sent_bits
        assert sizes == (PAIR_BITS, PAIR_BITS_PER_Q_GRAM, PAIR_FIELD_BITS, 8, 2048)
        assert (group.hardening, group.salt, PROTOCOL.unsafe) == ("diffusion", None, False)


def attack_by_ridge(hardening: Hardening) -> AttackOutcome:
    people = registers().both.take(registers().rows_a)
    population = PopulationList(q_gram_indicators(people), same_value_classes(people))
    order = np.random.default_rng(1).permutation(PEOPLE)
    known, targets = order[:KNOWN], order[-TARGETS:]
    encoded = hardening.encode(people, new_key("victim", 1))
    return known_plaintext_ridge([encoded], population, (known, known), (targets, targets))


def attack_by_graph(hardening: Hardening) -> AttackOutcome:
    people = registers().both.take(registers().rows_a)
    victim, attacker = (hardening.encode(people, new_key(who, 1)) for who in ("victim", "attacker"))
    return graph_matching_light(victim, attacker, registers().rows_a, same_value_classes(people))


@pytest.mark.parametrize("attack", [attack_by_ridge, attack_by_graph])
def test_the_default_withstands_what_plain_filters_do_not(attack):
    control, default = attack(CONTROL), attack(DEFAULT)
    assert control.success >= LEAST_CONTROL, f"positive control: the attack is broken ({control})"
    assert default.success <= MOST_SUCCESS, f"{default}, {default.interval}"


def test_counts_of_equal_filters_tell_nothing():
    people = registers().both.take(registers().rows_a)
    words = filter_words([DEFAULT.encode(people, new_key("victim", 1)).packed])
    assert frequency_alignment(words, words, words).success <= MOST_SUCCESS


@pytest.mark.parametrize("encode", [blocking_columns, evidence_columns])
def test_counts_of_equal_values_tell_little(encode):
    """Each column alone, with another file as auxiliary. Together they tell far more: `make attack-table`."""
    world = registers()
    victim, same = (encode(world.side_a, new_key(who, 1)) for who in ("victim", "attacker"))
    other = encode(world.side_b, new_key("attacker", 1))
    assert max(by_other.success for _, by_other in frequency_by_column(victim, same, other)) <= MOST_SUCCESS


def test_hardening_costs_little_recall():
    """Against the plain record-level filter, and against the same three filters before diffusion."""
    candidates = candidate_pairs(registers())
    control, before, default = (
        linkage_quality_of(hardening, registers(), candidates, 1).recall_at_precision_99
        for hardening in (CONTROL, pair_filters(terms=1), DEFAULT)
    )
    assert default >= max(control, before) - MOST_RECALL_LOST, (control, before, default)
    assert min(control, before) > 0.7, (control, before)


def test_who_holds_the_key_reads_everything():
    """The reason for the separation of keys, not a fault of the encoding."""
    world, key = registers(), new_key("victim", 1)
    encoded = DEFAULT.encode(world.both, key)
    classes = same_value_classes(world.both.take(world.rows_b))
    outcome = insider_dictionary(
        encoded.take(world.rows_a), encoded.take(world.rows_b), world.entry_of_a, classes
    )
    assert outcome.success > 0.9
