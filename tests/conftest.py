"""How the tests are divided between processes: by file, and all fault tests in one: they share a dear world."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class FilesAndFaults(LoadScopeScheduling):
    """A file stays in one process, since tests of a file may tell one story; so do all files of `faults/`."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.split("::", 1)[0]
        return "tests/faults" if name.startswith("tests/faults/") else name


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndFaults:
    """Asked by pytest-xdist when there is more than one process."""
    return FilesAndFaults(config, log)
