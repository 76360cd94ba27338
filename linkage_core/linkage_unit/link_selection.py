"""Which pairs become links: how many links a record may have, and who settles conflicts. Zone: linkage_unit.

A protocol's ``decision.resolution`` says how many links a record of one custodian may have to another's records.
Where a record may have one only, its candidates compete for it; where it may have many, they do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.competition import MOST_MATCHED, compete
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one
from linkage_core.linkage_unit.optimal_one_to_one import OptimalSelection, optimal_one_to_one
from linkage_core.protocol.linkage_protocol import Resolution

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LEAST_SELECTED = 1e-7
"""Pairs below this posterior take no part in the resolution: most pairs, and no links."""
OPTIMAL_FROM = 0.01
"""Pairs below this posterior do not take part in the optimum, or everybody would be in one component; greedy goes
on among the records that are left."""


@dataclass(frozen=True)
class LinkLimits:
    """Whether a record of side A, and of side B, has at most one link."""

    one_a_record_of_a: bool
    one_a_record_of_b: bool


LIMITS: dict[Resolution, LinkLimits] = {
    "one_to_one": LinkLimits(True, True),
    "optimal_one_to_one": LinkLimits(True, True),
    "one_to_many": LinkLimits(False, True),
    "many_to_one": LinkLimits(True, False),
    "many_to_many": LinkLimits(False, False),
}


@dataclass(frozen=True)
class SelectedPairs:
    """Pairs that keep the limits.

    Attributes
    ----------
    pairs : ndarray of intp, shape (s,)
        Positions in the inputs, ascending.
    posterior : ndarray of float64, shape (m,)
        Of all pairs, after the competition that the limits ask for.
    optimum : OptimalSelection, optional
        What the optimal solver did, where it was asked.
    """

    pairs: Indices
    posterior: Floats = field(repr=False)
    optimum: OptimalSelection | None = None


def select_links(
    odds: PairOdds,
    index_a: Indices,
    index_b: Indices,
    tie_keys: npt.NDArray[np.uint64],
    records: tuple[int, int],
    resolution: Resolution,
) -> SelectedPairs:
    """Select pairs by posterior; ties go by the lower ``tie_keys``, so no row order enters.

    - ``one_to_one``: greedy, best pair first.
    - ``optimal_one_to_one``: the highest sum of posteriors (expected true links) among the pairs of at least
      :data:`OPTIMAL_FROM`, then greedy among what is left.
    - ``one_to_many``, ``many_to_one``: for each record that may have one link only, its best pair.
    - ``many_to_many``: every pair.

    Pairs below :data:`LEAST_SELECTED` take no part.
    """
    limits = LIMITS[resolution]
    both = limits.one_a_record_of_a and limits.one_a_record_of_b
    if both:
        posterior = odds.probability
    else:
        posterior = posteriors(unlimited_odds(odds, records, limits), index_a, index_b, records, limits)
    if resolution == "one_to_one":
        chosen = greedy_one_to_one(index_a, index_b, posterior, tie_keys, possible=LEAST_SELECTED)
        return SelectedPairs(chosen, posterior)
    if resolution == "optimal_one_to_one":
        return _optimal_then_greedy(index_a, index_b, posterior, tie_keys)
    entered = np.flatnonzero(posterior >= LEAST_SELECTED)
    if resolution == "many_to_many":
        return SelectedPairs(entered, posterior)
    single, other = (index_a, index_b) if limits.one_a_record_of_a else (index_b, index_a)
    order = entered[np.lexsort((other[entered], single[entered], tie_keys[entered], -posterior[entered]))]
    return SelectedPairs(np.sort(order[np.unique(single[order], return_index=True)[1]]), posterior)


def unlimited_odds(odds: PairOdds, records: tuple[int, int], limits: LinkLimits) -> Floats:
    """Odds of pairs under the limits: float64, shape (m,).

    The model's odds are against *two records that are nobody's* (``competition.prior_odds``). Where every record may
    have many links, being somebody's frees nobody from suspicion, and no rivals calibrate: the pair stands against
    all records of both sides, of which those that are nobody's are a part. With a limit on one side rivals calibrate
    the links, whatever the size of the odds.
    """
    if limits.one_a_record_of_a or limits.one_a_record_of_b:
        return odds.odds
    taken = MOST_MATCHED * float(odds.probability.sum())
    scales = [max(count - taken, 1.0) / max(count, 1) for count in records]
    return odds.odds * scales[0] * scales[1]


def posteriors(
    odds: Floats, index_a: Indices, index_b: Indices, records: tuple[int, int], limits: LinkLimits
) -> Floats:
    """Posteriors of pairs under the limits: float64, shape (m,).

    Where both sides have one link a record: :func:`linkage_core.linkage_unit.competition.compete`. Where one side
    has, a pair stands against its record's other pairs and against none; where neither has, against none.
    """
    if limits.one_a_record_of_a and limits.one_a_record_of_b:
        return compete(odds, index_a, index_b, *records)
    against = np.ones(len(odds))
    for limited, index, count in (
        (limits.one_a_record_of_a, index_a, records[0]),
        (limits.one_a_record_of_b, index_b, records[1]),
    ):
        if limited:
            # the pair's own odds stand in the sum; rounding must not let the rest fall below zero
            against += np.maximum(np.bincount(index, odds, count)[index] - odds, 0.0)
    posterior: Floats = odds / (odds + against)
    return posterior


def _optimal_then_greedy(
    index_a: Indices, index_b: Indices, posterior: Floats, tie_keys: npt.NDArray[np.uint64]
) -> SelectedPairs:
    optimum = optimal_one_to_one(index_a, index_b, posterior, tie_keys, possible=OPTIMAL_FROM)
    taken_a = np.zeros(int(index_a.max(initial=-1)) + 1, np.bool_)
    taken_b = np.zeros(int(index_b.max(initial=-1)) + 1, np.bool_)
    taken_a[index_a[optimum.selected]] = True
    taken_b[index_b[optimum.selected]] = True
    left = np.flatnonzero(~taken_a[index_a] & ~taken_b[index_b])
    rest = greedy_one_to_one(
        index_a[left], index_b[left], posterior[left], tie_keys[left], possible=LEAST_SELECTED
    )
    return SelectedPairs(np.sort(np.concatenate([optimum.selected, left[rest]])), posterior, optimum)
