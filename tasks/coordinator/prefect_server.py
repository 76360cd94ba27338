"""What a Prefect server has to know of the nights; to put it there again changes nothing. Zone: coordinator."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from linkage_core.errors import NightlinkError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

VACUUM = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs"


def put_work_pools(client: SyncPrefectClient, names: Iterable[str]) -> list[str]:
    """A process work pool for each party, without a limit; what was done, a line each."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    told = []
    for name in names:
        try:
            client.read_work_pool(name)
            told.append(f"work pool {name}: there")
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            told.append(f"work pool {name}: created")
    return told


def put_automations(client: SyncPrefectClient, wanted: Iterable[AutomationCore]) -> list[str]:
    """Create what is missing and change what differs; one that somebody paused stays paused."""
    told = []
    for automation in wanted:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            told.append(f"automation {automation.name!r}: created")
            continue
        for surplus in found[1:]:
            client.delete_automation(surplus.id)
        kept = automation.model_copy(update={"enabled": found[0].enabled})
        if len(found) == 1 and _as_stored(found[0]) == _as_stored(kept):
            told.append(f"automation {automation.name!r}: there")
        else:
            client.update_automation(found[0].id, kept)
            told.append(f"automation {automation.name!r}: changed")
    return told


def _as_stored(automation: AutomationCore) -> dict[str, Any]:
    from prefect.events.schemas.automations import AutomationCore

    # Not as JSON: there a set becomes a list, in whatever order, and what is the same would be called changed.
    return AutomationCore.model_validate(automation.model_dump()).model_dump(exclude={"tags"})


def notification_block(client: SyncPrefectClient, name: str) -> UUID:
    """The document of a notification block, by ``TYPE/NAME``; E-PREFECT when there is none."""
    from prefect.exceptions import ObjectNotFound

    block_type, _, block = name.partition("/")
    try:
        return client.read_block_document_by_name(block, block_type, include_secrets=False).id
    except ObjectNotFound:
        raise NightlinkError(
            "E-PREFECT",
            found=f"no notification block {name!r} on the Prefect server",
            expected="TYPE/NAME of one, such as slack-webhook/nights",
            remedy="Make it in the Prefect UI under Blocks, or leave --notify out.",
        ) from None


def server_retention(client: SyncPrefectClient) -> tuple[timedelta, timedelta]:
    """How long the server keeps ended flow runs and events; E-PREFECT when it never removes flow runs."""
    server = client.request("GET", "/admin/settings").json()["server"]
    vacuum = server["services"]["db_vacuum"]
    enabled = vacuum["enabled"] if vacuum["enabled"] is not None else []
    if enabled is not True and (not isinstance(enabled, list) or "flow_runs" not in enabled):
        raise NightlinkError(
            "E-PREFECT",
            found="a Prefect server that never removes old flow runs",
            expected=f"{VACUUM} in its environment",
            remedy="Set it, and PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD in seconds; start the server again.",
        )
    return _seconds(vacuum["retention_period"]), _seconds(server["events"]["retention_period"])


def _seconds(value: Any) -> timedelta:
    from pydantic import TypeAdapter

    return TypeAdapter(timedelta).validate_python(value)
