"""Block: which pairs are compared, by equal blocking values or by similar filters. Zone: linkage_unit."""

from __future__ import annotations

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from tasks.linkage_unit.chunk_stages import candidates_of, needed, stages_of_pairs
from tasks.linkage_unit.kept_comparisons import kept_comparisons
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.run_chunks import ChunkLimits, run_chunks
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import Job, begin_job, job_of
from tasks.protocol.stages import announce, stage


@stage("block records")
def block_records(a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> CandidatePairs:
    """What the protocol's mode proposes, within its pair budget (E-PAIR-BUDGET), made chunk by chunk.

    Where pairs of a former night are kept, those of records that stay as they were are carried over from there.
    """
    job = night_job(a, b, unit)
    carried = _hand_over_kept(job, a, b, unit)
    run_chunks(job, [*([("carry", 1)] if carried else []), *stages_of_pairs(job)], chunk_limits(unit))
    if carried:
        counts = needed(job, "carry", 0).counts
        announce(f"pairs compared anew: {counts['compared']}, of records touched: {sum(counts['touched'])}")
    pairs = candidates_of(job)
    announce(f"candidate pairs: {len(pairs.index_a)}, reduction ratio {pairs.reduction_ratio:.6f}")
    return pairs


def _hand_over_kept(job: Job, a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> bool:
    """Put what is kept of the two custodians' pairs among the job's chunks; False when nothing is, or is wanted."""
    if job.read("plan", 0) is not None:  # a night that resumes
        return False
    kept = kept_comparisons(job, (a.manifest.custodian, b.manifest.custodian), unit.storage_key)
    if kept is None:
        return False
    begin_job(job)
    job.write("kept", 0, kept)
    return True


def night_job(a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> Job:
    """The work of this night: the same deliveries, protocol, known links, trained model and code are the same work."""
    deliveries = ((a.manifest, a.manifest_sha256), (b.manifest, b.manifest_sha256))
    state, records = unit.settings.state_folder, unit.settings.chunk_records
    return job_of(state, unit.protocol, records, deliveries, unit.known_links_sha256, unit.trained)


def chunk_limits(unit: LinkageUnit) -> ChunkLimits:
    """What the settings allow a chunk."""
    settings = unit.settings
    return ChunkLimits(settings.chunk_deadline_s, settings.chunk_memory_mib, settings.dask_scheduler)
