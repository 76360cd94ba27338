"""`nightlink demo`: a whole night on real parts, on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from linkage_core.errors import NightlinkError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DEFAULT_PEOPLE = 20_000


@app.command()
def demo(
    people: Annotated[
        Path | None, typer.Option("--people", help="a folder with a.parquet, b.parquet and truth.parquet")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=100, help="people a side to generate")
    ] = DEFAULT_PEOPLE,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="the date; else one that suits the people")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="stop when the figures are printed")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures as one JSON")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="copy logs and report to this new folder")
    ] = None,
    servers: Annotated[
        Path | None,
        typer.Option("--servers", help="own PostgreSQL servers: deployments/settings/servers.toml"),
    ] = None,
    deadline_s: Annotated[float, typer.Option("--deadline", help="seconds that the night may take")] = 3600.0,
) -> None:
    """Three PostgreSQL servers, a Prefect server, three workers, one night; then it stays up until Ctrl-C."""
    from deployments.demo.data_folder import demo_folder
    from deployments.demo.own_servers import read_servers
    from tasks.protocol.nights import parse_as_of

    _refuse_bad_arguments(json_file, keep)
    own_servers = read_servers(servers)
    night = None if as_of is None else parse_as_of(as_of)
    _stop_on_signals()
    try:
        with demo_folder() as root, ExitStack() as stack:
            if keep is not None:
                stack.callback(_keep_folder, root, keep)
            figures = play_night(root, stack, people, count, night, deadline_s, own_servers)
            if json_file is not None:
                json_file.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")
            if not no_wait:
                _say("\nEverything stays up; Ctrl-C stops it all.")
                _wait_for_signal()
            _say("stopping ...")
    except _Stopped:
        _say("stopped")
        if not no_wait:
            return
        raise typer.Exit(130) from None


def play_night(
    root: Path,
    stack: ExitStack,
    people_folder: Path | None,
    count: int,
    night: date | None,
    deadline_s: float,
    own_servers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Set the stage, run the night through Prefect, compare with the truth, print; returns the figures."""
    from deployments.demo import prefect_night
    from deployments.demo.figures import own_estimates
    from deployments.demo.printing import print_estimates, print_figures
    from deployments.demo.processes import DemoProcesses
    from deployments.demo.stage_setting import choose_night, choose_people, set_stage

    seconds: dict[str, float] = {}
    with _timed("people", seconds):
        people = choose_people(people_folder, count)
        for note in people.notes:
            _say(note)
        night = night or choose_night(people)
    with _timed("servers and sources", seconds):
        world = set_stage(root, people, night, stack, _say, own_servers or {})
    processes = DemoProcesses(root)
    stack.callback(processes.stop_all)
    with _timed("Prefect's server", seconds):
        home = root / "demo_home"
        home.mkdir(mode=0o700)
        server = prefect_night.start_server(processes, world.parties["prefect"], world.prefect_database_url)
        _say(f"Prefect UI: {server.ui_url}")
    with _timed("pools, deployments, workers", seconds):
        prefect_night.use_server(server, home)
        prefect_night.bootstrap(server, home, world.party_names)
        prefect_night.deploy_flows(server, home)
        for name in world.party_names:
            prefect_night.start_worker(processes, server, world.parties[name], world.party_settings(name))
    with _timed("night", seconds):
        times = prefect_night.run_night(night.isoformat(), processes, deadline_s, _say)
    estimates = own_estimates(world, night)
    print_estimates(estimates)  # before the truth is looked at
    figures = {**_collect(world, night, server.ui_url, times, seconds), "estimates": estimates}
    print_figures(figures)
    return figures


def _collect(world: Any, night: date, ui_url: str, times: Any, seconds: dict[str, float]) -> dict[str, Any]:
    from deployments.demo.figures import collect_figures

    return {
        **collect_figures(world, night),
        "prefect_ui": ui_url,
        "report": (world.parties["linkage-unit"].folder / "reports" / f"{night.isoformat()}.html").as_uri(),
        "folder": str(world.folder),
        "night_settings": str(world.night_file),
        "separation": world.separation,
        "seconds": {"demo": seconds, **times.seconds},
        "peak_mib": times.peak_mib,
    }


class _timed:  # noqa: N801 - reads as a word in a with statement
    def __init__(self, what: str, seconds: dict[str, float]) -> None:
        self.what, self.seconds = what, seconds

    def __enter__(self) -> None:
        self.began = time.monotonic()
        _say(f"-- {self.what}")

    def __exit__(self, *_: object) -> None:
        self.seconds[self.what] = round(time.monotonic() - self.began, 2)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _keep_folder(root: Path, target: Path) -> None:
    """Logs, settings and report, without keys, secrets or databases."""
    shutil.copytree(
        root,
        target,
        ignore=shutil.ignore_patterns("pg_*", "secrets", "home", "work", "postgresql", "demo_home"),
    )


def _refuse_bad_arguments(json_file: Path | None, keep: Path | None) -> None:
    """Find out now, not when the night is over, that a result cannot be written."""
    if json_file is not None and not os.access(json_file.resolve().parent, os.W_OK):
        raise _bad_argument(f"--json {json_file}, in a folder that cannot be written", "a writable folder")
    if keep is not None and keep.exists():
        raise _bad_argument(f"--keep {keep}, which exists", "a path that does not exist yet")


def _bad_argument(found: str, expected: str) -> NightlinkError:
    return NightlinkError("E-INPUT", found=found, expected=expected, remedy="Give another path.")


class _Stopped(BaseException):
    """Ctrl-C or a termination signal: everything is stopped in order."""


def _stop_on_signals() -> None:
    def stop(*_: object) -> None:
        # A second signal must not interrupt the stopping.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _wait_for_signal() -> None:
    while True:
        time.sleep(3600)
