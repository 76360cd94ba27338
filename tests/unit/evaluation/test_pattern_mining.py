"""Pattern mining where the answer is known: names of few letters, whose q-grams have clear counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.bloom_filters import position_table
from linkage_core.custodian.diffusion import diffuse, diffusion_table
from linkage_core.evaluation.attacks import pattern_mining as mining
from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.known_people import (
    known_people,
    plain_filters,
    record_q_grams,
    same_value_classes,
)
from linkage_core.evaluation.attacks.pattern_mining import (
    CorrelatedColumns,
    RecordQGrams,
    largest_pattern,
    mine_patterns,
    pattern_mining,
)
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.linkage_protocol import FieldSpec

KEY, BITS_PER_Q_GRAM = b"k" * 32, 12
PEOPLE = 6_000


def crowd():
    """People of four letters each, some letters far commoner than others; every hundredth has no name."""
    letters = np.random.default_rng(2).choice(list("abcde"), (PEOPLE, 4), p=[0.4, 0.27, 0.17, 0.1, 0.06])
    names = [None if i % 100 == 0 else "".join(word) for i, word in enumerate(letters)]
    spec = FieldSpec(name="given_name", kind="name")
    return known_people(pa.RecordBatch.from_pydict({"given_name": pa.array(names, pa.utf8())}), (spec,))


def test_columns_of_q_grams_are_found_and_records_named():
    people = crowd()
    filters = plain_filters(people, KEY, 512, BITS_PER_Q_GRAM)
    population, classes = RecordQGrams(*record_q_grams(people)), same_value_classes(people)
    tokens = people.fields[0].q_grams.tokens
    true = position_table(derive_key(KEY, ("attacked", "given_name")), tokens, BITS_PER_Q_GRAM, 512)
    patterns = mine_patterns(filters, BITS_PER_Q_GRAM, population)
    assert len(patterns) >= 5
    for gram, columns in patterns.items():
        assert set(columns) <= set(true[gram, :BITS_PER_Q_GRAM].tolist())
    everybody = np.flatnonzero(people.fields[0].value_of_row >= 0)
    outcome = pattern_mining(filters, BITS_PER_Q_GRAM, population, classes, everybody, everybody)
    assert outcome.success > 0.02 and outcome.right > 0.9 * outcome.guesses, outcome


def test_diffused_filters_have_no_patterns():
    people = crowd()
    filters = plain_filters(people, KEY, 512, BITS_PER_Q_GRAM)
    diffused = diffuse(filters, diffusion_table(KEY, 512, 1024, 8))
    population, everybody = RecordQGrams(*record_q_grams(people)), np.arange(people.rows)
    found = pattern_mining(
        diffused, BITS_PER_Q_GRAM, population, same_value_classes(people), everybody, everybody
    )
    assert found == AttackOutcome(0, people.rows, 0)


def test_counts_and_members_of_the_list():
    people = crowd()
    population = RecordQGrams(*record_q_grams(people))
    some = np.array([5, 3, 8])
    assert population.counts(some).sum() == sum(np.diff(population.starts)[some])
    members = np.stack([population.members(gram) for gram in range(population.count)])
    assert (members.sum(axis=1) == population.counts(np.arange(people.rows))).all()


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_planted_pattern_is_the_largest(noise):
    draw = np.random.default_rng(3)
    bits = (draw.random((3_000, 64)) < noise).astype(np.uint8)
    bits[:1_000, 10:20] = 1
    columns = CorrelatedColumns.of(bits)
    assert largest_pattern(columns, (980, 1_020), 20).tolist() == list(range(10, 20))
    assert largest_pattern(columns, (1_900, 2_100), 20).tolist() == []


def test_a_broken_off_search_keeps_what_it_has(monkeypatch):
    people = crowd()
    filters = plain_filters(people, KEY, 512, BITS_PER_Q_GRAM)
    monkeypatch.setattr(mining, "MOST_PARTITIONS", 2)
    assert len(mine_patterns(filters, BITS_PER_Q_GRAM, RecordQGrams(*record_q_grams(people)))) == 1
