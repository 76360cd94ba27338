"""One Prefect test server for the session, and all that it keeps, to search for what must not be there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# Before Prefect is imported: nothing asks a host outside this machine, and logs arrive soon.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
    }
)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which a running Prefect test server and its client keep everything."""
    import tempfile

    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    with temporary_settings({PREFECT_HOME: home}), ExitStack() as stack:
        # The harness puts its database into a temporary folder; those of later tests belong elsewhere.
        previous, tempfile.tempdir = tempfile.tempdir, str(home)
        try:
            stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        finally:
            tempfile.tempdir = previous
        yield home


@pytest.fixture
def told(prefect_home: Path) -> Callable[[Any], str]:
    """Factory ``told(state) -> text``: state, task states and logs of a flow run, as the server has them."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        LogFilter,
        LogFilterFlowRunId,
    )
    from prefect.logging.handlers import APILogHandler

    def read(state: Any) -> str:
        run_id = state.state_details.flow_run_id
        APILogHandler().flush()
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
        with get_client(sync_client=True) as client:
            give_up = time.monotonic() + 20
            while True:
                logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])), limit=200)
                if any("Finished in state" in log.message for log in logs) or time.monotonic() > give_up:
                    break
                time.sleep(0.2)
            run = client.read_flow_run(run_id)
            tasks = client.read_task_runs(flow_run_filter=of_run)
        states = [run.state, *(task.state for task in tasks)]
        lines = [f"{task.name}: {task.state_type}" for task in tasks]
        return "\n".join(
            [*(f"{s.name} {s.message}" for s in states if s), *lines, *(log.message for log in logs)]
        )

    return read


@pytest.fixture
def stored(prefect_home: Path) -> Callable[[], bytes]:
    """Factory ``stored() -> bytes``: every byte of every file that Prefect keeps, its database included."""

    def read() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(prefect_home.rglob("*")) if path.is_file())

    return read
