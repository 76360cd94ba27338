"""Gate: a night whose figures look wrong stops before publication until two persons approve. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from linkage_core.audit.audit_events import NightHeld, canonical_event
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.quality.delivery_shape import DeliveryShape, drifts
from linkage_core.linkage_unit.quality.estimate import Estimate
from linkage_core.linkage_unit.quality.publication_gate import (
    Finding,
    digest_of_findings,
    drift_findings,
    precision_findings,
)
from sql.warehouse.review import approvals, hold_night, recent_shapes
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.report import write_held_report
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage

LAST_NIGHTS = 7
PERSONS_NEEDED = 2


@stage("check quality before publication")
def hold_or_pass(run: NightRun, summary: dict[str, Any], unit: LinkageUnit) -> dict[str, Any]:
    """The summary, with the findings and their approval where there are any.

    Raises
    ------
    NightlinkError
        E-QUALITY-HELD when the night's own precision may be below the target, E-DQ-VOLUME when a delivery is unlike
        those of the last nights, and two persons have not approved just that: nothing is published, the findings
        are in the warehouse and the figures in a page beside the reports.
    """
    findings = [*_of_precision(summary, unit), *_of_drift(run, summary, unit)]
    if not findings:
        return summary
    digest = digest_of_findings(findings)
    told = {**summary, "findings": [asdict(finding) for finding in findings]}
    persons = approvals(run.engine, run.ledger, digest)
    if len(persons) >= PERSONS_NEEDED:
        announce(f"{len(findings)} findings, approved by {' and '.join(persons)}")
        return {**told, "approval": {"findings_sha256": digest, "persons": list(persons)}}
    event = NightHeld(
        run_id=run.ledger.run_id,
        project=run.ledger.project,
        findings_sha256=digest,
        findings=[finding.code for finding in findings],
    )
    hold_night(run.engine, run.ledger, digest, told["findings"], canonical_event(event))
    write_held_report(told, unit)
    raise _held(findings, len(persons))


def _of_precision(summary: Mapping[str, Any], unit: LinkageUnit) -> list[Finding]:
    return [
        finding
        for two in summary["quality"]
        for finding in precision_findings(
            two["custodians"],
            two["matches"],
            two["target_precision"],
            {name: Estimate(**estimate) for name, estimate in two["precision"].items()},
            unit.settings.precision_allowance,
        )
    ]


def _of_drift(run: NightRun, summary: Mapping[str, Any], unit: LinkageUnit) -> list[Finding]:
    earlier = recent_shapes(run.engine, run.ledger, LAST_NIGHTS)
    found = []
    for name, part in summary["custodians"].items():
        known = [night[name]["shape"] for night in earlier if "shape" in night.get(name, {})]
        found += drifts(
            name,
            DeliveryShape(**part["shape"]),
            [DeliveryShape(**shape) for shape in known],
            most_volume_ratio=unit.settings.most_volume_ratio,
            most_share_change=unit.settings.most_share_change,
        )
    return drift_findings(found)


def _held(findings: list[Finding], persons: int) -> NightlinkError:
    more = f", and {len(findings) - 1} more findings" if len(findings) > 1 else ""
    return NightlinkError(
        findings[0].code,
        found=f"{findings[0].sentence}{more}",
        expected=f"figures as usual, or the approval of {PERSONS_NEEDED} persons (so far {persons})",
        remedy="Nothing was published, the last night's links stay served. Look at the held report; if the data are "
        "right, two reviewers run `nightlink review approve`, then the night is run again.",
    )
