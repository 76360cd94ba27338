"""The demo's Prefect: a server on PostgreSQL, three pools with a worker each, the deployments, one night."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from deployments.demo.parties import CHECKOUT, Party
from deployments.demo.processes import DemoProcesses
from linkage_core.errors import NightlinkError
from sql.servers import pick_free_port
from tasks.coordinator.party_processes import party_environment
from tasks.coordinator.settings import PartySettings

# With these no process of Prefect's was seen to look up a host outside this machine.
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
}
# The server forgets by itself: ended flow runs, with their logs and artifacts, and events.
RETENTION = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 86_400),
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P30D",  # this one is no number of seconds
}
SERVER_START_S = 120
Announce = Callable[[str], None]


@dataclass(frozen=True)
class PrefectServer:
    """Where the running server is."""

    port: int
    home: Path

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def start_server(
    processes: DemoProcesses,
    party: Party,
    database_url: str,
    python: str = sys.executable,
    port: int | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> PrefectServer:
    """Start the server and wait until it answers; E-SERVER with the log's path when it does not.

    ``port``: a free one by default; ``more``: settings of Prefect's beside the demo's own.
    """
    server = PrefectServer(port or pick_free_port(), party.home)
    environment = {
        **QUIET,
        **RETENTION,
        "HOME": str(party.home),
        "PREFECT_HOME": str(party.home / "prefect"),
        "PREFECT_UI_STATIC_DIRECTORY": str(party.home / "ui"),
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url.replace(
            "postgresql://", "postgresql+asyncpg://", 1
        ),
        "PREFECT_UI_API_URL": server.api_url,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
    command = [python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(server.port)]
    process = processes.start("prefect-server", command, environment, cwd=party.home, user=party.user)
    give_up = time.monotonic() + SERVER_START_S
    while not _answers(f"{server.api_url}/health"):
        if process.poll() is not None or time.monotonic() > give_up:
            raise _not_up("the Prefect server", processes.log_path("prefect-server"))
        time.sleep(0.2)
    return server


def _answers(url: str) -> bool:
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def _not_up(what: str, log: Path) -> NightlinkError:
    return NightlinkError(
        "E-SERVER",
        found=f"{what} ended or did not answer in time",
        expected=f"an answer within {SERVER_START_S} s",
        remedy=f"Its own words are in {log} while the demo's folder is kept (--keep).",
    )


def client_environment(server: PrefectServer, home: Path) -> dict[str, str]:
    """What a client of this server needs to see."""
    return {
        **QUIET,
        "PREFECT_API_URL": server.api_url,
        "PREFECT_HOME": str(home / "prefect"),
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def start_worker(
    processes: DemoProcesses, server: PrefectServer, party: Party, settings: PartySettings
) -> None:
    """A worker for the party's pool, with the party's environment, folder and user."""
    environment = {
        **client_environment(server, party.home),
        **party_environment(settings),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    command += ["--pool", party.name, "--name", f"{party.name}-worker"]
    processes.start(f"{party.name}-worker", command, environment, cwd=party.home, user=party.user)


def deploy_flows(server: PrefectServer, home: Path) -> None:
    """`prefect deploy --all` of deployments/prefect.yaml, as a data engineer would; E-SERVER when it fails."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    command += ["--prefect-file", "deployments/prefect.yaml"]
    outcome = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=client_environment(server, home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if outcome.returncode != 0:
        raise NightlinkError(
            "E-SERVER",
            found=f"prefect deploy ended with exit code {outcome.returncode}: {outcome.stdout[-800:]}",
            expected="all deployments of deployments/prefect.yaml",
            remedy="Correct deployments/prefect.yaml.",
        )


@dataclass
class StageTimes:
    """Seconds by flow run and stage, as Prefect saw them, and each flow run's peak memory as its stages told it."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_mib: dict[str, int] = field(default_factory=dict)


def use_server(server: PrefectServer, home: Path) -> None:
    """Point this process's own Prefect client at the server; before Prefect is imported."""
    os.environ.update(
        {k: v for k, v in client_environment(server, home).items() if k.startswith(("PREFECT_", "DO_"))}
    )


def bootstrap(server: PrefectServer, home: Path, pools: Iterable[str]) -> None:
    """`nightlink prefect bootstrap`, as an administrator would; E-SERVER when it fails."""
    named = [word for name in pools for word in ("--pool", name)]
    command = [sys.executable, "-m", "flows.command_line", "prefect", "bootstrap", *named]
    environment = {**client_environment(server, home), "PYTHONPATH": str(CHECKOUT)}
    outcome = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if outcome.returncode != 0:
        raise NightlinkError(
            "E-SERVER",
            found=f"nightlink prefect bootstrap ended with exit code {outcome.returncode}: {outcome.stderr[-800:]}",
            expected="work pools and automations",
            remedy="Look the code up in deployments/README.md.",
        )


def run_night(as_of: str, processes: DemoProcesses, deadline_s: float, announce: Announce) -> StageTimes:
    """Trigger the coordinator for one night and follow it to its end.

    Raises
    ------
    NightlinkError
        E-PARTY-FAILED with each failed stage's message (coded, by construction), E-TIMEOUT, E-SERVER when one
        of the demo's processes died.
    """
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    run = run_deployment("coordinate-night/nightly", parameters={"as_of": as_of}, flow_run_name=f"night {as_of}",
                         tags=["night", as_of], timeout=0)  # fmt: skip
    give_up, seen = time.monotonic() + deadline_s, set[str]()
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(run.id).state
            _announce_changes(client, as_of, seen, announce)
            if state is not None and state.is_final():
                break
            _check_alive(processes, give_up)
            time.sleep(0.5)
        if not state.is_completed():
            raise _night_failed(client, as_of)
        return _stage_times(client, as_of)


def _check_alive(processes: DemoProcesses, give_up: float) -> None:
    dead = processes.first_dead()
    if dead is not None:
        raise _not_up(dead, processes.log_path(dead))
    if time.monotonic() > give_up:
        raise NightlinkError(
            "E-TIMEOUT", found="the night still at work", expected="an end within the demo's deadline",
            remedy="Give --deadline a larger number of seconds.",
        )  # fmt: skip


def _task_runs(client, as_of: str):  # noqa: ANN001, ANN202 - Prefect's client types
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags

    of_night = FlowRunFilter(tags=FlowRunFilterTags(all_=[as_of]))
    flow_runs = {run.id: run for run in client.read_flow_runs(flow_run_filter=of_night)}
    tasks = client.read_task_runs(flow_run_filter=of_night, limit=200)
    return flow_runs, sorted((t for t in tasks if t.start_time), key=lambda t: t.start_time)


def _announce_changes(client, as_of: str, seen: set[str], announce: Announce) -> None:  # noqa: ANN001
    flow_runs, tasks = _task_runs(client, as_of)
    for task in tasks:
        if task.state is None or not task.state.is_final() or str(task.id) in seen:
            continue
        seen.add(str(task.id))
        run = flow_runs.get(task.flow_run_id)
        party = run.name.removesuffix(as_of).strip() if run else "?"
        if party != "night":
            seconds = task.total_run_time.total_seconds()
            announce(f"{party:<14}{task.name:<36}{task.state.name:<11}{seconds:7.2f} s")


def _night_failed(client, as_of: str) -> NightlinkError:  # noqa: ANN001
    flow_runs, tasks = _task_runs(client, as_of)
    failed = [
        f"{flow_runs[t.flow_run_id].name}, {t.name}: {t.state.message}"
        for t in tasks
        if t.state and t.state.is_failed() and not flow_runs[t.flow_run_id].name.startswith("night ")
    ]
    failed = failed or [
        f"{r.name}: {r.state.message}"
        for r in flow_runs.values()
        if r.state and r.state.is_final() and not r.state.is_completed()
    ]
    return NightlinkError(
        "E-PARTY-FAILED", found="; ".join(failed) or "a night that did not complete", expected="a completed night",
        remedy="The Prefect UI shows the failed stage; the code is explained in deployments/README.md.",
    )  # fmt: skip


def _stage_times(client, as_of: str) -> StageTimes:  # noqa: ANN001
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    flow_runs, tasks = _task_runs(client, as_of)
    times = StageTimes()
    for task in tasks:
        party = flow_runs[task.flow_run_id].name.removesuffix(as_of).strip()
        if party != "night":
            times.seconds.setdefault(party, {})[task.name] = round(task.total_run_time.total_seconds(), 3)
    for run_id, run in flow_runs.items():
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])), limit=200)
        peaks = [int(log.message.rpartition("peak ")[2].split()[0]) for log in logs if "peak " in log.message]
        if peaks:
            times.peak_mib[run.name.removesuffix(as_of).strip()] = max(peaks)
    return times


def random_password() -> str:
    """A password that needs no quoting anywhere."""
    return secrets.token_urlsafe(24)
