"""One small world a session, and copies of it to spoil."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reference.small_world import SmallWorld, make_unit, make_world


@pytest.fixture(scope="session")
def delivered_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """Both custodians' deliveries; to be read only."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(delivered_world: SmallWorld, tmp_path: Path) -> SmallWorld:
    """A copy that the test may spoil."""
    shutil.copytree(delivered_world.folder / "exchange", tmp_path / "exchange")
    return replace(delivered_world, folder=tmp_path, unit=make_unit(tmp_path))
