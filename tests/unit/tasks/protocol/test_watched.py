"""Telling Prefect: nothing outside a flow run, and never at the night's expense."""

from __future__ import annotations

import pytest

from tasks.protocol import watched
from tasks.protocol.watched import StageProgress


@pytest.fixture
def in_a_flow_run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(watched, "inside_flow_run", lambda: True)
    monkeypatch.setattr(watched, "announce", lines.append)
    return lines


def test_outside_a_flow_run_nobody_is_told() -> None:
    assert watched.watched("a thing", lambda: pytest.fail("told")) is None


def test_what_cannot_be_told_costs_a_line_without_its_message(in_a_flow_run: list[str]) -> None:
    def fail() -> None:
        raise ConnectionError("secret")

    assert watched.watched("the report", fail) is None
    assert in_a_flow_run == ["Prefect was not told the report: ConnectionError"]


def test_progress_is_told_every_half_minute_and_at_the_end(
    in_a_flow_run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[float] = []
    monkeypatch.setattr(StageProgress, "_put", lambda self, percent: put.append(percent) or "artifact")
    moments = iter([0.0, 10.0, 31.0, 31.0, 40.0, 50.0, 50.0])
    progress = StageProgress("linkage-progress", 4, clock=lambda: next(moments))
    for count in range(1, 5):
        progress.done(count)
    assert put == [50.0, 100.0]
    assert in_a_flow_run[0] == "linkage-progress: 2 of 4 parts done"


def test_a_short_stage_leaves_no_artifact(in_a_flow_run: list[str]) -> None:
    progress = StageProgress("linkage-progress", 2, clock=lambda: 0.0)
    progress.done(1)
    progress.done(2)
    assert in_a_flow_run == []


def test_results_come_as_they_are_and_each_is_counted(
    in_a_flow_run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(StageProgress, "done", lambda self, count: counted.append(count))
    assert list(watched.with_progress("delivery-progress", 3, iter("abc"))) == ["a", "b", "c"]
    assert counted == [1, 2, 3]
