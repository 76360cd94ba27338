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
class CountBands:
    """Bands of the values of one field, by how many records hold a value.

    All sums behind it are of whole numbers below 2^53, so they are exact and know no order.

    Attributes
    ----------
    band_of_count : ndarray of uint8, shape (counts,)
        1 + band; band 0 holds the commonest values.
    agreement : tuple of float
        For each band, the chance that a random other record holds the value of a record in that band:
        ``sum p^2 / sum p`` over the band's values, p their shares. The field's own where a band is empty.
    """

    band_of_count: npt.NDArray[np.uint8] = field(repr=False)
    agreement: tuple[float, ...]


@dataclass(frozen=True)
class RarityBands:
    """Bands of one field: of every row (0 for a missing value, else 1 + band), and their agreement."""

    band_of_row: npt.NDArray[np.uint8] = field(repr=False)
    agreement: tuple[float, ...]


def rarity_bands(column: FieldColumn, edges: Sequence[float]) -> RarityBands:
    """Band of every row's value, by :func:`count_bands` over the column's own values."""
    rows = column.value_of_row
    counts = np.bincount(rows[rows >= 0], minlength=len(column.values)).astype(np.int64)
    distinct, count_of_value = np.unique(counts, return_inverse=True)
    bands = count_bands(distinct, np.bincount(count_of_value, minlength=len(distinct)), edges)
    of_value = bands.band_of_count[count_of_value] if len(counts) else np.zeros(0, np.uint8)
    return RarityBands(np.append(of_value, np.uint8(0))[rows], bands.agreement)


def count_bands(
    counts: npt.NDArray[np.int64], values: npt.NDArray[np.int64], edges: Sequence[float]
) -> CountBands:
    """Bands by how rare a value is.

    A value's rarity is ``log2(u / p)`` in bits, with p the value's share of the records that have one, and u the
    field's mean share (the chance that two random records agree).

    Parameters
    ----------
    counts : ndarray of int64, shape (counts,)
        Distinct numbers of records that hold one value.
    values : ndarray of int64, shape (counts,)
        How many values have each.
    edges : sequence of float
        Ascending, in bits.
    """
    held = counts.astype(np.float64)
    records = held * values  # a band's records, and below its pairs, are whole numbers
    total = float(records.sum())
    mean_share = float((records * held).sum()) / total**2 if total else 0.0
    shares = held / max(total, 1.0)
    rarity = np.log2(mean_share / np.maximum(shares, np.finfo(np.float64).tiny)) if mean_share else shares
    band = np.searchsorted(np.asarray(edges, np.float64), rarity, side="right")
    band = _merge_small(band, records, len(edges) + 1)
    agreement = _band_agreement(band, records, records * held, mean_share, total, len(edges) + 1)
    return CountBands((band + 1).astype(np.uint8), agreement)


def _merge_small(
    band: npt.NDArray[np.intp], records: npt.NDArray[np.float64], bands: int
) -> npt.NDArray[np.intp]:
    """Move bands of too few records inwards, from either end."""
    middle = bands // 2
    inwards = [(b, b + 1) for b in range(middle)] + [(b, b - 1) for b in range(bands - 1, middle, -1)]
    for outer, inner in inwards:
        if records[band == outer].sum() < MIN_BAND_RECORDS:
            band = np.where(band == outer, inner, band)
    return band


def _band_agreement(
    band: npt.NDArray[np.intp],
    records: npt.NDArray[np.float64],
    pairs: npt.NDArray[np.float64],
    mean_share: float,
    total: float,
    bands: int,
) -> tuple[float, ...]:
    records_of_band = np.bincount(band, records, bands)
    pairs_of_band = np.bincount(band, pairs, bands)
    return tuple(
        float(p / (r * total)) if r > 0 else mean_share
        for p, r in zip(pairs_of_band, records_of_band, strict=True)
    )
