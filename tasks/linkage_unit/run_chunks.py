"""Run chunks of work: in a child process of our own, or on a Dask cluster. Zone: linkage_unit.

An orchestrator's timeout cannot interrupt native code, and a process that runs out of memory takes its flow with it:
so kernels run in a child, under our own deadline and memory limit. Chunks that were done before are not done again,
which is how a night that was killed resumes.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkage_core.errors import NightlinkError
from tasks.linkage_unit.chunk_process import OUT_OF_MEMORY, attempt
from tasks.linkage_unit.work_folder import Job, begin_job
from tasks.protocol.stages import announce
from tasks.protocol.watched import StageProgress

SMALLER_PIECES = 8
PROGRESS_KEY = "linkage-progress"
_PASSED_ON = (
    "HOME", "LANG", "LD_LIBRARY_PATH", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_NUM_THREADS", "PATH",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "TMPDIR",
)  # fmt: skip
"""Of the environment, what the child may see: no settings, no secret's place."""
ChunkName = tuple[str, int]
Child = subprocess.Popen[bytes]
_WAITING: ContextVar[list[Child] | None] = ContextVar(
    "chunk processes that wait for the next order", default=None
)


@dataclass(frozen=True)
class ChunkLimits:
    """What a chunk may take, and where it is computed.

    Attributes
    ----------
    deadline_s : float
        For one chunk; the process that computes it is killed then (E-TIMEOUT).
    memory_mib : int
        Of the child process's own; where the system keeps such a limit (Linux).
    cluster : str or None
        Address of a Dask scheduler; None for a child process on this machine.
    """

    deadline_s: float
    memory_mib: int
    cluster: str | None = None


@contextmanager
def one_chunk_process() -> Iterator[None]:
    """Inside, one child process computes the chunks of one stage after another: its start costs half a CPU second.

    It is begun when the first chunk is due. One that failed is ended, as outside, and another takes its place.
    """
    waiting: list[Child] = []
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
        for process in waiting:
            _end(process)


def run_chunks(job: Job, stages: Sequence[tuple[str, int]], limits: ChunkLimits) -> None:
    """Have all chunks of some stages computed, ``(stage, number of chunks)`` in the order of their dependence.

    Raises
    ------
    NightlinkError
        What a chunk raised; E-TIMEOUT; E-CHUNK-MEMORY and E-CHUNK-DIED for a chunk that failed twice, the second
        time in smaller pieces; E-CLUSTER; E-CHUNK-FILE when a chunk was computed and is not there.
    """
    begin_job(job)
    missing = [[(stage, n) for n in range(count) if job.read(stage, n) is None] for stage, count in stages]
    kept = sum(count for _, count in stages) - sum(map(len, missing))
    if kept:
        announce(f"chunks done before: {kept}")
    if limits.cluster is None:
        _run_here(job, [name for stage in missing for name in stage], limits)
    else:
        for stage in missing:
            _run_on_cluster(job, stage, limits)


def _run_here(job: Job, chunks: Sequence[ChunkName], limits: ChunkLimits) -> None:
    waiting = list(chunks)
    while waiting:
        done, failure = _run_child(job, waiting, limits)
        waiting = waiting[done:]
        if failure is None:
            continue
        # The chunk at which it stopped once more, alone and in smaller pieces; the others follow as before.
        (stage, number), waiting = waiting[0], waiting[1:]
        announce(f"{failure.found}; again in smaller pieces")
        _, again = _run_child(job, [(stage, number)], limits, pieces=SMALLER_PIECES)
        if again is not None:
            raise again


def _run_child(
    job: Job, chunks: Sequence[ChunkName], limits: ChunkLimits, pieces: int = 1
) -> tuple[int, NightlinkError | None]:
    """Chunks done, and why it stopped before the last where a smaller piece may fare better."""
    order = {
        "folder": str(job.folder.resolve()), "chunks": list(chunks), "pieces": pieces, "memory_mib": limits.memory_mib
    }  # fmt: skip
    waiting = _WAITING.get()
    process = _living_child(waiting)
    done, peak, progress = 0, 0, StageProgress(PROGRESS_KEY, len(chunks))
    try:
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        for answer in _answers(process, limits.deadline_s):
            if "done" not in answer:
                return done, _failure(answer, chunks[done], limits)
            done, peak = done + 1, answer["peak_mib"]
            progress.done(done)
            if done == len(chunks):
                break
    except BrokenPipeError:
        pass
    finally:
        if waiting is None or done < len(chunks):
            _end(process)
        else:
            waiting.append(process)
    if done < len(chunks):
        return done, _died(chunks[done], process.returncode)
    announce(f"chunks computed: {done}, peak {peak} MiB")
    return done, None


