"""A process to be killed: compute the chunks of the job in the folder that it is told, as a night does."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.linkage_unit.run_chunks import ChunkLimits, run_chunks
from tasks.linkage_unit.work_folder import Job, open_job


def all_stages(job: Job) -> list[tuple[str, int]]:
    return [("plan", 1), ("pairs", job.chunks), ("patterns", job.chunks), ("model", 1), ("links", 1)]


if __name__ == "__main__":
    told = open_job(Path(sys.argv[1]))
    run_chunks(told, all_stages(told), ChunkLimits(deadline_s=120.0, memory_mib=4096))
