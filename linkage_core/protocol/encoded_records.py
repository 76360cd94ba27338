"""Encoded records: all that the linkage unit ever sees of a person. Zone: protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

PSEUDONYM_BYTES = 16
PSEUDONYM_DTYPE = np.dtype(f"V{PSEUDONYM_BYTES}")
NULL_BLOCKING_VALUE = 0
"""A blocking value of 0 means that a part was missing; keyed values never take it."""


@dataclass(frozen=True, repr=False, eq=False)
class EncodedRecords:
    """One custodian's encoded records, as aligned arrays.

    Attributes
    ----------
    record_pseudonyms : ndarray of V16, shape (n,)
        Keyed pseudonyms; unique within a delivery.
    filters : ndarray of uint64, shape (n, filter_bits / 64), C-contiguous
        Record-level Bloom filters. Bit ``i`` is bit ``i % 64`` of word ``i // 64``.
    blocking_values : ndarray of uint64, shape (n, passes), C-contiguous
        Keyed blocking values in the protocol's order of passes; 0 where a part was missing.
    """

    record_pseudonyms: npt.NDArray[np.void]
    filters: npt.NDArray[np.uint64]
    blocking_values: npt.NDArray[np.uint64]

    def __post_init__(self) -> None:
        n = len(self.record_pseudonyms)
        if self.record_pseudonyms.dtype != PSEUDONYM_DTYPE or self.record_pseudonyms.ndim != 1:
            expected = f"V{PSEUDONYM_BYTES} of shape (n,)"
            raise _wrong_array("record_pseudonyms", self.record_pseudonyms, expected)
        for name, array in (("filters", self.filters), ("blocking_values", self.blocking_values)):
            if array.dtype != np.uint64 or array.ndim != 2 or len(array) != n or not array.flags.c_contiguous:
                raise _wrong_array(name, array, f"uint64 of shape ({n}, columns), C-contiguous")

    def __repr__(self) -> str:
        # Tracebacks and debug logs print representations: shapes may go there, encodings may not.
        words, passes = self.filters.shape[1], self.blocking_values.shape[1]
        return f"EncodedRecords({len(self)} records, {words} filter words, {passes} passes)"

    def __len__(self) -> int:
        return len(self.record_pseudonyms)


def _wrong_array(name: str, array: npt.NDArray[np.generic], expected: str) -> NightlinkError:
    return NightlinkError(
        "E-KERNEL-INPUT",
        found=f"{name} as {array.dtype} of shape {array.shape}{_layout(array)}",
        expected=expected,
        remedy="Build encoded records through the encoder or the wire format.",
    )


def _layout(array: npt.NDArray[np.generic]) -> str:
    return "" if array.flags.c_contiguous else ", not C-contiguous"


def empty_records(filter_words: int, passes: int) -> EncodedRecords:
    """No records, with ``filter_words`` words a filter and ``passes`` blocking columns."""
    return EncodedRecords(
        np.empty(0, PSEUDONYM_DTYPE),
        np.empty((0, filter_words), np.uint64),
        np.empty((0, passes), np.uint64),
    )


def concat_records(parts: Sequence[EncodedRecords]) -> EncodedRecords:
    """Join one or more parts, keeping their order.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT: no parts (how wide would the result be?), or parts of different widths.
    """
    shapes = sorted({(p.filters.shape[1], p.blocking_values.shape[1]) for p in parts})
    if len(shapes) != 1:
        raise NightlinkError(
            "E-KERNEL-INPUT",
            found=f"{len(parts)} parts of {len(shapes)} different widths",
            expected="one or more parts of one protocol",
            remedy="Join parts of one delivery; for none use empty_records.",
        )
    return EncodedRecords(
        np.concatenate([p.record_pseudonyms for p in parts]),
        np.concatenate([p.filters for p in parts]),
        np.concatenate([p.blocking_values for p in parts]),
    )


def sort_by_pseudonym(records: EncodedRecords) -> EncodedRecords:
    """Records in ascending byte order of their pseudonyms.

    Pseudonyms are keyed hashes, so this order is a deterministic shuffle: it tells the linkage unit
    nothing of the order in the source.
    """
    order = pseudonym_order(records.record_pseudonyms)
    return EncodedRecords(
        records.record_pseudonyms[order],
        np.ascontiguousarray(records.filters[order]),
        np.ascontiguousarray(records.blocking_values[order]),
    )


def pseudonym_order(record_pseudonyms: npt.NDArray[np.void]) -> npt.NDArray[np.intp]:
    """Indices that sort pseudonyms by their bytes; stable."""
    halves = np.ascontiguousarray(record_pseudonyms).view(">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))
