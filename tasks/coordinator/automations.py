"""What Prefect is to watch for by itself, as automations. Zone: coordinator.

Each is matched by the tag ``nightlink``, which the deployments of ``deployments/prefect.yaml`` carry. What a
notification quotes is a flow run's name and its state's message: coded errors alone, so never a value of a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from tasks.protocol.watched import PUBLISHED_EVENT

if TYPE_CHECKING:
    from prefect.events.actions import ActionTypes
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

PREFIX = "nightlink: "
_TAGGED = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.nightlink"}
_CUSTODIANS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.custodian"}
_ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
_HEARTBEAT = "prefect.flow-run.heartbeat"


@dataclass(frozen=True)
class Patience:
    """How long Prefect waits before it speaks.

    Attributes
    ----------
    heartbeat : timedelta
        Without a heartbeat for this long a running flow run is a zombie. Workers send one a minute
        (``PREFECT_FLOWS_HEARTBEAT_FREQUENCY=60``); nine that are lost in a row are no hiccup.
    publication : timedelta
        A night, and two hours for one that is slow.
    delivery : timedelta
        From the moment when a custodian's flow run is due, or begins, to its end.
    """

    heartbeat: timedelta = timedelta(minutes=9)
    publication: timedelta = timedelta(hours=26)
    delivery: timedelta = timedelta(hours=2)


def night_automations(patience: Patience, notify: UUID | None) -> list[AutomationCore]:
    """The four automations.

    Parameters
    ----------
    patience : Patience
        How long each waits.
    notify : UUID or None
        A notification block's document; None: what fires is seen in Prefect's own list of events.
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState

    crash = ChangeFlowRunState(
        state=StateType.CRASHED,
        name="Crashed",
        message="No heartbeat: its process is gone. Run the night again; the ledger knows what was done.",
    )
    return [
        _automation(
            "zombie run",
            "A flow run whose process died without a word is called crashed.",
            _silence({_HEARTBEAT}, {_HEARTBEAT, *_ENDED}, patience.heartbeat, _TAGGED),
            [crash],
        ),
        _automation(
            "failed night",
            "A party's flow run, or the coordinator's, failed: its message names stage and code.",
            _presence({f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}),
            _notices(notify, "A night failed", "{{ flow_run.name }}: {{ flow_run.state.message }}"),
        ),
        _automation(
            "no publication",
            f"No night was published for {_hours(patience.publication)}; the last one's links are served.",
            _no_publication(patience.publication),
            _notices(notify, "No night was published", f"None for {_hours(patience.publication)}."),
        ),
        _automation(
            "late delivery",
            f"A custodian's flow run had not ended {_hours(patience.delivery)} after it was due.",
            _silence(
                {"prefect.flow-run.Late", "prefect.flow-run.Running"}, _ENDED, patience.delivery, _CUSTODIANS
            ),
            _notices(notify, "A delivery is late", "{{ flow_run.name }} has not ended."),
        ),
    ]


def _automation(
    name: str, description: str, trigger: EventTrigger, actions: list[ActionTypes]
) -> AutomationCore:
    from prefect.events.schemas.automations import AutomationCore

    return AutomationCore(name=PREFIX + name, description=description, trigger=trigger, actions=actions)


def _notices(notify: UUID | None, subject: str, body: str) -> list[ActionTypes]:
    from prefect.events.actions import DoNothing, SendNotification

    if notify is None:
        return [DoNothing()]
    return [SendNotification(block_document_id=notify, subject=f"Nightlink: {subject}", body=body)]


def _presence(events: set[str]) -> EventTrigger:
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        expect=events,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_TAGGED,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _silence(after: set[str], expect: set[str], within: timedelta, tagged: dict[str, str]) -> EventTrigger:
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        after=after,
        expect=expect,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=tagged,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _no_publication(within: timedelta) -> EventTrigger:
    from prefect.events.schemas.automations import EventTrigger, Posture

    # `after` and `expect` are the same event, so that each publication begins the wait anew. Without `for_each` Prefect
    # begins it by itself as well: the silence of a night that was never published is heard, and again every so often.
    return EventTrigger(
        after={PUBLISHED_EVENT},
        expect={PUBLISHED_EVENT},
        match={"prefect.resource.id": "nightlink.project.*"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _hours(wait: timedelta) -> str:
    return f"{wait.total_seconds() / 3600:g} hours"
