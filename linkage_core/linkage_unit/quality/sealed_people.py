"""Precision and recall from people who do not exist: null people and canary pairs. Zone: linkage_unit.

The custodians add them, and who they are is known when the links are committed. A **null person** has nobody to be
linked to, as the real records without a match have. Say w wrong matches are among the real ones; then of the
U = n - (matches - w) real records of a side that have no right match, w have a wrong one, and a null person of that
side is matched with the same chance w / U. Both sides tell of the same w, so that their counts are added:
k null people matched, with mean w (N_a / U_a + N_b / U_b).

Trust it as far as null people resemble the records without a match. They are made of a custodian's own values and
households, but nobody's twin, parent or namesake was left out for them: **wrong matches between relatives, of whom one
is at each custodian only, are told too rarely.** A **canary pair** is a person at both custodians, with errors that
were made up: it tells the recall of such pairs, **an upper bound** of that of others wherever it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.linkage_unit.quality.estimate import (
    Estimate,
    estimate_within,
    predicted_interval,
    wilson_interval,
)

NULL_PEOPLE, CANARY_PAIRS = "null_people", "canary_pairs"


@dataclass(frozen=True)
class SealedCounts:
    """What became of them between two custodians.

    Attributes
    ----------
    records : (int, int)
        Real records of each side.
    matches : int
        Matches of two real records.
    nulls, nulls_matched : (int, int)
        Null people of each side, and those of them that were matched with a real record.
    pairs, pairs_matched : int
        Canary pairs, and those that were matched with each other.
    """

    records: tuple[int, int]
    matches: int
    nulls: tuple[int, int]
    nulls_matched: tuple[int, int]
    pairs: int
    pairs_matched: int


def precision_by_null_people(counts: SealedCounts) -> Estimate | None:
    """Precision of the real matches; ``basis`` is how many null people there were. None without any, or matches."""
    if not counts.matches or not sum(counts.nulls):
        return None
    matched = sum(counts.nulls_matched)
    wrong = matched * _stands_for(counts, 0.0)
    wrong = min(
        matched * _stands_for(counts, wrong), counts.matches
    )  # once more: wrong ones have no right match
    scale = _stands_for(counts, wrong)
    low, high = predicted_interval(matched, scale)
    share = [1.0 - count / counts.matches for count in (wrong, high, low)]
    return estimate_within(share[0], share[1], share[2], sum(counts.nulls))


def _stands_for(counts: SealedCounts, wrong: float) -> float:
    """Wrong matches among the real ones for each null person that was matched."""
    exposure = 0.0
    for records, nulls in zip(counts.records, counts.nulls, strict=True):
        without = max(records - counts.matches + wrong, 1.0)
        exposure += nulls / without
    return 1.0 / exposure


def recall_by_canaries(counts: SealedCounts) -> Estimate | None:
    """The share of canary pairs that were matched, with Wilson's interval; None without pairs."""
    if not counts.pairs:
        return None
    low, high = wilson_interval(counts.pairs_matched, counts.pairs)
    return estimate_within(counts.pairs_matched / counts.pairs, low, high, counts.pairs)
