"""A real Prefect server after `nightlink prefect bootstrap`: put there once, and what it watches for, it sees."""

from __future__ import annotations

import http.server
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from deployments.demo.parties import CHECKOUT, Party, SystemUser
from deployments.demo.prefect_night import PrefectServer, client_environment, start_server
from deployments.demo.processes import DemoProcesses
from sql.owned_databases import create_owned_database
from sql.servers import PostgresServer
from tasks.protocol.watched import PUBLISHED_EVENT

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
POOLS = ["hospital", "pharmacy", "linkage-unit"]
# The vacuum looks every two seconds, so that a test need not wait for an hour.
HASTY = {"PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "2"}


@dataclass
class Watched:
    """The server, where its rows lie, and what a webhook was told."""

    server: PrefectServer
    database_url: str
    home: Path
    heard: list[dict[str, Any]] = field(default_factory=list)
    webhook: str = ""

    def bootstrap(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {**client_environment(self.server, self.home), "PYTHONPATH": str(CHECKOUT)}
        return subprocess.run(
            [sys.executable, "-m", "flows.command_line", "prefect", "bootstrap", *options],
            cwd=self.home, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    root = Path(tempfile.mkdtemp(prefix="nightlink-watch-"))
    root.chmod(0o711)
    (root / "logs").mkdir()
    party = Party("prefect", SystemUser(None), root / "prefect")
    party.home.mkdir(parents=True)
    postgres = PostgresServer.create(
        root / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False
    ).start()
    processes = DemoProcesses(root)
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Webhook)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    before = dict(os.environ)
    try:
        url = create_owned_database(postgres.superuser_url(), "prefect", secrets.token_urlsafe(16))
        server = start_server(processes, party, url, more=HASTY)
        os.environ.update(client_environment(server, party.home))
        _Webhook.heard = heard = []
        yield Watched(server, url, party.home, heard, f"http://127.0.0.1:{listener.server_port}/")
    finally:
        os.environ.clear()
        os.environ.update(before)
        listener.shutdown()
        processes.stop_all()
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)


class _Webhook(http.server.BaseHTTPRequestHandler):
    heard: list[dict[str, Any]]

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def until(seen: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    give_up = time.monotonic() + timeout_s
    while not (found := seen()):
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.5)
    return found


def client() -> Any:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        return get_client(sync_client=True)


def automations(watched: Watched) -> list[tuple[Any, ...]]:
    return watched.rows(
        "SELECT id, name, enabled, updated, trigger::text, actions::text FROM automation ORDER BY name"
    )


def a_run(name: str, tag: str) -> uuid.UUID:
    """A flow run of nobody, with the tags of our deployments."""
    from prefect.flows import flow
    from prefect.states import Running

    with client() as prefect:
        run = prefect.create_flow_run(
            flow(name="encode-and-deliver")(_nothing), name=name, tags=["nightlink", tag]
        )
        prefect.set_flow_run_state(run.id, Running(), force=True)
    return run.id


def _nothing() -> None:
    """The flow whose process is not there."""


def emit(watched: Watched, event: str, resource: dict[str, str], tags: tuple[str, ...] = ()) -> None:
    """As Prefect's client does, over its API."""
    import httpx

    related = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags]
    body = {
        "event": event, "id": str(uuid.uuid4()), "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "resource": resource, "related": related, "payload": {},
    }  # fmt: skip
    httpx.post(f"{watched.server.api_url}/events", json=[body], timeout=10).raise_for_status()


def state_of(run: uuid.UUID) -> tuple[str, str]:
    with client() as prefect:
        state = prefect.read_flow_run(run).state
    return state.name, state.message or ""


