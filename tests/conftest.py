"""How the tests are divided between two processes."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file stays in one process, and all fault tests do: they share a world that is dear to make."""
    for item in items:
        kind, name = item.location[0].split("/")[1], item.location[0]
        item.add_marker(pytest.mark.xdist_group("faults" if kind == "faults" else name))
