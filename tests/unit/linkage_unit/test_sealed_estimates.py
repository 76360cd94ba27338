"""What null people and canary pairs tell of precision and recall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from linkage_core.linkage_unit.quality.sealed_people import (
    SealedCounts,
    precision_by_null_people,
    recall_by_canaries,
)

NIGHT = SealedCounts((10_000, 12_000), 6_000, (200, 200), (2, 1), 150, 141)


def test_null_people_stand_for_records_without_a_match() -> None:
    """3 of the null people were matched; real records without a match are 20 and 30 times as many on each side."""
    found = precision_by_null_people(NIGHT)
    assert found is not None
    assert found.value == pytest.approx(1 - 3 / (200 / 4_000 + 200 / 6_000) / 6_000, abs=2e-4)
    assert found.low < found.value < found.high
    assert found.basis == 400


def test_no_null_person_matched_says_little() -> None:
    """Not that no link is wrong: as many as a few null people stand for may be."""
    found = precision_by_null_people(replace(NIGHT, nulls_matched=(0, 0)))
    assert found is not None
    assert found.value == 1.0
    assert found.low < 0.996


def test_one_side_alone_tells_as_well() -> None:
    found = precision_by_null_people(replace(NIGHT, nulls=(0, 200), nulls_matched=(0, 1)))
    assert found is not None
    assert found.value == pytest.approx(1 - 6_000 / 200 / 6_000, abs=5e-4)


@pytest.mark.parametrize("night", [replace(NIGHT, nulls=(0, 0)), replace(NIGHT, matches=0)])
def test_without_null_people_or_matches_nothing_is_told(night: SealedCounts) -> None:
    assert precision_by_null_people(night) is None


def test_canaries_tell_a_share_of_pairs() -> None:
    found = recall_by_canaries(NIGHT)
    assert found is not None
    assert found.value == pytest.approx(0.94)
    assert 0.88 < found.low < 0.94 < found.high < 0.98
    assert recall_by_canaries(replace(NIGHT, pairs=0)) is None


def test_intervals_cover_where_null_people_are_like_the_unmatched() -> None:
    """Draw wrong matches and null people from the same chance: 95% intervals hold the truth as often."""
    generator, covered = np.random.default_rng(5), 0
    for _ in range(200):
        chance = generator.uniform(0.0005, 0.02)
        wrong = generator.poisson(chance * 4_000)
        counts = replace(
            NIGHT, matches=6_000 + wrong, nulls_matched=(generator.binomial(200, chance), 0), nulls=(200, 0)
        )
        found = precision_by_null_people(counts)
        assert found is not None
        covered += found.low <= 1 - wrong / counts.matches <= found.high
    assert covered >= 185
