"""The three flows as Prefect runs them: a failure is a coded message, and nothing else of it is kept anywhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol.stages import stage
from tests.reference.small_world import NIGHT, make_site, make_unit

AS_OF = NIGHT.isoformat()


@pytest.fixture
def planted() -> str:
    """A name that nobody has, another one in each test."""
    return f"Zaphod{uuid.uuid4().hex}"


def _coded(code: str) -> NightlinkError:
    return NightlinkError(code, found="1 row", expected="2 rows", remedy="Look.")


@contextmanager
def _nothing(*_: object, **__: object) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(published_before=False, erased_of=None)


@pytest.fixture
def custodian_flow(prefect_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: ANN201
    """The custodian's flow at a site without a database; its first stage does what it is told."""
    from flows.custodian import encode_and_deliver as prose
    from flows.custodian.prefect_flow import encode_and_deliver

    def use(action):  # noqa: ANN001, ANN202
        monkeypatch.setattr(prose, "custodian_site", lambda: make_site(tmp_path))
        monkeypatch.setattr(prose, "open_source", _nothing)
        monkeypatch.setattr(prose, "extract_identifiers", stage("extract identifiers")(action))
        return encode_and_deliver(AS_OF, return_state=True)

    return use


@pytest.fixture
def linkage_flow(prefect_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: ANN201
    """The linkage unit's flow without a warehouse; its first stage does what it is told."""
    from flows.linkage_unit import link_and_load as prose
    from flows.linkage_unit.prefect_flow import link_and_load

    def use(action):  # noqa: ANN001, ANN202
        monkeypatch.setattr(prose, "linkage_unit", lambda: make_unit(tmp_path))
        monkeypatch.setattr(prose, "night_in_ledger", _nothing)
        monkeypatch.setattr(prose, "carry_over_epoch", lambda run, unit: None)
        monkeypatch.setattr(prose, "receive_deliveries", stage("receive deliveries")(action))
        return link_and_load(AS_OF, return_state=True)

    return use


@pytest.fixture
def coordinator_flow(prefect_home: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201
    """The coordinator's flow; starting a deployment does what it is told."""
    from flows.coordinator import coordinate_night as module

    def use(action):  # noqa: ANN001, ANN202
        monkeypatch.setattr(module, "run_deployment", action)
        return module.coordinate_night(AS_OF, return_state=True)

    return use


FLOWS = ["custodian_flow", "linkage_flow", "coordinator_flow"]


@pytest.mark.parametrize("name", FLOWS)
def test_an_unforeseen_error_becomes_a_coded_message_and_its_own_is_kept_nowhere(
    name: str,
    request: pytest.FixtureRequest,
    planted: str,
    told,
    stored,
    capfd,
    caplog,  # noqa: ANN001
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        record = {"given_name": planted}  # a local variable that a kept frame would hold
        try:
            raise KeyError(record["given_name"])
        except KeyError as error:
            raise ValueError(f"invalid input: {record}") from error

    state = request.getfixturevalue(name)(fail)
    assert state.is_failed()
    assert "E-INTERNAL" in state.message and "ValueError" in state.message
    error = state.result(raise_on_failure=False)
    assert error.code == "E-INTERNAL" and error.__cause__ is None and error.__context__ is None
    said = capfd.readouterr()
    server = told(state)
    assert "E-INTERNAL" in server
    for text in (state.message, server, said.out, said.err, caplog.text):
        assert planted not in text
    assert planted.encode() not in stored()


@pytest.mark.parametrize("name", FLOWS)
def test_a_coded_failure_keeps_its_code_and_words(name: str, request: pytest.FixtureRequest, told) -> None:  # noqa: ANN001
    def fail(*arguments: object, **named: object) -> None:
        raise _coded("E-SRC-UNAVAILABLE")

    state = request.getfixturevalue(name)(fail)
    assert state.is_failed()
    assert "E-SRC-UNAVAILABLE: found 1 row; expected 2 rows. Look." in state.message
    assert "E-SRC-UNAVAILABLE" in told(state)


def test_the_search_would_find_a_planted_name(prefect_home: Path, planted: str, told, stored) -> None:  # noqa: ANN001
    """The positive control: a flow without our guard leaves the name in state, logs and database."""
    from prefect import flow

    @flow(name="unguarded")
    def unguarded() -> None:
        raise ValueError(planted)

    state = unguarded(return_state=True)
    assert planted in state.message
    assert planted in told(state)
    assert planted.encode() in stored()


def test_stages_are_task_runs_under_their_names(custodian_flow, told) -> None:  # noqa: ANN001
    def fail(*arguments: object) -> None:
        raise _coded("E-SRC-SCHEMA")

    server = told(custodian_flow(fail))
    assert "look for an earlier delivery: StateType.COMPLETED" in server
    assert "extract identifiers: StateType.FAILED" in server
    assert "extract identifiers started" in server and "extract identifiers failed E-SRC-SCHEMA" in server


def test_no_argument_or_result_of_a_stage_is_stored(
    linkage_flow,
    monkeypatch: pytest.MonkeyPatch,
    planted: str,
    stored,  # noqa: ANN001
) -> None:
    """A stage gets and gives records; Prefect is told of neither."""
    from flows.linkage_unit import link_and_load as prose

    monkeypatch.setattr(prose, "block_records", stage("block records")(lambda a, b, unit: planted))
    monkeypatch.setattr(prose, "score_pairs", stage("score pairs")(lambda a, b, pairs, unit: [pairs, a]))
    monkeypatch.setattr(prose, "with_reviews", lambda run, unit: unit)
    monkeypatch.setattr(prose, "compare_with_witnesses", lambda run, deliveries: None)
    monkeypatch.setattr(prose, "hand_out_receipts", lambda run, unit: None)
    names = ("resolve_links", "summarise_night", "hold_or_pass", "pairs_to_review", "keep_compared_pairs")
    for name in (*names, "load_links", "log_deletions", "publish_linkage_report"):
        monkeypatch.setattr(prose, name, stage(name)(lambda *_: planted))
    state = linkage_flow(lambda night, unit, erased_of: (planted, planted))
    assert state.is_completed()
    assert planted.encode() not in stored()


def _finished(completed: bool = True) -> Any:
    state = SimpleNamespace(name="Completed" if completed else "Failed", is_completed=lambda: completed)
    return SimpleNamespace(state=state)


def test_the_coordinator_starts_the_custodians_then_the_linkage_unit_and_passes_a_date_only(
    coordinator_flow,
) -> None:  # noqa: ANN001
    started: list[tuple[str, dict[str, str]]] = []

    def run_deployment(deployment: str, *, parameters: dict[str, str], **_: object) -> Any:
        started.append((deployment, parameters))
        return _finished()

    assert coordinator_flow(run_deployment).is_completed()
    assert {name for name, _ in started[:2]} == {"encode-and-deliver/hospital", "encode-and-deliver/pharmacy"}
    assert [name for name, _ in started[2:]] == ["link-and-load/linkage-unit"]
    assert all(parameters == {"as_of": AS_OF} for _, parameters in started)


def test_the_linkage_unit_is_not_started_when_a_custodian_failed(coordinator_flow) -> None:  # noqa: ANN001
    started: list[str] = []

    def run_deployment(deployment: str, **_: object) -> Any:
        started.append(deployment)
        return _finished(completed="pharmacy" not in deployment)

    state = coordinator_flow(run_deployment)
    assert state.is_failed()
    assert "E-PARTY-FAILED: found the flow of pharmacy in the state Failed" in state.message
    assert sorted(started) == ["encode-and-deliver/hospital", "encode-and-deliver/pharmacy"]


def test_a_run_without_a_state_is_a_failed_party(coordinator_flow) -> None:  # noqa: ANN001
    state = coordinator_flow(lambda deployment, **_: SimpleNamespace(state=None))
    assert "in the state unknown" in state.message


@pytest.mark.parametrize("as_of", ["tomorrow", "2026-02-30"])
def test_a_parameter_that_is_no_date_fails_with_a_code(prefect_home: Path, as_of: str) -> None:
    from flows.coordinator.coordinate_night import coordinate_night

    state = coordinate_night(as_of, return_state=True)
    assert state.is_failed() and "E-INPUT" in state.message