def _living_child(waiting: list[Child] | None) -> Child:
    """The one that waits for an order, while it lives; else a new one."""
    while waiting:
        process = waiting.pop()
        if process.poll() is None:
            return process
        _end(process)
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.linkage_unit.chunk_process"],
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        umask=0o077,
    )


def _end(process: Child) -> None:
    process.kill()
    process.communicate()


def _answers(process: subprocess.Popen[bytes], deadline_s: float) -> Iterator[dict[str, Any]]:
    """Lines of the child as they come; E-TIMEOUT when none comes within the deadline."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        text, alarm = b"", time.monotonic() + deadline_s
        while True:
            if not selector.select(max(alarm - time.monotonic(), 0)):
                raise _late(deadline_s)
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                alarm = time.monotonic() + deadline_s
                yield json.loads(line)


def _failure(answer: dict[str, Any], chunk: ChunkName, limits: ChunkLimits) -> NightlinkError:
    """Out of memory, which a smaller piece may mend; anything else is raised."""
    if OUT_OF_MEMORY not in answer:
        raise _error_of(answer)
    return NightlinkError(
        "E-CHUNK-MEMORY",
        found=f"chunk {chunk[1]} of {chunk[0]} out of memory at a limit of {limits.memory_mib} MiB",
        expected="chunks that fit",
        remedy="Raise chunk_memory_mib or lower chunk_records in the linkage unit's settings; the night resumes.",
    )


def _error_of(answer: dict[str, Any]) -> NightlinkError:
    code, found, expected, remedy, transient = answer["error"]
    return NightlinkError(code, found=found, expected=expected, remedy=remedy, transient=transient)


def _died(chunk: ChunkName, exit_code: int) -> NightlinkError:
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return NightlinkError(
        "E-CHUNK-DIED",
        found=f"the process at chunk {chunk[1]} of {chunk[0]} ended by {how}",
        expected="a chunk's result",
        remedy="See whether the system killed it for lack of memory; run the night again, it resumes.",
        transient=True,
    )


def _late(deadline_s: float) -> NightlinkError:
    return NightlinkError(
        "E-TIMEOUT",
        found=f"a chunk that was not done within {deadline_s:g} s; its process was killed",
        expected="chunks that end",
        remedy="Raise chunk_deadline_s or lower chunk_records in the linkage unit's settings; the night resumes.",
        transient=True,
    )


def _run_on_cluster(job: Job, chunks: Sequence[ChunkName], limits: ChunkLimits) -> None:
    """The same chunks as tasks of Dask, whose workers see ``state_folder`` under the same path."""
    if not chunks:
        return
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise NightlinkError(
            "E-SETTINGS",
            found="a dask_scheduler in the settings, and no prefect-dask installed",
            expected="nightlink with the extra dask",
            remedy="Run pip install 'nightlink[dask]' there and on every worker.",
        ) from None
    try:
        with DaskTaskRunner(address=limits.cluster) as runner:
            futures = [
                runner.client.submit(
                    attempt, Path(job.folder.resolve()), stage, number, 1,
                    key=f"{job.folder.name}-{stage}-{number}", pure=False,
                )
                for stage, number in chunks
            ]  # fmt: skip
            give_up = time.monotonic() + limits.deadline_s * len(chunks)
            answers = [future.result(timeout=max(give_up - time.monotonic(), 0)) for future in futures]
    except Exception as error:  # too late, too, is no answer: nobody here can end a kernel there
        raise _lost_cluster(error) from None
    for chunk, answer in zip(chunks, answers, strict=True):
        if "done" not in answer:
            raise _failure(answer, chunk, limits)
    if any(job.read(*chunk) is None for chunk in chunks):
        raise NightlinkError(
            "E-CHUNK-FILE",
            found="chunks that the cluster's workers computed and that are not here",
            expected="one state_folder that the linkage unit and every worker see under the same path",
            remedy="Put state_folder on a file system that they share.",
        )
    announce(f"chunks computed on the cluster: {len(chunks)}")


def _lost_cluster(error: Exception) -> NightlinkError:
    return NightlinkError(
        "E-CLUSTER",
        found=f"no answer of the Dask cluster ({type(error).__name__})",
        expected="a scheduler at dask_scheduler, and workers that live",
        remedy="See the scheduler's and the workers' logs; run the night again, it resumes.",
        transient=True,
    )
