"""Whether a night may be published: findings that hold it, unless a second person approves. Zone: linkage_unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from linkage_core.linkage_unit.quality.delivery_shape import Drift
from linkage_core.linkage_unit.quality.estimate import Estimate
from linkage_core.linkage_unit.quality.night_quality import HELD_OUT_SEX

HELD, VOLUME = "E-QUALITY-HELD", "E-DQ-VOLUME"
FEW_WRONG = 6
"""So many wrong matches are let pass below the target in any night: a small one cannot show better."""


@dataclass(frozen=True)
class Finding:
    """Why a night is held: the error's code, and a sentence of figures, which approval binds to."""

    code: str
    sentence: str


def precision_findings(
    custodians: Sequence[str],
    matches: int,
    target: float,
    precision: Mapping[str, Estimate],
    allowance: float,
) -> list[Finding]:
    """Estimators whose 95% interval begins below the target less an allowance.

    The allowance is the larger of ``allowance`` and :data:`FEW_WRONG` matches of this night. Sex, whose interval is
    wide where it lifts many links, holds a night only when its whole interval lies below.
    """
    floor = target - max(allowance, FEW_WRONG / max(matches, 1))
    found = []
    for name, estimate in precision.items():
        bound, end = (estimate.high, "upper") if name == HELD_OUT_SEX else (estimate.low, "lower")
        if bound < floor:
            found.append(
                Finding(
                    HELD,
                    f"{' and '.join(custodians)}: the {end} bound of precision by {name.replace('_', ' ')} is "
                    f"{bound:.4f}, below {floor:.4f}",
                )
            )
    return found


def drift_findings(drifts: Sequence[Drift]) -> list[Finding]:
    """What moved away from the last nights."""
    return [
        Finding(
            VOLUME, f"{d.custodian}: {d.figure.replace('_', ' ')} is {d.tonight:.6g}, usually {d.usual:.6g}"
        )
        for d in drifts
    ]


def digest_of_findings(findings: Sequence[Finding]) -> str:
    """SHA-256 of the findings: who approves, approves these and no others."""
    return hashlib.sha256(json.dumps([asdict(f) for f in findings], sort_keys=True).encode()).hexdigest()
