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

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.field_columns import FieldColumn, field_columns
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.rarity_bands import count_bands
from linkage_core.custodian.text_columns import text_buffers

SURVEY_MEMORY_BYTES = 128 * 2**20
_BYTES_A_HASH = 8
# Not keyed by a secret: the hashes stay in the custodian's memory, and the result does not depend on the key.
_HASH_LABEL = b"nightlink value survey"


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
        if len(self.hashes) and len(column.values):
            hashes = _value_hashes(column.values)
            at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
            of_value[:-1] = np.where(self.hashes[at] == hashes, self.bands[at], of_value[:-1])
        return of_value[column.value_of_row]


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
                [column] = field_columns(batch, [share.name]).values()
                collected[share.name].append(share.of(_row_hashes(column)))
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


def _value_hashes(values: pa.Array) -> npt.NDArray[np.uint64]:
    digests = hmac_sha256_many(_HASH_LABEL, *text_buffers(values))
    return np.ascontiguousarray(digests[:, :_BYTES_A_HASH]).view("<u8").reshape(-1).astype(np.uint64)


def _row_hashes(column: FieldColumn) -> npt.NDArray[np.uint64]:
    return _value_hashes(column.values)[column.value_of_row[column.value_of_row >= 0]]


def _count(
    collected: list[npt.NDArray[np.uint64]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hashes of the values that two or more records hold with their counts; last, the number of the others."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *collected])
    collected.clear()
    hashes.sort()
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    counts = np.diff(starts, append=len(hashes)).astype(np.int64)
    several = counts > 1
    singles = int(np.count_nonzero(~several))
    return hashes[starts[several]], np.append(counts[several], singles)


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
