"""Names of flow runs, whoever started them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.protocol.run_names import name_of_run


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201
    from prefect.runtime import deployment, flow_run

    def begin(as_of: str | None, party: str | None = "hospital") -> str:
        due = datetime(2026, 3, 31, 21, 30, tzinfo=UTC)
        monkeypatch.setattr(deployment, "name", party, raising=False)
        monkeypatch.setattr(flow_run, "flow_name", "encode-and-deliver", raising=False)
        monkeypatch.setattr(flow_run, "parameters", {"as_of": as_of}, raising=False)
        monkeypatch.setattr(flow_run, "scheduled_start_time", due, raising=False)
        return name_of_run()

    return begin


def test_a_run_is_called_by_party_and_night(begun) -> None:  # noqa: ANN001
    assert begun("2026-03-31") == "hospital 2026-03-31"
    assert begun("2026-03-31", None) == "encode-and-deliver 2026-03-31"


def test_a_scheduled_run_is_called_by_when_it_was_due(begun) -> None:  # noqa: ANN001
    assert begun(None) == "hospital due 2026-03-31 21:30 UTC"


def test_the_coordinators_run_is_called_by_its_night(begun) -> None:  # noqa: ANN001
    from flows.coordinator.coordinate_night import name_of_night

    begun("2026-03-31")
    assert name_of_night() == "night 2026-03-31"
    begun(None)
    assert name_of_night() == "night 2026-03-31"
    begun("tomorrow")
    assert name_of_night() == "night without a date"
