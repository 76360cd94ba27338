"""A researcher's questions: named queries over the documented views, as the read-only role. Zone: linkage_unit."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Engine, text

from linkage_core.errors import NightlinkError
from sql.statements import load_statements
from sql.warehouse.transactions import warehouse_snapshot

QUERIES = (
    "followup_within_30_days",
    "followup_as_of",
    "followup_by_threshold",
    "adherence_after_discharge",
    "days_to_first_fill",
    "linked_by_diagnosis",
    "overlap_by_month",
    "links_by_band",
    "links_changed_since",
    "links_of_a_day",
    "link_survival",
    "person_over_time",
    "entity_changes_by_month",
    "quality_of_runs",
)
"""The cookbook, in the order of sql/README.md."""


def run_query(engine: Engine, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run a query of ``sql/warehouse/queries`` in one read-only snapshot; a dict for each row, in its order.

    Raises
    ------
    NightlinkError
        E-INPUT for an unknown name; E-WH-SCHEMA where the role may not read; E-WH-UNAVAILABLE.
    """
    if name not in QUERIES:
        raise NightlinkError(
            "E-INPUT",
            found="an unknown query",
            expected=f"one of {', '.join(QUERIES)}",
            remedy="Name a file of sql/warehouse/queries.",
        )
    statement = load_statements("sql.warehouse", f"queries/{name}.sql")[name]
    with warehouse_snapshot(engine, doing="answering a researcher's question") as connection:
        return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def followup_within_30_days(
    engine: Engine, project: str, first_day: date | None = None, last_day: date | None = None
) -> list[dict[str, Any]]:
    """The share of discharged patients who filled a prescription within 30 days, by diagnosis group.

    Returns
    -------
    list of dict
        diagnosis_group, diagnosis, discharged_patients, followed_up, share, share_low, share_high (all five None
        where suppressed), suppressed; in the order of the group's code.
    """
    return run_query(
        engine, "followup_within_30_days", project=project, first_day=first_day, last_day=last_day
    )
