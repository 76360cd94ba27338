"""Which night a run is about. Zone: protocol."""

from __future__ import annotations

import sys
from datetime import date, datetime
from zoneinfo import ZoneInfo

from linkage_core.errors import NightlinkError
from tasks.protocol.settings_files import check_time_zone


def night_of(as_of: str | None, time_zone: str) -> date:
    """The date that names the night: the one asked for, else the date on which the schedule is due.

    The date comes from the schedule rather than from the clock, so that a run that starts late, after midnight,
    is still the night that it was meant to be.
    """
    if as_of is not None:
        return parse_as_of(as_of)
    return _due_time().astimezone(_zone(time_zone)).date()


def parse_as_of(text: str) -> date:
    """An ISO date; E-INPUT otherwise."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NightlinkError(
            "E-INPUT",
            found="an as-of date that is not a date",
            expected="a date such as 2026-11-22",
            remedy="Give --as-of as YYYY-MM-DD.",
        ) from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(check_time_zone(name))
    except ValueError:
        raise NightlinkError(
            "E-SETTINGS",
            found="a time zone that this machine does not know",
            expected="a name such as Europe/London",
            remedy="Correct time_zone in the settings or in the deployment's parameters.",
        ) from None


def _due_time() -> datetime:
    if "prefect" in sys.modules:
        from prefect.runtime import flow_run

        due = flow_run.scheduled_start_time
        if due is not None:
            return due
    return datetime.now().astimezone()
