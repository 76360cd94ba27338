"""Encoded evidence: what a custodian sends, per record, for pairs to be judged by. Zone: protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from linkage_core.errors import NightlinkError
from linkage_core.protocol.evidence_spec import EvidenceSpec

NULL_TOKEN = 0
MISSING = 0

Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
RecordCount = Annotated[int, Field(ge=0, le=2**53 - 1, strict=True)]


@dataclass(frozen=True, repr=False, eq=False)
class EncodedEvidence:
    """One custodian's evidence as aligned arrays; row ``r`` belongs to record ``r``.

    Attributes
    ----------
    tokens : ndarray of uint64, shape (n, tokens), C-contiguous
        Keyed tokens in the order of the spec; 0 where a part was missing.
    group_filters : tuple of ndarray of uint64, each of shape (n, sent_bits / 64), C-contiguous
        One diffused filter a group, all zero where a field of the group was missing.
    rarity : ndarray of uint8, shape (n, fields), C-contiguous
        0 for a missing value, else 1 + its rarity band (0: commonest).
    sex : ndarray of uint8, shape (n,)
        0 for missing, else 1, 2 or 3.
    """

    tokens: npt.NDArray[np.uint64]
    group_filters: tuple[npt.NDArray[np.uint64], ...]
    rarity: npt.NDArray[np.uint8]
    sex: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        n = len(self.tokens)
        _check("tokens", self.tokens, np.uint64, n, 2)
        _check("rarity", self.rarity, np.uint8, n, 2)
        _check("sex", self.sex, np.uint8, n, 1)
        for filters in self.group_filters:
            _check("group_filters", filters, np.uint64, n, 2)

    def __repr__(self) -> str:
        # Tracebacks and debug logs print representations: shapes may go there, encodings may not.
        shape = f"{self.tokens.shape[1]} tokens, {len(self.group_filters)} filters"
        return f"EncodedEvidence({len(self)} records, {shape}, {self.rarity.shape[1]} fields)"

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class FieldAggregate:
    """What one custodian publishes of one field: rates over all its records, never a value.

    Attributes
    ----------
    level_rates : tuple of float
        Share of random pairs of its records at each level (:meth:`EvidenceSpec.level_names`); adds up to 1.
    band_agreement : tuple of float
        For each rarity band, how probable it is that a random other record holds the value of a record in
        that band; the field's own rate where a band is empty.
    """

    level_rates: tuple[Rate, ...]
    band_agreement: tuple[Rate, ...]


@dataclass(frozen=True)
class EvidenceAggregates:
    """What one custodian publishes, in its signed manifest, for the linkage unit's model.

    Attributes
    ----------
    records : int
    fields : tuple of FieldAggregate
        In the spec's order of fields.
    filter_fill : tuple of float
        Mean share of set bits of each group's filter **before** diffusion: it turns a distance into q-grams.
    """

    records: RecordCount
    fields: tuple[FieldAggregate, ...]
    filter_fill: tuple[Rate, ...]


def check_evidence(evidence: EncodedEvidence, spec: EvidenceSpec) -> None:
    """Raise E-KERNEL-INPUT when the arrays' widths are not those of the spec."""
    found = (
        evidence.tokens.shape[1],
        [filters.shape[1] for filters in evidence.group_filters],
        evidence.rarity.shape[1],
    )
    expected = (len(spec.tokens), [group.sent_bits // 64 for group in spec.groups], len(spec.fields))
    if found != expected:
        raise _wrong(f"evidence of widths {found}", f"widths {expected} of the protocol")


def check_aggregates(aggregates: EvidenceAggregates, spec: EvidenceSpec) -> None:
    """Raise E-KERNEL-INPUT when fields, levels, bands or filters are not those of the spec."""
    found = [(len(field.level_rates), len(field.band_agreement)) for field in aggregates.fields]
    expected = [(len(spec.level_names(name)), len(spec.rarity_edges) + 1) for name in spec.fields]
    if found != expected or len(aggregates.filter_fill) != len(spec.groups):
        filters = len(aggregates.filter_fill)
        raise _wrong(
            f"aggregates of sizes {found} and {filters} filters",
            f"sizes {expected} of the protocol, and {len(spec.groups)} filters",
        )


def mean_fill(first: EvidenceAggregates, second: EvidenceAggregates) -> tuple[float, ...]:
    """Each group's mean fill over two custodians."""
    sides = zip(first.filter_fill, second.filter_fill, strict=True)
    return tuple((a + b) / 2 for a, b in sides)


def concat_evidence(parts: Sequence[EncodedEvidence]) -> EncodedEvidence:
    """Join one or more parts of one custodian, keeping their order."""
    if not parts:
        raise _wrong("no parts of evidence", "at least one")
    return EncodedEvidence(
        np.concatenate([part.tokens for part in parts]),
        tuple(np.concatenate(filters) for filters in zip(*(p.group_filters for p in parts), strict=True)),
        np.concatenate([part.rarity for part in parts]),
        np.concatenate([part.sex for part in parts]),
    )


def take_evidence(evidence: EncodedEvidence, rows: npt.NDArray[np.intp] | slice) -> EncodedEvidence:
    """The evidence of some rows, in their order."""
    return EncodedEvidence(
        evidence.tokens[rows],
        tuple(filters[rows] for filters in evidence.group_filters),
        evidence.rarity[rows],
        evidence.sex[rows],
    )


def _check(name: str, array: npt.NDArray[np.generic], dtype: type, rows: int, dimensions: int) -> None:
    if array.dtype != dtype or array.ndim != dimensions or len(array) != rows or not array.flags.c_contiguous:
        raise _wrong(
            f"{name} as {array.dtype} of shape {array.shape}",
            f"{np.dtype(dtype)}, {rows} rows, {dimensions} dimensions, C-contiguous",
        )


def _wrong(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-KERNEL-INPUT", found=found, expected=expected, remedy="Build evidence through the encoder."
    )
