"""From probabilities to words: decisions, score bands and a histogram. Zone: linkage_unit.

Two thresholds split pairs into match, possible match and non-match (Fellegi and Sunter 1969,
doi:10.1080/01621459.1969.10501049). A link's score is the probability that it is true. Outside the linkage
unit it appears only as a band, 0.05 wide, since exact scores help an attacker to align encodings with names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

BANDS = 20
BAND_EDGES = np.arange(BANDS + 1) / BANDS
"""0.00, 0.05 ... 1.00, each the double nearest to its fraction: 0.80 is in 0.80-0.85."""
BAND_NAMES = tuple(f"{low:.2f}-{high:.2f}" for low, high in zip(BAND_EDGES[:-1], BAND_EDGES[1:], strict=True))


class Decision(IntEnum):
    """Codes of a decision, in ascending order of certainty."""

    NON_MATCH = 0
    POSSIBLE_MATCH = 1
    MATCH = 2


DECISION_NAMES = tuple(decision.name.lower() for decision in Decision)


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts of scores by band: ``counts[k]`` scores lie in [bin_edges[k], bin_edges[k + 1])."""

    bin_edges: tuple[float, ...]
    counts: tuple[int, ...]


def decide(
    probability: npt.NDArray[np.float64], is_match: npt.NDArray[np.bool_], *, possible: float
) -> npt.NDArray[np.uint8]:
    """:class:`Decision` codes of links: a match, or at least ``possible``, or below.

    Raises
    ------
    NightlinkError
        E-INPUT unless every probability is in [0, 1].
    """
    _check_scores(probability)
    codes = np.where(probability >= possible, Decision.POSSIBLE_MATCH, Decision.NON_MATCH)
    codes[is_match] = Decision.MATCH
    return codes.astype(np.uint8)


def score_bands(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Band codes 0-19 (see :data:`BAND_NAMES`); a band holds its lower edge, the top one 1.0 as well.

    Raises
    ------
    NightlinkError
        E-INPUT when a score is outside [0, 1] or not a number.
    """
    _check_scores(scores)
    codes = np.searchsorted(BAND_EDGES, scores, side="right") - 1
    return np.minimum(codes, BANDS - 1).astype(np.uint8)


def score_histogram(scores: npt.NDArray[np.float64]) -> ScoreHistogram:
    """Counts by band, never finer than what readers may see."""
    counts = np.bincount(score_bands(scores), minlength=BANDS)
    return ScoreHistogram(tuple(BAND_EDGES.tolist()), tuple(counts.tolist()))


def _check_scores(scores: npt.NDArray[np.float64]) -> None:
    outside = int(np.count_nonzero(~((scores >= 0) & (scores <= 1))))
    if outside:
        raise NightlinkError(
            "E-INPUT",
            found=f"{outside} of {len(scores)} scores outside [0, 1]",
            expected="scores from 0 to 1",
            remedy="This is a mistake in the calling code.",
        )
