"""What an orchestrator is told beside its log: that a night was published, and how far a long stage is. Zone: protocol.

Outside of a Prefect flow run there is nobody to tell. A server that does not answer costs a line and never the night:
Prefect only watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tasks.protocol.stages import announce, inside_flow_run

PUBLISHED_EVENT = "nightlink.night.published"
PROGRESS_EVERY_S = 30.0
R = TypeVar("R")


def tell_published(project: str, night: str) -> None:
    """The event by whose absence *no publication for 26 hours* is known."""

    def emit() -> None:
        from prefect.events import emit_event

        emit_event(
            PUBLISHED_EVENT,
            resource={
                "prefect.resource.id": f"nightlink.project.{project}",
                "prefect.resource.name": project,
            },
            payload={"night": night},
        )

    watched("the event of the publication", emit)


def watched(what: str, tell: Callable[[], Any]) -> Any:
    """Tell Prefect something inside a flow run; None where that fails, or outside of one."""
    if not inside_flow_run():
        return None
    try:
        return tell()
    except Exception as error:
        announce(f"Prefect was not told {what}: {type(error).__name__}")
        return None


@dataclass
class StageProgress:
    """Parts of a long stage as they are done: a line, and Prefect's progress artifact, every half minute.

    A stage that ends sooner leaves no artifact.
    """

    key: str
    """Of the artifact: the same every night, so that Prefect shows its history."""
    parts: int
    clock: Callable[[], float] = time.monotonic
    _told: float = field(init=False)
    _artifact: Any = None

    def __post_init__(self) -> None:
        self._told = self.clock()

    def done(self, count: int) -> None:
        """So many parts are done by now."""
        late = self.clock() - self._told >= PROGRESS_EVERY_S
        if not late and not (self._artifact is not None and count == self.parts):
            return
        self._told = self.clock()
        announce(f"{self.key}: {count} of {self.parts} parts done")
        self._artifact = (
            watched("the progress", lambda: self._put(100 * count / self.parts)) or self._artifact
        )

    def _put(self, percent: float) -> Any:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if self._artifact is None:
            return create_progress_artifact(percent, key=self.key, description=f"{self.parts} parts")
        update_progress_artifact(self._artifact, percent)
        return self._artifact


def with_progress(key: str, parts: int, results: Iterator[R]) -> Iterator[R]:
    """The results of a long stage's parts as they come, told as :class:`StageProgress` tells it."""
    progress = StageProgress(key, parts)
    for count, result in enumerate(results, start=1):
        progress.done(count)
        yield result
