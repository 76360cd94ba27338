"""Which night a run is about: the date asked for, else the schedule's in the party's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol import nights
from tasks.protocol.nights import night_of, parse_as_of


def test_the_date_asked_for_wins_over_every_clock() -> None:
    assert night_of("2026-11-22", "Pacific/Kiritimati") == date(2026, 11, 22)
    assert parse_as_of("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-02-30", "22.11.2026", "../2026-11-22"])
def test_what_is_no_date_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*YYYY-MM-DD") as caught:
        parse_as_of(text)
    assert not text or text not in str(caught.value)


# due (UTC), time zone, night: the local date, also where a run starts late or clocks change
SCHEDULES = [
    (datetime(2026, 11, 22, 22, 15, tzinfo=UTC), "UTC", date(2026, 11, 22)),
    (datetime(2026, 11, 22, 22, 15, tzinfo=UTC), "Europe/London", date(2026, 11, 22)),
    (datetime(2026, 6, 22, 22, 59, tzinfo=UTC), "Europe/London", date(2026, 6, 22)),
    (datetime(2026, 6, 22, 23, 0, tzinfo=UTC), "Europe/London", date(2026, 6, 23)),  # summer time
    (datetime(2026, 11, 22, 9, 59, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 11, 22)),
    (datetime(2026, 11, 22, 10, 0, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 11, 23)),  # UTC+14
    (datetime(2026, 11, 23, 10, 59, tzinfo=UTC), "Pacific/Pago_Pago", date(2026, 11, 22)),  # UTC-11
    (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "Europe/London", date(2026, 3, 29)),  # the hour that is not
    (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/London", date(2026, 10, 25)),  # 01:30 comes twice:
    (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/London", date(2026, 10, 25)),  # one night, not two
    (
        datetime(2026, 9, 6, 3, 59, tzinfo=UTC),
        "America/Santiago",
        date(2026, 9, 5),
    ),  # midnight itself is skipped
    (datetime(2026, 9, 6, 4, 0, tzinfo=UTC), "America/Santiago", date(2026, 9, 6)),
]


@pytest.mark.parametrize(("due", "time_zone", "night"), SCHEDULES)
def test_the_schedules_local_date_names_the_night(
    monkeypatch: pytest.MonkeyPatch, due: datetime, time_zone: str, night: date
) -> None:
    monkeypatch.setattr(nights, "_due_time", lambda: due)
    assert night_of(None, time_zone) == night


def test_without_a_schedule_the_clock_decides() -> None:
    before = datetime.now(UTC).date()
    assert before <= night_of(None, "UTC") <= datetime.now(UTC).date()


def test_a_prefect_run_that_starts_late_is_the_night_that_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.runtime import flow_run

    due = datetime(2020, 2, 28, 23, 30, tzinfo=UTC)
    monkeypatch.setattr(flow_run, "scheduled_start_time", due, raising=False)
    assert night_of(None, "UTC") == date(2020, 2, 28)


def test_an_unknown_time_zone_is_refused_with_a_code() -> None:
    with pytest.raises(NightlinkError, match="E-SETTINGS.*time zone"):
        night_of(None, "Mars/Olympus_Mons")
