"""An estimate with its 95% interval, and the intervals of counts and shares. Zone: linkage_unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_TAIL = (1.0 - CONFIDENCE) / 2
_NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A share of the links, such as their precision or recall.

    Attributes
    ----------
    value, low, high : float
        In [0, 1]; ``low <= value <= high``, a 95% interval.
    basis : int
        How many links, pairs or records it rests on: fewer say less than the interval shows.
    """

    value: float
    low: float
    high: float
    basis: int


def estimate_within(value: float, low: float, high: float, basis: int) -> Estimate:
    """An :class:`Estimate` cut to [0, 1], its interval widened to hold the value."""
    value, low, high = (float(np.clip(figure, 0.0, 1.0)) for figure in (value, low, high))
    return Estimate(value, min(low, value), max(high, value), basis)


def poisson_interval(count: int) -> tuple[float, float]:
    """Garwood's exact 95% interval of a Poisson mean, given one count (Garwood 1936, doi:10.1093/biomet/28.3-4.437)."""
    from scipy.special import gammaincinv

    low = float(gammaincinv(count, _TAIL)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1.0 - _TAIL))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, _NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _NORMAL_QUANTILE * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def predicted_interval(count: int, scale: float) -> tuple[int, int]:
    """95% interval of a Poisson count whose mean is ``scale`` times that of another one, of which ``count`` was seen.

    Jeffreys' prior makes the prediction negative binomial; for scale 0 it is (0, 0).
    """
    from scipy.special import betainc

    most = int(scale * (count + 10.0 * np.sqrt(count + 1.0) + 20.0)) + 50
    below = betainc(count + 0.5, np.arange(most) + 1.0, 1.0 / (1.0 + scale))
    low, high = np.searchsorted(below, (_TAIL, 1.0 - _TAIL))
    return int(low), int(high)
