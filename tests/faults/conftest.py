"""One world for all fault tests: each night is dear, so every test puts back what it broke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.night_world import FIRST_NIGHT, NightWorld, make_night_world


@pytest.fixture(scope="session")
def standing_world() -> Iterator[NightWorld]:
    """Servers, parties and one published night, "yesterday", whose links every failing night must leave served."""
    with ExitStack() as stack:
        world = make_night_world(stack)
        yesterday = world.run_night(FIRST_NIGHT.isoformat())
        assert yesterday.process.returncode == 0, yesterday.text
        yield world


@pytest.fixture
def night_world(standing_world: NightWorld) -> Iterator[NightWorld]:
    """The world, and after each test the search: no planted name and no key came out by that fault."""
    yield standing_world
    standing_world.stop_processes()
    assert standing_world.find_leaks() == []
