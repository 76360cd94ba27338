"""The linkage unit's chunks: killed, starved, spun and spoiled for real; the end has the same bytes as if untouched."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from linkage_core.errors import NightlinkError
from tasks.linkage_unit.block import night_job
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.run_chunks import ChunkLimits, one_chunk_process, run_chunks
from tasks.linkage_unit.work_folder import Job, begin_job, remove_work
from tests.faults.linking_process import all_stages
from tests.reference.small_world import NIGHT, make_unit, make_world

CHUNK_RECORDS = 20  # of 150
LIMITS = ChunkLimits(deadline_s=120.0, memory_mib=4096)
SPOILED = Path(__file__).parent / "spoiled_child"
CHECKOUT = Path(__file__).parents[2]
PAIRS = [("pairs", 8)]
only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux keeps a limit on a process's own memory"
)


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kernels are compiled once for all children of this module."""
    return tmp_path_factory.mktemp("machine-code")


@pytest.fixture(autouse=True)
def _cached(monkeypatch: pytest.MonkeyPatch, machine_code: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(machine_code))


@pytest.fixture(scope="module")
def done_job(tmp_path_factory: pytest.TempPathFactory, machine_code: Path) -> Job:
    """A night's work, received and computed without a disturbance; not to be touched."""
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    unit = make_unit(folder, chunk_records=CHUNK_RECORDS)
    job = night_job(*receive_deliveries(NIGHT, unit), unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(machine_code))
        run_chunks(job, all_stages(job), LIMITS)
    return job


@pytest.fixture
def job(done_job: Job, tmp_path: Path) -> Job:
    """The same work, received and not yet begun, in a folder to spoil."""
    for side in (0, 1):
        shutil.copytree(done_job.columns(side), tmp_path / "state" / done_job.columns(side).name)
    fresh = replace(done_job, state_folder=tmp_path / "state")
    begin_job(fresh)
    return fresh


def copy_chunks(done_job: Job, job: Job, *patterns: str) -> None:
    """Let the job begin where others' chunks are done."""
    for pattern in patterns:
        for path in done_job.folder.glob(pattern):
            shutil.copy2(path, job.folder)


def chunks_of(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.folder.glob("*.chunk")}


def start(job: Job) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.linking_process", str(job.folder)]
    return subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL)


def wait_for(what, timeout_s: float = 60.0) -> None:  # noqa: ANN001
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.002)


