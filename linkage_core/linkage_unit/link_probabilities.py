"""Probabilities of links that hold what they say, and a threshold chosen without truth. Zone: linkage_unit.

The model's posterior ranks pairs well, but its fields are not independent, so its size is only about right.
The night's own data correct it: once a record has its confident match, its **other** candidates are certain to be
wrong, and the posteriors that those would reach, were the confident links not there, show how high wrong pairs
reach. (The same idea estimates false discovery rates in other fields by decoys: Elias and Gygi 2007,
doi:10.1038/nmeth1019, and by knockoffs, whose extra unit of one at the top is taken over: Barber and Candes 2015,
doi:10.1214/15-AOS1337; the empirical null: Efron 2004, doi:10.1198/016214504000000089.)

With a share ``a`` of side A and ``b`` of side B confidently linked, a wrong pair touches no confident record
with chance (1 - a)(1 - b), so the wrong pairs that may be output are to those seen beside confident links as
(1 - a)(1 - b) to 1 - (1 - a)(1 - b).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_selection import (
    LIMITS,
    LinkLimits,
    posteriors,
    select_links,
    unlimited_odds,
)
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.optimal_one_to_one import OptimalSelection
from linkage_core.protocol.linkage_protocol import Resolution

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

CONFIDENT = 0.9
"""Posterior from which a link is taken for true when its rivals are counted."""
LEAST_PROBABILITY = 0.5
"""No link less probable than this is output, whatever the mean of all would allow."""
LEAST_POSTERIOR = 0.02
"""The model itself must give a link this much: it guards nights without rivals to count."""
ENOUGH_RIVALS = 20.0
"""Expected wrong links weigh in by counts; with fewer rivals than this in all, the model's posterior stands."""


@dataclass(frozen=True)
class Rivals:
    """Pairs that are certain to be wrong, since one of their records has its confident match.

    Attributes
    ----------
    pairs : ndarray of intp, shape (r,)
        Positions among the candidates, ascending.
    posterior : ndarray of float64, shape (r,)
        What they would reach, were the confident links not there.
    scale : float
        Wrong links that each of them stands for.
    """

    pairs: Indices
    posterior: Floats = field(repr=False)
    scale: float


