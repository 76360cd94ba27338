"""`nightlink run`: one night without Prefect. Zone: coordinator."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tasks.coordinator.party_processes import run_parties
from tasks.coordinator.settings import night_settings
from tasks.protocol.nights import parse_as_of
from tasks.protocol.zones import SETTINGS_VARIABLE

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    as_of: Annotated[str, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")],
    parties: Annotated[
        Path | None,
        typer.Option("--parties", help="the night settings file; else $NIGHTLINK_NIGHT_SETTINGS"),
    ] = None,
) -> None:
    """Run one night: the custodians at the same time, then the linkage unit. Running it again changes nothing."""
    night = parse_as_of(as_of).isoformat()
    path = parties or Path(os.environ.get(SETTINGS_VARIABLE["coordinator"], "night.toml"))
    run_night(night, path)


def run_night(night: str, path: Path) -> None:
    """The night's two halves; E-PARTY-FAILED when a party fails, and then nothing is published."""
    settings = night_settings(path)
    run_parties(settings.of_zone("custodian"), night, settings.deadline_s, _announce)
    run_parties(settings.of_zone("linkage_unit"), night, settings.deadline_s, _announce)
    _announce(f"night {night}: done")


def _announce(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
