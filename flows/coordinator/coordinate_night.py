"""One server for all: start the custodians' flows, then the linkage unit's. Zone: coordinator.

Nothing but a date passes from here to the parties; what they hand each other goes through the exchange.
"""

from __future__ import annotations

from contextlib import suppress

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.runtime import flow_run

from linkage_core.errors import NightlinkError
from tasks.protocol.nights import night_of
from tasks.protocol.stages import coded_errors_only

DEADLINE_S = 4 * 3600


def name_of_night() -> str:
    """``night 2026-03-31``, whoever started it; a date that is none fails in the flow, with its code."""
    asked = flow_run.parameters
    with suppress(NightlinkError):
        return f"night {night_of(asked.get('as_of'), asked.get('time_zone', 'UTC'))}"
    return "night without a date"


@flow(name="coordinate-night", flow_run_name=name_of_night, persist_result=False, log_prints=False)
@coded_errors_only
def coordinate_night(
    as_of: str | None = None,
    time_zone: str = "UTC",
    custodians: tuple[str, ...] = ("hospital", "pharmacy"),
) -> None:
    """Every custodian delivers, at the same time; then the linkage unit links and loads."""
    night = night_of(as_of, time_zone).isoformat()
    deliveries = [start_party.submit(f"encode-and-deliver/{name}", name, night) for name in custodians]
    for delivery in deliveries:
        delivery.result()
    start_party("link-and-load/linkage-unit", "linkage-unit", night)


@task(
    name="start party", task_run_name="{party}", cache_policy=NO_CACHE, persist_result=False, log_prints=False
)
@coded_errors_only
def start_party(deployment: str, party: str, night: str) -> None:
    """Run a party's deployment to its end; E-PARTY-FAILED when it did not complete."""
    run = run_deployment(
        deployment,
        parameters={"as_of": night},
        flow_run_name=f"{party} {night}",
        tags=[party, night],
        timeout=DEADLINE_S,
        poll_interval=1,
    )
    state = run.state
    if state is None or not state.is_completed():
        raise NightlinkError(
            "E-PARTY-FAILED",
            found=f"the flow of {party} in the state {state.name if state else 'unknown'}",
            expected="Completed",
            remedy=f"Open the run '{party} {night}' in the Prefect UI: its failed task names stage and code.",
        )
