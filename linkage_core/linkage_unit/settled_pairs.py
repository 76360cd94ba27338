"""From the candidates' odds to links that keep the protocol's limits, each with its probability. Zone: linkage_unit.

Known links come first: pairs that they settle, and rivals of theirs, take no part. The rest is resolved by posterior
(:mod:`~linkage_core.linkage_unit.link_probabilities`); ties go by a keyed hash of the two pseudonyms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.known_links import PlacedLinks, free_pairs
from linkage_core.linkage_unit.link_probabilities import LinkProbabilities, link_probabilities
from linkage_core.linkage_unit.link_selection import LEAST_SELECTED, LIMITS
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.one_to_one import pair_tie_keys
from linkage_core.protocol.linkage_protocol import LinkageProtocol

Indices = npt.NDArray[np.intp]
Pseudonyms = tuple[npt.NDArray[np.void], npt.NDArray[np.void]]


@dataclass(frozen=True)
class SettledPairs:
    """Links among the candidates.

    Attributes
    ----------
    links : LinkProbabilities
        ``pairs`` are positions among all candidates.
    tie_keys : ndarray of uint64, shape (links,)
    """

    links: LinkProbabilities
    tie_keys: npt.NDArray[np.uint64] = field(repr=False)


def settle_pairs(
    index_a: Indices,
    index_b: Indices,
    odds: PairOdds,
    pseudonyms: Pseudonyms,
    known: PlacedLinks | None,
    protocol: LinkageProtocol,
) -> SettledPairs:
    """Resolve the candidates that known links leave open, as the protocol's resolution says.

    Parameters
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the candidates, each pair once.
    odds : PairOdds
        Of the same pairs.
    pseudonyms : two ndarrays of V16
        All records' of the two sides.
    known : PlacedLinks, optional
    """
    rules, at = protocol.decision, None
    if known is not None:
        at = free_pairs(index_a, index_b, known, LIMITS[rules.resolution])
        index_a, index_b = index_a[at], index_b[at]
        odds = PairOdds(odds.odds[at], odds.probability[at])
    ties = _tie_keys(index_a, index_b, odds, pseudonyms, protocol)
    records = (len(pseudonyms[0]), len(pseudonyms[1]))
    links = link_probabilities(odds, index_a, index_b, ties, *records, rules.resolution)
    placed = links if at is None else replace(links, pairs=at[links.pairs])
    return SettledPairs(placed, ties[links.pairs])


def tie_keys_of(
    index_a: Indices, index_b: Indices, pseudonyms: Pseudonyms, protocol: LinkageProtocol
) -> npt.NDArray[np.uint64]:
    """Tie keys of pairs, seeded by the project: a night that is run again decides alike."""
    return pair_tie_keys(pseudonyms[0][index_a], pseudonyms[1][index_b], seed=protocol.project.encode())


def _tie_keys(
    index_a: Indices, index_b: Indices, odds: PairOdds, pseudonyms: Pseudonyms, protocol: LinkageProtocol
) -> npt.NDArray[np.uint64]:
    """Tie keys of the pairs that may enter the resolution; 0 for the many that do not.

    Without competition a pair's posterior is higher than with it, so its odds decide whether it may.
    """
    limits = LIMITS[protocol.decision.resolution]
    competing = limits.one_a_record_of_a and limits.one_a_record_of_b
    keys = np.zeros(len(index_a), np.uint64)
    entered = np.flatnonzero((odds.probability if competing else odds.odds) >= LEAST_SELECTED)
    keys[entered] = tie_keys_of(index_a[entered], index_b[entered], pseudonyms, protocol)
    return keys
