"""Known plaintexts: learn what each bit says of each q-gram, then read everybody else's.

A ridge regression of q-gram indicators on the bits of the encodings, over pairs of plaintext and encoding that
the attacker knows (its own patients, say, or dummies): W = (Y'Y + lambda n I)^-1 Y'X (Hoerl and Kennard 1970,
doi:10.1080/00401706.1970.10488634; known-plaintext attacks on distance-preserving maps: Giannella, Liu,
Kargupta 2013, doi:10.1016/j.datak.2012.09.003). The prediction for an unknown encoding ranks a list of people
by cosine. It takes a second, and no Bloom filter hardened bit by bit has withstood it (PRIVACY, "What is known
of attacks").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.encoded_people import EncodedPeople, centred_features

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
PENALTIES = (0.3, 3.0, 30.0)
"""Tried in turn; the attacker keeps the one that ranks a tenth of its known pairs best."""
VALIDATION_SHARE = 10
MOST_TO_CHOOSE_WITH = 4_000
"""Known pairs that choosing the penalty takes at most: it is per pair, so a part will do."""


@dataclass(frozen=True)
class PopulationList:
    """What the attacker knows of everybody: q-grams, and who has the same values.

    Attributes
    ----------
    indicators : ndarray of float32, shape (m, q-grams)
        Of :func:`~linkage_core.evaluation.attacks.known_people.q_gram_indicators`.
    value_class : ndarray of int64, shape (m,)
        Equal for entries of equal values.
    """

    indicators: Floats
    value_class: npt.NDArray[np.int64]

    @cached_property
    def directions(self) -> Floats:
        """Each entry's deviation from the mean entry, of length 1: what predictions are compared with.

        Weighing rare q-grams up made the attack weaker, on plain and on diffused filters alike.
        """
        entries: Floats = self.indicators - self.indicators.mean(axis=0)
        entries /= np.linalg.norm(entries, axis=1, keepdims=True) + np.float32(1e-6)
        return entries


@dataclass(frozen=True)
class _Reader:
    """A fitted regression: subtract ``centre``, divide by ``spread``, multiply by ``weights``."""

    centre: Floats
    spread: Floats
    weights: Floats

    def read(self, features: Floats) -> Floats:
        return np.asarray(((features - self.centre) / self.spread) @ self.weights, np.float32)


def known_plaintext_ridge(
    encodings: Sequence[EncodedPeople],
    population: PopulationList,
    known: tuple[Rows, Rows],
    targets: tuple[Rows, Rows],
) -> AttackOutcome:
    """Name the targets' entries in the list.

    Parameters
    ----------
    encodings : sequence of EncodedPeople
        One or more filters of the same records, attacked jointly: their bits stand side by side.
    population : PopulationList
    known : tuple of ndarray of intp
        Rows of the encodings, and of the list, of the pairs that the attacker knows.
    targets : tuple of ndarray of intp
        Rows of the encodings to name, and of the list (the truth, used for counting only).

    Returns
    -------
    AttackOutcome
        Known entries stay in the list, as the attacker may meet a person twice. Equal scores: the first entry.
    """
    known_features = _side_by_side(encodings, known[0])
    reader = _fit_best(known_features, known[1], population)
    guessed = _rank_first(reader.read(_side_by_side(encodings, targets[0])), population)
    right = population.value_class[guessed] == population.value_class[targets[1]]
    return AttackOutcome(int(np.count_nonzero(right)), len(right), len(right))


def _side_by_side(encodings: Sequence[EncodedPeople], rows: Rows) -> Floats:
    return np.concatenate([centred_features(encoded.take(rows)) for encoded in encodings], axis=1)


def _fit_best(features: Floats, entries: Rows, population: PopulationList) -> _Reader:
    """The penalty is chosen on held-out known pairs, then all known pairs are used."""
    enough = min(len(features), MOST_TO_CHOOSE_WITH)
    held_out = max(enough // VALIDATION_SHARE, 1)
    train, check = slice(held_out, enough), slice(0, held_out)
    # Held-out entries are ranked among the known ones: enough to compare penalties by, at a tenth of the cost.
    among = population.directions[entries[:enough]]
    ranked: list[float] = []
    for penalty in PENALTIES:
        reader = _fit(features[train], population.indicators[entries[train]], penalty)
        ranked.append(_mean_log_rank(reader.read(features[check]) @ among.T))
    best = PENALTIES[int(np.argmin(ranked))]
    return _fit(features, population.indicators[entries], best)


def _fit(features: Floats, indicators: Floats, penalty: float) -> _Reader:
    """Ridge regression by whichever of its two equal forms is smaller."""
    centre = features.mean(axis=0)
    spread = np.maximum(features.std(axis=0), np.float32(1e-6))
    y = (features - centre) / spread
    x = indicators - indicators.mean(axis=0)
    n, width = y.shape
    strength = np.float32(penalty * n)
    if n < width:
        weights = y.T @ solve(y @ y.T + strength * np.eye(n, dtype=np.float32), x, assume_a="pos")
    else:
        weights = solve(y.T @ y + strength * np.eye(width, dtype=np.float32), y.T @ x, assume_a="pos")
    return _Reader(centre, spread, weights)


def _rank_first(predicted: Floats, population: PopulationList) -> Rows:
    return np.asarray(np.argmax(predicted @ population.directions.T, axis=1))


def _mean_log_rank(scores: Floats) -> float:
    """How many entries, on a log scale, stand before the own one of each row, which is the row's number."""
    own = np.diagonal(scores)
    return float(np.log1p((scores > own[:, None]).sum(axis=1)).mean())
