"""What all records of a custodian say of a field's values, counted within a bounded memory. Zone: custodian.

Rarity and the chance of agreement are properties of all records. A field's values may be as many as the
records, so they are counted as 64-bit hashes, 8 bytes a record, and in several passes over the records when
those would take more memory than is allowed. What stays of a field is an exception list: the values whose band
is not the one of a value that one record holds. No hash leaves the process. Two values of one hash would count
as one: among ten million distinct values that happens once in 400,000 nights, and moves one band.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.distinct_values import value_hashes
from linkage_core.custodian.field_columns import FieldColumn, text_column
from linkage_core.custodian.rarity_bands import count_bands

SURVEY_MEMORY_BYTES = 128 * 2**20
_BYTES_A_HASH = 8


@dataclass(frozen=True)
class ValueSurvey:
    """One field's values over all records.

    Attributes
    ----------
    agreement : float
        The chance that two random distinct records with a value agree: sum c (c - 1) / (n (n - 1)).
    band_agreement : tuple of float
        Of :class:`linkage_core.custodian.rarity_bands.CountBands`.
    usual_band : int
        1 + rarity band of a value that one record holds.
    hashes, bands : ndarrays of uint64 and uint8, shape (exceptions,)
        Ascending hashes of the values of another band, and 1 + that band.
    """

    agreement: float
    band_agreement: tuple[float, ...]
    usual_band: int
    hashes: npt.NDArray[np.uint64] = field(repr=False)
    bands: npt.NDArray[np.uint8] = field(repr=False)

    def bands_of_rows(self, column: FieldColumn) -> npt.NDArray[np.uint8]:
        """0 for a missing value, else 1 + the rarity band of the row's value; uint8, shape (n,)."""
        of_value = np.full(len(column.values) + 1, self.usual_band, np.uint8)
        of_value[-1] = 0  # serves the rows whose value index is -1
        if len(self.hashes):
            _band_kernel(
                value_hashes(column.values), self.hashes, self._first_of_prefix, self.bands, of_value
            )
        return of_value[column.value_of_row]

    @cached_property
    def _first_of_prefix(self) -> npt.NDArray[np.intp]:
        """Where the hashes begin whose first bits are 0, 1, ...: so many bits that about one hash has each."""
        bits = len(self.hashes).bit_length()
        prefixes = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        return np.append(np.searchsorted(self.hashes, prefixes), len(self.hashes))


@dataclass(frozen=True)
class _Share:
    """One field's values whose hash, scaled to [0, 1), lies in the piece ``number`` of ``pieces`` equal ones."""

    name: str
    number: int
    pieces: int

    def of(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        if self.pieces == 1:
            return hashes
        piece = (hashes >> np.uint64(32)) * np.uint64(self.pieces) >> np.uint64(32)
        inside: npt.NDArray[np.bool_] = piece == self.number
        return hashes[inside]


def survey_values(
    batches: Iterable[pa.RecordBatch],
    rows: int,
    fields: Sequence[str],
    edges: Sequence[float],
    memory_bytes: int = SURVEY_MEMORY_BYTES,
) -> Mapping[str, ValueSurvey]:
    """Count every field's values; the result depends on neither the batches nor the memory.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Normalised columns; gone through once for each pass.
    rows : int
        Rows of all batches together.
    memory_bytes : int
        What the hashes of one pass may take.
    """
    counted: dict[str, list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]] = {f: [] for f in fields}
    for shares in _passes(fields, rows, memory_bytes):
        collected: dict[str, list[npt.NDArray[np.uint64]]] = {share.name: [] for share in shares}
        for batch in batches:
            for share in shares:
                collected[share.name].append(share.of(_row_hashes(text_column(batch, share.name))))
        for share in shares:
            counted[share.name].append(_count(collected.pop(share.name)))
    return {name: _surveyed(counted.pop(name), edges) for name in fields}


def _passes(fields: Sequence[str], rows: int, memory_bytes: int) -> Iterator[list[_Share]]:
    """Which shares of which fields go into one pass, so that their hashes fit."""
    fitting = (
        memory_bytes // (_BYTES_A_HASH * max(rows, 1)) - 1
    )  # one more: joining the batches' hashes copies
    if fitting >= 1:
        for first in range(0, len(fields), fitting):
            yield [_Share(name, 0, 1) for name in fields[first : first + fitting]]
        return
    pieces = max(-(-2 * _BYTES_A_HASH * rows // memory_bytes), 1)
    for name in fields:
        yield from ([_Share(name, number, pieces)] for number in range(pieces))


def _row_hashes(column: pa.Array | None) -> npt.NDArray[np.uint64]:
    if column is None:
        return np.zeros(0, np.uint64)
    return value_hashes(column.drop_null() if column.null_count else column)


def _count(
    collected: list[npt.NDArray[np.uint64]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hashes of the values that two or more records hold with their counts; last, the number of the others."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *collected])
    collected.clear()
    hashes.sort()
    counts = np.empty(len(hashes) // 2 + 1, np.int64)
    values = _count_kernel(hashes, counts)
    return hashes[:values].copy(), counts[: values + 1].copy()


@numba.njit(cache=True, nogil=True)
def _count_kernel(hashes, counts):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Of sorted hashes, those that stand twice or more, to the front; behind their counts, the number of the others."""
    values, singles, start = 0, 0, 0
    for k in range(1, len(hashes) + 1):
        if k < len(hashes) and hashes[k] == hashes[start]:
            continue
        if k - start > 1:
            hashes[values], counts[values] = hashes[start], k - start
            values += 1
        else:
            singles += 1
        start = k
    counts[values] = singles
    return values


@numba.njit(cache=True, nogil=True)
def _band_kernel(hashes, known, first_of_prefix, bands, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """The band of each hash that is known; others keep theirs."""
    bits = 0
    while 1 << bits < len(first_of_prefix) - 1:
        bits += 1
    for k in range(len(hashes)):
        prefix = hashes[k] >> np.uint64(64 - bits)
        for at in range(first_of_prefix[prefix], first_of_prefix[prefix + np.uint64(1)]):
            if known[at] == hashes[k]:
                out[k] = bands[at]


def _surveyed(
    counted: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]], edges: Sequence[float]
) -> ValueSurvey:
    hashes = np.concatenate([found for found, _ in counted])
    held = np.concatenate([counts[:-1] for _, counts in counted])
    singles = sum(int(counts[-1]) for _, counts in counted)
    distinct, number = np.unique(np.append(held, 1), return_inverse=True)  # 1 is the first, always there
    values = np.bincount(number, minlength=len(distinct))
    values[0] = singles
    bands = count_bands(distinct, values, edges)
    band_of_value, usual = bands.band_of_count[number[:-1]], int(bands.band_of_count[0])
    kept = band_of_value != usual
    order = np.argsort(hashes[kept])
    return ValueSurvey(
        agreement=_agreement(distinct, values),
        band_agreement=bands.agreement,
        usual_band=usual,
        hashes=hashes[kept][order],
        bands=band_of_value[kept][order],
    )


def _agreement(counts: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> float:
    held = counts.astype(np.float64)
    records = float((held * values).sum())
    pairs = float((held * (held - 1) * values).sum())
    return pairs / (records * (records - 1)) if records > 1 else 0.0