def kill_after(job: Job, files: int) -> None:
    """Begin or resume, SIGKILL the process that gave the order when so many chunks are there; its child ends, too."""
    process = start(job)
    wait_for(lambda: len(list(job.folder.glob("*.chunk"))) >= files or process.poll() is not None)
    children = psutil.Process(process.pid).children() if process.poll() is None else []
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.mark.parametrize("seed", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_resumes_and_ends_with_the_same_bytes(
    job: Job, done_job: Job, seed: int
) -> None:
    expected = chunks_of(done_job)
    points = sorted(random.Random(seed).sample(range(1, len(expected)), min(2 * seed, len(expected) - 1)))
    for files in points:
        kill_after(job, files)
        assert not any(path.stat().st_mode & 0o077 for path in [job.folder, *job.folder.iterdir()])
    assert start(job).wait() == 0
    assert chunks_of(job) == expected


def test_chunks_that_are_done_are_not_done_again(
    job: Job, done_job: Job, capsys: pytest.CaptureFixture
) -> None:
    copy_chunks(done_job, job, "*")
    before = {path.name: path.stat().st_mtime_ns for path in job.folder.glob("*.chunk")}
    run_chunks(job, all_stages(job), LIMITS)
    assert {path.name: path.stat().st_mtime_ns for path in job.folder.glob("*.chunk")} == before
    assert f"chunks done before: {len(before)}" in capsys.readouterr().err


def test_a_chunk_that_was_altered_is_computed_again(job: Job, done_job: Job) -> None:
    expected = chunks_of(done_job)
    copy_chunks(done_job, job, "*")
    flipped, cut, empty, swapped = (job.folder / f"patterns-{n:06d}.chunk" for n in (0, 1, 2, 3))
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    os.truncate(cut, len(cut.read_bytes()) - 40)
    empty.write_bytes(b"")
    shutil.copy(job.folder / "patterns-000004.chunk", swapped)
    run_chunks(job, all_stages(job), LIMITS)
    assert chunks_of(job) == expected


@pytest.fixture
def spoiled_job(job: Job, done_job: Job) -> Job:
    """The plan and two chunks of pairs are done."""
    copy_chunks(done_job, job, "plan-*", "pairs-000000*", "pairs-000001*")
    return job


@pytest.fixture
def spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the children of this test meet a fault: what, at which chunk of which stage, how many MiB."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SPOILED), str(CHECKOUT)]))
    return lambda fault: (tmp_path / "fault").write_text(fault)


def test_a_kernel_that_spins_is_killed_at_its_deadline(spoiled_job: Job, spoil) -> None:  # noqa: ANN001
    spoil("spin pairs 2 0")
    began, before = time.monotonic(), set(psutil.Process().children())  # other tests' servers
    with pytest.raises(NightlinkError, match="E-TIMEOUT.*within 5 s; its process was killed"):
        run_chunks(spoiled_job, PAIRS, replace(LIMITS, deadline_s=5.0))
    assert time.monotonic() - began < 60
    assert set(psutil.Process().children()) <= before
    assert spoiled_job.read("pairs", 2) is None


@only_linux
def test_a_chunk_that_runs_out_of_memory_is_done_in_smaller_pieces(
    spoiled_job: Job, done_job: Job, spoil, capsys: pytest.CaptureFixture
) -> None:  # noqa: ANN001
    spoil("memory pairs 3 4000")
    run_chunks(spoiled_job, PAIRS, replace(LIMITS, memory_mib=1500))
    assert (
        "chunk 3 of pairs out of memory at a limit of 1500 MiB; again in smaller" in capsys.readouterr().err
    )
    assert chunks_of(spoiled_job).items() <= chunks_of(done_job).items()
    assert all(spoiled_job.read("pairs", n) for n in range(spoiled_job.chunks))


@only_linux
def test_a_chunk_that_never_fits_fails_with_its_code(spoiled_job: Job, spoil) -> None:  # noqa: ANN001
    spoil("memory-always pairs 2 4000")
    with pytest.raises(NightlinkError, match="E-CHUNK-MEMORY.*chunk 2 of pairs"):
        run_chunks(spoiled_job, PAIRS, replace(LIMITS, memory_mib=1500))


def test_a_child_that_is_killed_once_costs_nothing_and_twice_fails(
    spoiled_job: Job, done_job: Job, spoil
) -> None:  # noqa: ANN001
    spoil("die pairs 5 0")
    with pytest.raises(
        NightlinkError, match=f"E-CHUNK-DIED.*chunk 5 of pairs ended by signal {signal.SIGKILL:d}"
    ):
        run_chunks(spoiled_job, PAIRS, LIMITS)
    spoil("die-once pairs 5 0")
    run_chunks(spoiled_job, PAIRS, LIMITS)
    assert chunks_of(spoiled_job).items() <= chunks_of(done_job).items()
    assert all(spoiled_job.read("pairs", n) for n in range(spoiled_job.chunks))


def chunk_processes() -> set[psutil.Process]:
    return {p for p in psutil.Process().children() if "tasks.linkage_unit.chunk_process" in p.cmdline()}


def test_one_process_computes_stage_after_stage_and_ends_with_the_night(job: Job, done_job: Job) -> None:
    seen = set()
    with one_chunk_process():
        for stage in all_stages(job):
            run_chunks(job, [stage], LIMITS)
            seen |= chunk_processes()
    assert len(seen) == 1
    assert not chunk_processes()
    assert chunks_of(job) == chunks_of(done_job)


def test_a_process_that_died_between_two_stages_is_replaced(job: Job, done_job: Job) -> None:
    with one_chunk_process():
        for stage in all_stages(job):
            run_chunks(job, [stage], LIMITS)
            (process,) = chunk_processes()
            process.kill()
            wait_for(lambda child=process: child.status() == psutil.STATUS_ZOMBIE)
    assert chunks_of(job) == chunks_of(done_job)


def test_a_process_that_failed_is_not_given_the_next_order(spoiled_job: Job, done_job: Job, spoil) -> None:  # noqa: ANN001
    *before, links = all_stages(spoiled_job)
    spoil("die-once pairs 5 0")
    with one_chunk_process():
        run_chunks(spoiled_job, before, LIMITS)
        assert len(chunk_processes()) == 1
        spoil("spin links 0 0")
        with pytest.raises(NightlinkError, match="E-TIMEOUT"):
            run_chunks(spoiled_job, [links], replace(LIMITS, deadline_s=5.0))
        assert not chunk_processes()
        spoil("none none 0 0")
        run_chunks(spoiled_job, [links], LIMITS)
    assert not chunk_processes()
    assert chunks_of(spoiled_job) == chunks_of(done_job)


@only_linux
def test_resolution_is_ended_starved_and_killed_like_any_chunk(job: Job, done_job: Job, spoil) -> None:  # noqa: ANN001
    copy_chunks(done_job, job, "pa*", "plan-*", "model-*")
    links, path = [("links", 1)], job.folder / "links-000000.chunk"
    spoil("spin links 0 0")
    with pytest.raises(NightlinkError, match="E-TIMEOUT"):
        run_chunks(job, links, replace(LIMITS, deadline_s=5.0))
    assert not path.exists()
    for fault in ("memory links 0 4000", "die-once links 0 0"):
        spoil(fault)
        run_chunks(job, links, replace(LIMITS, memory_mib=1500))
        assert path.read_bytes() == chunks_of(done_job)[path.name]
        path.unlink()


def test_a_disk_without_room_is_told_and_leaves_no_half_chunk(job: Job) -> None:
    shutil.rmtree(job.folder)
    job.folder.write_text("a file where the folder should be")
    with pytest.raises(NightlinkError, match="E-CHUNK-FILE"):
        run_chunks(job, all_stages(job), LIMITS)


def test_published_nights_leave_no_working_file_and_others_files_stay(job: Job) -> None:
    foreign = job.state_folder / "somebody's notes"
    foreign.write_text("kept")
    remove_work(job.state_folder, keep=(job.folder.name,))
    assert {path.name for path in job.state_folder.iterdir()} == {foreign.name, job.folder.name}
    remove_work(job.state_folder)
    assert [path.name for path in job.state_folder.iterdir()] == [foreign.name]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two worker processes that talk over TCP on this machine."""
    where = tmp_path / "scheduler.json"
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *here, "--port", "0"]
    processes = [subprocess.Popen([*command, "--scheduler-file", str(where)], **quiet)]
    try:
        wait_for(where.exists)
        address = json.loads(where.read_text())["address"]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *here, "--nthreads", "1"]
        processes += [subprocess.Popen([*command, "--no-nanny"], **quiet) for _ in range(2)]
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_and_a_killed_worker_costs_its_chunks_only(
    job: Job,
    done_job: Job,
    cluster,  # noqa: ANN001
) -> None:
    address, workers = cluster
    done: dict[str, int] = {}

    def kill_a_worker() -> None:
        wait_for(lambda: len(list(job.folder.glob("pa*.chunk"))) >= 3, 200.0)
        done.update({path.name: path.stat().st_mtime_ns for path in job.folder.glob("*.chunk")})
        workers[0].kill()

    killer = threading.Thread(target=kill_a_worker, daemon=True)
    killer.start()
    run_chunks(job, all_stages(job), replace(LIMITS, cluster=address))
    killer.join()
    assert workers[0].wait(30) == -signal.SIGKILL and len(done) < len(chunks_of(done_job))
    assert chunks_of(job) == chunks_of(done_job)
    again = [name for name, moment in done.items() if (job.folder / name).stat().st_mtime_ns != moment]
    assert len(again) <= 1  # one that was written and not yet told


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told(job: Job) -> None:
    limits = replace(LIMITS, cluster="tcp://127.0.0.1:9", deadline_s=5.0)
    with pytest.raises(NightlinkError, match="E-CLUSTER"):
        run_chunks(job, all_stages(job), limits)