@dataclass(frozen=True)
class LinkProbabilities:
    """Links that keep the resolution's limits, each with a calibrated probability.

    Attributes
    ----------
    pairs : ndarray of intp, shape (links,)
        Positions of the selected pairs, ascending; one-to-one, no record is in two of them.
    probability : ndarray of float64, shape (links,)
        Chance that the link is true. Many links share one value; among them, the higher posterior goes first.
    posterior : ndarray of float64, shape (links,)
        The model's, after competition.
    optimum : OptimalSelection, optional
        What the optimal solver did, where the protocol asks for it.
    """

    pairs: Indices
    probability: Floats = field(repr=False)
    posterior: Floats = field(repr=False)
    optimum: OptimalSelection | None = None


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and what it promises.

    Attributes
    ----------
    threshold, least_posterior : float
        Links above this probability are output, and those that have just this one if they have at least this
        posterior; above 1.0 when none can be.
    links : int
    expected_precision : float
        Mean probability of the links output; 0.0 without any.
    expected_recall : float
        Expected true links output, of all expected among the links; 0.0 without any.
    reached : bool
        False when no threshold holds the target: nothing is output, loudly.
    """

    threshold: float
    least_posterior: float
    links: int
    expected_precision: float
    expected_recall: float
    reached: bool


def link_probabilities(
    odds: PairOdds,
    index_a: Indices,
    index_b: Indices,
    tie_keys: npt.NDArray[np.uint64],
    records_a: int,
    records_b: int,
    resolution: Resolution = "one_to_one",
) -> LinkProbabilities:
    """Resolve by posterior (:func:`select_links`), and calibrate the links by the rivals of confident ones.

    Ties go by ``tie_keys``: no row order enters. A better posterior never gets a lower probability. Where a record
    may have many links, the other candidates of a linked one are no proof of error and are not counted; with
    ``many_to_many`` the model's posterior stands.
    """
    found = select_links(odds, index_a, index_b, tie_keys, (records_a, records_b), resolution)
    selected, posterior = found.pairs, found.posterior[found.pairs]
    confident = selected[posterior >= CONFIDENT]
    rivals = rivals_of(odds, confident, index_a, index_b, (records_a, records_b), LIMITS[resolution])
    if len(rivals.pairs) < ENOUGH_RIVALS:
        return LinkProbabilities(selected, posterior, posterior, found.optimum)
    probability = 1.0 - local_error_rates(posterior, rivals.posterior, rivals.scale)
    probability[posterior < LEAST_POSTERIOR] = 0.0
    return LinkProbabilities(selected, probability, posterior, found.optimum)


def local_error_rates(link_scores: Floats, rival_scores: Floats, scale: float) -> Floats:
    """Expected wrong links per link, near each link's score.

    From score ``s`` on there are ``n(s)`` links, of which ``scale`` times the rivals from ``s`` on, and one more,
    are expected to be wrong; the rate is the slope of the greatest convex curve below that count, which makes it
    rise as scores fall (pool adjacent violators: Barlow, Bartholomew, Bremner and Brunk 1972).

    Parameters
    ----------
    link_scores : ndarray of float64, shape (links,)
    rival_scores : ndarray of float64, shape (rivals,)
    scale : float
        Wrong links for each rival.

    Returns
    -------
    ndarray of float64, shape (links,)
        In [0, 1]; equal scores get equal rates.
    """
    distinct, of_link, links = np.unique(-link_scores, return_inverse=True, return_counts=True)
    above = 1 + np.searchsorted(np.sort(-rival_scores), distinct, side="right")
    wrong = scale * np.diff(above, prepend=0)
    rates: Floats = np.clip(_pool_adjacent(wrong, links.astype(np.float64)), 0.0, 1.0)[of_link]
    return rates


def choose_threshold(links: LinkProbabilities, target_precision: float) -> ChosenThreshold:
    """The lowest threshold above which the links' mean probability holds the target.

    Links of equal probability and posterior enter together.

    Parameters
    ----------
    links : LinkProbabilities
    target_precision : float
        In (0, 1).

    Raises
    ------
    NightlinkError
        E-INPUT when the target is no precision.
    """
    if not 0.0 < target_precision < 1.0:
        raise NightlinkError(
            "E-INPUT", found="a target precision outside 0 to 1", expected="such as 0.99",
            remedy="Give a target between 0 and 1.",
        )  # fmt: skip
    order = np.lexsort((-links.posterior, -links.probability))
    probability, posterior = links.probability[order], links.posterior[order]
    means = np.cumsum(probability) / np.arange(1, len(order) + 1)
    is_last = np.append((np.diff(probability) != 0) | (np.diff(posterior) != 0), True)[: len(order)]
    holds = np.flatnonzero((means >= target_precision) & (probability >= LEAST_PROBABILITY) & is_last)
    if not len(holds):
        return ChosenThreshold(2.0, np.inf, 0, 0.0, 0.0, reached=False)
    end = int(holds[-1])
    recall = float(probability[: end + 1].sum() / max(probability.sum(), 1e-12))
    return ChosenThreshold(
        float(probability[end]), float(posterior[end]), end + 1, float(means[end]), recall, reached=True
    )


def links_above(links: LinkProbabilities, chosen: ChosenThreshold) -> npt.NDArray[np.bool_]:
    """Which links are output: bool, shape (links,)."""
    at_threshold = (links.probability == chosen.threshold) & (links.posterior >= chosen.least_posterior)
    above: npt.NDArray[np.bool_] = (links.probability > chosen.threshold) | at_threshold
    return above


def rivals_of(
    odds: PairOdds,
    confident: Indices,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    limits: LinkLimits,
) -> Rivals:
    """All pairs beside confident links, as they would stand without those."""
    linked_a, linked_b = np.zeros(records[0], np.bool_), np.zeros(records[1], np.bool_)
    linked_a[index_a[confident]] = limits.one_a_record_of_a
    linked_b[index_b[confident]] = limits.one_a_record_of_b
    is_rival = linked_a[index_a] | linked_b[index_b]
    is_rival[confident] = False
    free = float((1.0 - linked_a.mean()) * (1.0 - linked_b.mean())) if all(records) else 0.0
    others = unlimited_odds(odds, records, limits).copy()
    others[confident] = 0.0
    reached = posteriors(others, index_a, index_b, records, limits)
    return Rivals(np.flatnonzero(is_rival), reached[is_rival], free / max(1.0 - free, 1e-12))


def _pool_adjacent(wrong: Floats, links: Floats) -> Floats:
    """Isotonic (rising) rates wrong / links, pooled over neighbours that fall."""
    pooled: list[list[float]] = []  # wrong, links, places
    for w, n in zip(wrong.tolist(), links.tolist(), strict=True):
        pooled.append([w, n, 1])
        while len(pooled) > 1 and pooled[-2][0] * pooled[-1][1] >= pooled[-1][0] * pooled[-2][1]:
            last = pooled.pop()
            pooled[-1] = [pooled[-1][i] + last[i] for i in range(3)]
    return np.repeat([w / n for w, n, _ in pooled], [int(places) for _, _, places in pooled])
