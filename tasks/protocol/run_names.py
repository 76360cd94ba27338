"""What a flow run is called in Prefect's lists: party and night, also where a schedule started it. Zone: protocol."""

from __future__ import annotations

from datetime import UTC


def name_of_run() -> str:
    """``hospital 2026-03-31``; of a scheduled run, whose night its party's own settings tell, when it was due.

    For ``flow_run_name``: Prefect calls it when the run begins. The party is the deployment's name.
    """
    from prefect.runtime import deployment, flow_run

    party = deployment.name or str(flow_run.flow_name)
    as_of = (flow_run.parameters or {}).get("as_of")
    if as_of:
        return f"{party} {as_of}"
    return f"{party} due {flow_run.scheduled_start_time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
