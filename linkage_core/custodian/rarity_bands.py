"""How rare a value is, in a few bands, by the custodian's own frequencies. Zone: custodian.

Agreement on a rare surname says more than on a common one (Newcombe, Kennedy, Axford and James 1959,
doi:10.1126/science.130.3381.954). The frequency itself would single records out, so the linkage unit gets a
band and one published rate a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.field_columns import FieldColumn

MIN_BAND_RECORDS = 10
"""A band of fewer records joins its neighbour towards the middle: a cell that small may name a person."""


@dataclass(frozen=True)
class RarityBands:
    """Bands of one field.

    Attributes
    ----------
    band_of_row : ndarray of uint8, shape (n,)
        0 for a missing value, else 1 + band; band 0 holds the commonest values.
    agreement : tuple of float
        For each band, the chance that a random other record holds the value of a record in that band:
        ``sum p^2 / sum p`` over the band's values, p their shares. The field's own where a band is empty.
    """

    band_of_row: npt.NDArray[np.uint8] = field(repr=False)
    agreement: tuple[float, ...]


def rarity_bands(column: FieldColumn, edges: Sequence[float]) -> RarityBands:
    """Band of every row's value.

    The band is the number of ``edges`` that ``log2(u / p)`` reaches, with p the value's share of the records
    that have one, and u the field's mean share (the chance that two random records agree).
    """
    rows = column.value_of_row
    counts = np.bincount(rows[rows >= 0], minlength=len(column.values)).astype(np.float64)
    shares = counts / max(counts.sum(), 1.0)
    mean_share = float((shares**2).sum())
    rarity = np.log2(mean_share / np.maximum(shares, np.finfo(np.float64).tiny)) if mean_share else shares
    band = np.searchsorted(np.asarray(edges, np.float64), rarity, side="right")
    band = _merge_small(band, counts, len(edges) + 1)
    band_of_row = np.append(band + 1, 0)[rows].astype(np.uint8)
    return RarityBands(band_of_row, _band_agreement(band, shares, mean_share, len(edges) + 1))


def _merge_small(
    band: npt.NDArray[np.intp], counts: npt.NDArray[np.float64], bands: int
) -> npt.NDArray[np.intp]:
    """Move bands of too few records inwards, from either end."""
    middle = bands // 2
    inwards = [(b, b + 1) for b in range(middle)] + [(b, b - 1) for b in range(bands - 1, middle, -1)]
    for outer, inner in inwards:
        if counts[band == outer].sum() < MIN_BAND_RECORDS:
            band = np.where(band == outer, inner, band)
    return band


def _band_agreement(
    band: npt.NDArray[np.intp], shares: npt.NDArray[np.float64], mean_share: float, bands: int
) -> tuple[float, ...]:
    share = np.bincount(band, shares, bands)
    agreement = np.bincount(band, shares**2, bands)
    return tuple(float(a / s) if s > 0 else mean_share for a, s in zip(agreement, share, strict=True))
