"""Exact confidence intervals for a share of successes.

Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial"
(doi:10.1093/biomet/26.4.404). Exact means never too narrow: with no success in 1,500 targets, the upper end
is .0025 and not 0.
"""

from __future__ import annotations

from scipy.special import betaincinv

from linkage_core.errors import NightlinkError


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of the probability of success; (0.0, 1.0) without trials.

    Raises
    ------
    NightlinkError
        E-INPUT unless 0 <= successes <= trials and 0 < confidence < 1.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise NightlinkError(
            "E-INPUT",
            found=f"{successes} successes in {trials} trials at confidence {confidence}",
            expected="0 <= successes <= trials and a confidence between 0 and 1",
            remedy="Count each target once.",
        )
    tail = (1 - confidence) / 2
    failures = trials - successes
    lower = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    upper = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return lower, upper
