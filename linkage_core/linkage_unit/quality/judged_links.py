"""What the estimators look at: judged pairs, and which of them are links and matches. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.link_probabilities import (
    CONFIDENT,
    ChosenThreshold,
    LinkProbabilities,
    Rivals,
    links_above,
    rivals_of,
)
from linkage_core.linkage_unit.link_selection import LIMITS
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.protocol.linkage_protocol import Resolution

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JudgedLinks:
    """A night's pairs and links between two custodians, before any truth.

    Attributes
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the pairs that were left to decide.
    passes : ndarray of uint32, shape (m,)
        The blocking passes that proposed each pair.
    tie_keys : ndarray of uint64, shape (m,)
    odds : PairOdds
        Of these pairs.
    links : LinkProbabilities
    threshold : ChosenThreshold
    records : two int
    """

    index_a: Indices = field(repr=False)
    index_b: Indices = field(repr=False)
    passes: npt.NDArray[np.uint32] = field(repr=False)
    tie_keys: npt.NDArray[np.uint64] = field(repr=False)
    odds: PairOdds = field(repr=False)
    links: LinkProbabilities = field(repr=False)
    threshold: ChosenThreshold
    records: tuple[int, int]
    resolution: Resolution = "one_to_one"

    @cached_property
    def matches(self) -> Indices:
        """Positions, among the pairs, of the links that are output as matches."""
        return self.links.pairs[links_above(self.links, self.threshold)]

    @cached_property
    def error_rates(self) -> Floats:
        """Of each match, the chance of being wrong."""
        return 1.0 - self.links.probability[links_above(self.links, self.threshold)]

    @cached_property
    def rivals(self) -> Rivals:
        """Pairs beside confident links that would be output as matches, were those links not there."""
        confident = self.links.pairs[self.links.posterior >= CONFIDENT]
        found = rivals_of(
            self.odds, confident, self.index_a, self.index_b, self.records, LIMITS[self.resolution]
        )
        high = found.posterior >= self.threshold.least_posterior
        return Rivals(found.pairs[high], found.posterior[high], found.scale)
