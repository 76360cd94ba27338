"""The shape of a delivery, and whether it has drifted from that of the last nights. Zone: linkage_unit.

A source that lost a column, changed a format or was cut in half still gives encodings that look like any others. What
it cannot keep is its volume, how full its filters are before diffusion (as the custodian publishes it), how many bits
are set after it, and how often each field is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from linkage_core.protocol.encoded_evidence import MISSING, EncodedEvidence
from linkage_core.protocol.evidence_spec import EvidenceSpec

SAMPLED_RECORDS = 20_000


@dataclass(frozen=True)
class DeliveryShape:
    """Shares in [0, 1], by filter or field; ``set_bits`` is of the filters that are there, after diffusion."""

    records: int
    fill: Mapping[str, float]
    set_bits: Mapping[str, float]
    missing: Mapping[str, float]


@dataclass(frozen=True)
class Drift:
    """What moved: of which custodian, which figure, its value tonight and its median over the last nights."""

    custodian: str
    figure: str
    tonight: float
    usual: float


def shape_of(evidence: EncodedEvidence, spec: EvidenceSpec, fill: Sequence[float]) -> DeliveryShape:
    """Shape of a delivery; set bits and missing values are of at most 20,000 records, evenly spaced."""
    rows = np.linspace(0, len(evidence), min(len(evidence), SAMPLED_RECORDS), endpoint=False).astype(np.intp)
    set_bits = {}
    for group, filters in zip(spec.groups, evidence.group_filters, strict=True):
        bits = np.bitwise_count(filters[rows]).sum(axis=1)
        there = bits[bits > 0]
        set_bits[group.name] = round(float(there.mean()) / group.sent_bits, 6) if len(there) else 0.0
    rarity = evidence.rarity[rows]
    missing = (rarity == MISSING).mean(axis=0) if len(rows) else np.zeros(len(spec.fields))
    return DeliveryShape(
        len(evidence),
        {group.name: round(rate, 6) for group, rate in zip(spec.groups, fill, strict=True)},
        set_bits,
        {name: round(float(share), 6) for name, share in zip(spec.fields, missing, strict=True)},
    )


def drifts(
    custodian: str,
    tonight: DeliveryShape,
    earlier: Sequence[DeliveryShape],
    *,
    most_volume_ratio: float,
    most_share_change: float,
) -> list[Drift]:
    """Figures that left the usual: the median of the earlier nights; none without an earlier night.

    Parameters
    ----------
    most_volume_ratio : float
        Above 1: records may be up to so many times more or fewer than usual.
    most_share_change : float
        In (0, 1): fill, set bits and missing values may move by so much.
    """
    if not earlier:
        return []
    usual = median(shape.records for shape in earlier)
    found = []
    if not usual / most_volume_ratio <= tonight.records <= usual * most_volume_ratio:
        found.append(Drift(custodian, "records", tonight.records, usual))
    for figure in ("fill", "set_bits", "missing"):
        for name, share in getattr(tonight, figure).items():
            known = [shares[name] for shape in earlier if name in (shares := getattr(shape, figure))]
            if known and abs(share - median(known)) > most_share_change:
                found.append(Drift(custodian, f"{figure} of {name}", share, median(known)))
    return found
