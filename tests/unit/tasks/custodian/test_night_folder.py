"""A run's working folder: its own alone, empty at the start, gone at the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.errors import NightlinkError
from tasks.custodian.night_folder import night_folder

BATCH = pa.RecordBatch.from_pydict({"source_id": ["1"]})


def _run_until_killed(state: str, ready) -> None:  # noqa: ANN001 - a multiprocessing event
    with night_folder(Path(state)) as folder:
        folder.spool("identifiers").write(BATCH)
        ready.set()
        signal.pause()


def _start_run(state: Path) -> multiprocessing.process.BaseProcess:
    fork = multiprocessing.get_context("spawn")
    ready = fork.Event()
    process = fork.Process(target=_run_until_killed, args=(str(state), ready))
    process.start()
    assert ready.wait(60)
    return process


def test_a_run_leaves_nothing_behind_but_its_lock(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with night_folder(state) as folder:
        folder.spool("identifiers").write(BATCH)
        assert [path.name for path in (state / "work").iterdir()] == ["identifiers.spool"]
        for path in (state, state / "work"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert [path.name for path in state.iterdir()] == ["work.lock"]


def test_a_failed_run_leaves_nothing_behind_either(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), night_folder(tmp_path) as folder:
        folder.spool("identifiers").write(BATCH)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["work.lock"]


def test_a_second_run_is_refused_and_leaves_the_first_ones_files_alone(tmp_path: Path) -> None:
    process = _start_run(tmp_path)
    try:
        with pytest.raises(NightlinkError, match="E-RUN-LOCKED") as caught, night_folder(tmp_path):
            pytest.fail("two runs at once")
        assert caught.value.transient
        assert (tmp_path / "work" / "identifiers.spool").stat().st_size > 0
    finally:
        process.kill()
        process.join()


def test_what_a_killed_run_left_is_removed_and_its_lock_is_free(tmp_path: Path) -> None:
    process = _start_run(tmp_path)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert (tmp_path / "work" / "identifiers.spool").exists(), "positive control: it was killed at work"
    with night_folder(tmp_path):
        assert list((tmp_path / "work").iterdir()) == []
