"""Quality of scored pairs with intervals: people are drawn anew, not pairs, since a person's pairs are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.linkage_quality import Indices

Floats = npt.NDArray[np.float64]
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairQuality:
    """Of scored pairs: area under the precision-recall steps, and recall at precision .95 and .99."""

    average_precision: Estimate
    recall_at_precision_95: Estimate
    recall_at_precision_99: Estimate


def pair_quality(
    scores: Floats, is_match: npt.NDArray[np.bool_], person: Indices, *, draws: int, seed: int
) -> PairQuality:
    """Figures over all thresholds, with percentile intervals of a bootstrap by person.

    Recall is of the matches among these pairs. Definitions as
    :mod:`linkage_core.evaluation.linkage_quality`: equal scores enter together, and a recall is 0 where no threshold
    reaches the precision.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
    is_match : ndarray of bool, shape (m,)
    person : ndarray of intp, shape (m,)
        Whose pair it is; all of a person's pairs are drawn together.
    draws, seed : int
        So many times as many people as there are, with repetition (Efron 1979, doi:10.1214/aos/1176344552).
    """
    order = np.argsort(-scores, kind="stable")
    ranked, matches = scores[order], is_match[order]
    numbers, of_pair = np.unique(person[order], return_inverse=True)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    found = _figures(np.ones(len(ranked)), matches, ends)
    generator = np.random.default_rng(seed)
    people = len(numbers)
    drawn = np.array([
        _figures(np.bincount(generator.integers(0, people, people), minlength=people)[of_pair], matches, ends)
        for _ in range(draws)
    ])  # fmt: skip
    lows, highs = np.percentile(drawn, INTERVAL, axis=0)
    three = [Estimate(*map(float, figure)) for figure in zip(found, lows, highs, strict=True)]
    return PairQuality(*three)


def _figures(weight: npt.NDArray[np.generic], is_match: npt.NDArray[np.bool_], ends: Indices) -> list[float]:
    """Weighted figures of pairs in descending order of score; ``ends`` are the last places of equal scores."""
    taken = np.cumsum(weight, dtype=np.float64)[ends]
    found = np.cumsum(np.where(is_match, weight, 0), dtype=np.float64)[ends]
    precision = found / np.maximum(taken, 1.0)
    recall = found / max(found[-1] if len(found) else 0.0, 1.0)
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return [area, *(float(recall[precision >= least].max(initial=0.0)) for least in (0.95, 0.99))]
