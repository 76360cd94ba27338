"""`nightlink prefect`: what a Prefect server has to know of the nights. Zone: coordinator."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from linkage_core.errors import NightlinkError
from tasks.coordinator.automations import Patience, night_automations
from tasks.coordinator.prefect_server import (
    notification_block,
    put_automations,
    put_work_pools,
    server_retention,
)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
POOLS = ("hospital", "pharmacy", "linkage-unit")


@app.callback()
def _group() -> None:
    """A Prefect server that watches the nights; $PREFECT_API_URL names it."""


@app.command()
def bootstrap(
    pool: Annotated[list[str], typer.Option("--pool", help="a party's work pool; once for each")] = POOLS,  # type: ignore[assignment]
    notify: Annotated[
        str | None, typer.Option("--notify", help="TYPE/NAME of a notification block that tells somebody")
    ] = None,
    publication_hours: Annotated[
        float, typer.Option("--publication-hours", min=0.01, help="longest wait for a publication")
    ] = 26,
    delivery_hours: Annotated[
        float, typer.Option("--delivery-hours", min=0.01, help="longest wait for a custodian")
    ] = 2,
    heartbeat_minutes: Annotated[
        float, typer.Option("--heartbeat-minutes", min=9, help="without a heartbeat this long a run is dead")
    ] = 9,
) -> None:
    """Put work pools and automations there, and see that old runs are removed. Again, it changes nothing."""
    patience = Patience(
        timedelta(minutes=heartbeat_minutes),
        timedelta(hours=publication_hours),
        timedelta(hours=delivery_hours),
    )
    typer.echo("\n".join(bootstrap_server(list(pool), patience, notify)))


def bootstrap_server(pools: list[str], patience: Patience, notify: str | None = None) -> list[str]:
    """What was done, a line each; E-PREFECT when the server cannot be reached or keeps everything for ever."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            told = put_work_pools(client, pools)
            block = notification_block(client, notify) if notify else None
            told += put_automations(client, night_automations(patience, block))
            runs, events = server_retention(client)
    except (HTTPError, RuntimeError) as error:
        raise NightlinkError(
            "E-PREFECT",
            found=f"no good answer of the Prefect server ({type(error).__name__})",
            expected="a running server at $PREFECT_API_URL",
            remedy="Start the server, or correct PREFECT_API_URL.",
        ) from None
    return [*told, f"retention: flow runs {runs.days} days, events {events.days} days"]
