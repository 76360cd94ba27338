"""Nights and faults in any order, by a machine; `python -m tests.faults.fault_machine 10 20` prints its table."""

from __future__ import annotations

import pytest

from tests.faults.fault_machine import FaultRecord, drive
from tests.faults.night_world import NightWorld


@pytest.mark.timeout(900)
def test_some_steps_break_no_invariant(night_world: NightWorld) -> None:
    record = drive(night_world, FaultRecord(), examples=1, steps=3)
    assert sum(record.tried.values()) >= 1 and not record.broken


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_steps_break_no_invariant(night_world: NightWorld, capsys: pytest.CaptureFixture[str]) -> None:
    record = drive(night_world, FaultRecord(), examples=4, steps=15)
    with capsys.disabled():
        print(f"\n{record.table()}")
    assert len(record.tried) > 8 and record.published > 4 and not record.broken
