"""Whole nights in the two modes in which filters propose the pairs, beside the default's, on real parts.

The mode is one line of the protocol that all parties read (linkage_core/decisions/0022).
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.protocol.settings_files import read_protocol
from tests.faults.night_world import FIRST_NIGHT, NightWorld, make_night_world
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODES = ("top_k", "threshold_join")


def links(world: NightWorld) -> set[tuple[str, str]]:
    """Pairs of pseudonyms that researchers are served."""
    rows = world.query("SELECT record_a, record_b FROM linkage.link WHERE valid_to = 'infinity'")
    return {(str(a), str(b)) for a, b in rows}


def proposers(world: NightWorld) -> set[str]:
    """What proposed the night's links."""
    rows = world.query("SELECT DISTINCT unnest(passes_agreed) FROM linkage.link WHERE valid_to = 'infinity'")
    return {str(name) for (name,) in rows}


def protocol(world: NightWorld) -> LinkageProtocol:
    return read_protocol(world.root / "linkage_protocol.toml")


def test_a_night_in_each_mode_is_published_whole_and_finds_nearly_the_same_links() -> None:
    with ExitStack() as stack:
        world = make_night_world(stack)
        blocked_night = world.run_night(FIRST_NIGHT.isoformat())
        assert blocked_night.process.returncode == 0, blocked_night.text
        blocked = links(world)
        assert len(blocked) > 300 and protocol(world).blocking.candidates == "blocked"

        for mode in MODES:
            chosen = ("[blocking]\n", f'[blocking]\ncandidates = "{mode}"\n')
            with world.changed_file(world.root / "linkage_protocol.toml", chosen):
                assert protocol(world).blocking.candidates == mode
                night = world.next_night()
                running = world.run_night(night)
                assert running.process.returncode == 0, running.text
                assert world.ledger(night) == ("published", None) and world.demo_night() == night
                assert proposers(world) <= set(protocol(world).proposer_names)
            found = links(world)
            assert len(found & blocked) / len(found | blocked) > 0.95, (mode, len(found), len(blocked))
            assert_warehouse_whole(world)
        world.stop_processes()
        assert world.find_leaks() == []
