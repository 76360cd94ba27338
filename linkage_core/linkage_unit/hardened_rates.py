"""How far apart hardened filters are, given how far apart the plain ones were. Zone: linkage_unit.

A share p of differing bits becomes another under each hardening; thresholds are stated for plain filters and
read on hardened ones, so that they mean the same with and without.
"""

from __future__ import annotations

import math

from linkage_core.protocol.linkage_protocol import FilterGroup

SERIES_TERMS = 200


def hardened_rate(group: FilterGroup, plain: float) -> float:
    """The expected share of differing bits of two hardened filters of different people.

    Parameters
    ----------
    plain : float
        The share of differing bits of the plain filters, from 0 to 1/2.

    Returns
    -------
    float
        Ascending in ``plain``. By *blip* it is that of filters that are not equal: equal ones stay so.
    """
    if group.hardening == "diffusion":
        return xor_rate(plain, group.terms)
    if group.hardening in ("xor_fold", "rule_90"):
        return xor_rate(plain, 2)
    if group.hardening == "fourier_signs":
        return sign_rate(plain, group.terms)
    if group.hardening == "blip":
        flip = group.flips / 256
        either = 2 * flip * (1 - flip)
        return plain + either - 2 * plain * either
    return plain  # none; and balancing, which doubles both the bits and their differences


def xor_rate(plain: float, terms: int) -> float:
    """Of the XOR of several bits: (1 - (1 - 2p)^t) / 2 (doi:10.56553/popets-2023-0054)."""
    return (1.0 - (1.0 - 2.0 * plain) ** terms) / 2.0


def sign_rate(plain: float, bandwidth: float) -> float:
    """Of the signs of cosines whose angles differ by a normal angle of variance 4 B p.

    The mean distance on the circle, in half turns: 1/2 - (4 / pi^2) sum over odd k of exp(-2 B p k^2) / k^2
    (Raginsky and Lazebnik 2009, lemma 1, without their random threshold).
    """
    odd = range(1, 2 * SERIES_TERMS, 2)
    series = sum(math.exp(-2.0 * bandwidth * plain * k * k) / (k * k) for k in odd)
    return max(0.5 - 4.0 / math.pi**2 * series, 0.0)