def put_hasty_automations(watched: Watched) -> None:
    """Ours, with the shortest waits that Prefect takes, and a webhook that is told."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.coordinator.prefect_commands import bootstrap_server
    from tasks.coordinator.automations import Patience

    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        CustomWebhookNotificationBlock(
            name="nights", url=watched.webhook, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        ).save("nights", overwrite=True)
        ten = timedelta(seconds=10)
        bootstrap_server(POOLS, Patience(ten, ten, ten), "custom-webhook/nights")


def test_twice_is_once(watched: Watched) -> None:
    first = watched.bootstrap()
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("created") == 3 + 4
    assert "retention: flow runs 90 days, events 30 days" in first.stdout
    made = automations(watched)
    assert len(made) == 4

    watched.rows("UPDATE automation SET enabled = false WHERE name = 'nightlink: late delivery'")
    before = automations(watched)
    again = watched.bootstrap()
    assert again.returncode == 0, again.stderr
    assert again.stdout.count(": there") == 3 + 4 and "created" not in again.stdout
    assert automations(watched) == before, "what somebody paused stays paused"

    changed = watched.bootstrap("--publication-hours", "50")
    assert "'nightlink: no publication': changed" in changed.stdout
    assert [row[0] for row in automations(watched)] == [row[0] for row in made], "the same four"
    missing = watched.bootstrap("--notify", "slack-webhook/nobody")
    assert missing.returncode == 1 and missing.stderr.startswith("E-PREFECT: ")
    watched.rows("UPDATE automation SET enabled = true")


def test_a_failed_night_is_told_with_its_code(watched: Watched) -> None:
    from prefect.states import Failed

    put_hasty_automations(watched)
    run = a_run("hospital 2026-03-31", "custodian")
    with client() as prefect:
        prefect.set_flow_run_state(
            run, Failed(message="E-SRC-UNAVAILABLE: found nothing that answers"), force=True
        )
    told = until(lambda: [one for one in watched.heard if one["subject"] == "Nightlink: A night failed"])
    assert told[0]["body"] == "hospital 2026-03-31: E-SRC-UNAVAILABLE: found nothing that answers"


def test_silence_is_told_and_a_publication_ends_it(watched: Watched) -> None:
    put_hasty_automations(watched)

    def told() -> list[dict[str, Any]]:
        return [one for one in watched.heard if one["subject"] == "Nightlink: No night was published"]

    before = len(told())
    until(lambda: len(told()) > before)
    spoken = len(told())
    ended = time.monotonic() + 25
    while time.monotonic() < ended:
        emit(watched, PUBLISHED_EVENT, {"prefect.resource.id": "nightlink.project.demo"})
        time.sleep(2)
    assert len(told()) <= spoken + 1, "published every two seconds"
    until(lambda: len(told()) > spoken)


def test_a_late_custodian_is_told_and_a_punctual_one_is_not(watched: Watched) -> None:
    from prefect.states import Completed

    put_hasty_automations(watched)
    punctual = a_run("pharmacy 2026-04-01", "custodian")
    with client() as prefect:
        prefect.set_flow_run_state(punctual, Completed(), force=True)
    a_run("hospital 2026-04-01", "custodian")
    told = until(lambda: [one for one in watched.heard if one["subject"] == "Nightlink: A delivery is late"])
    assert {one["body"] for one in told} == {"hospital 2026-04-01 has not ended."}


def test_a_zombie_is_called_crashed_and_a_run_that_ended_stays_as_it_ended(watched: Watched) -> None:
    from prefect.states import Completed

    put_hasty_automations(watched)
    zombie, ended = a_run("hospital 2026-04-02", "custodian"), a_run("pharmacy 2026-04-02", "custodian")
    with client() as prefect:
        prefect.set_flow_run_state(ended, Completed(), force=True)
    for run in (zombie, ended):  # a heartbeat that was on its way when the run ended comes after its end
        resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
        emit(watched, "prefect.flow-run.heartbeat", resource, ("nightlink", "custodian"))
    name, message = until(lambda: state_of(zombie)[0] == "Crashed" and state_of(zombie))
    assert message.startswith("No heartbeat")
    time.sleep(8)
    assert state_of(ended)[0] == "Completed"


def test_old_runs_are_forgotten_and_new_ones_are_not(watched: Watched) -> None:
    from prefect.states import Completed

    old, new = a_run("hospital 2025-01-01", "custodian"), a_run("hospital 2026-04-03", "custodian")
    with client() as prefect:
        for run in (old, new):
            prefect.set_flow_run_state(run, Completed(), force=True)
    watched.rows("UPDATE flow_run SET end_time = now() - interval '91 days' WHERE id = %s", str(old))
    until(lambda: watched.rows("SELECT count(*) FROM flow_run WHERE id = %s", str(old)) == [(0,)])
    assert watched.rows("SELECT count(*) FROM flow_run WHERE id = %s", str(new)) == [(1,)]


def test_a_server_that_keeps_everything_is_refused(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "home").mkdir()
    party, processes = Party("prefect", SystemUser(None), tmp_path), DemoProcesses(tmp_path)
    keeps = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events"}
    try:
        server = start_server(processes, party, watched.database_url, more=keeps)
        answer = Watched(server, "", party.home).bootstrap()
    finally:
        processes.stop_all()
    assert answer.returncode == 1 and "never removes old flow runs" in answer.stderr, answer.stderr
