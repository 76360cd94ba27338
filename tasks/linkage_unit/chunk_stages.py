"""The linkage unit's heavy work, chunk by chunk, as a process of its own does it. Zone: linkage_unit.

| stage | a chunk | from | comes to |
|---|---|---|---|
| carry | all | kept pairs, evidence of what changed | plan, pairs and patterns, to the byte as their stages do |
| plan | all | blocking values | which pairs there will be, and each pass's report; none where filters propose pairs |
| pairs | some records of side A | plan, or filters | their candidate pairs |
| patterns | some records of side A | pairs, evidence | their pairs' patterns of agreement |
| model | all | pairs, patterns | the model, fitted or trained, odds and posteriors |
| links | all | pairs, model, known links | links that keep the protocol's limits, with their probabilities |

A chunk depends on the job and on chunks of earlier stages only, so that it can be computed anywhere, any number of
times, with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_coverage import field_presence
from linkage_core.linkage_unit.candidate_pairs import (
    CandidatePairs,
    CandidatePlan,
    PassReport,
    RangePairs,
    join_ranges,
    pairs_of_range,
    plan_both_ways,
    plan_candidates,
)
from linkage_core.linkage_unit.carried_pairs import carry_over
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.filter_candidates import (
    FilterProposals,
    check_pairs_made,
    filter_reports,
    propose_by_filters,
)
from linkage_core.linkage_unit.known_links import PlacedLinks
from linkage_core.linkage_unit.link_probabilities import LinkProbabilities
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds, fit_patterns, patterns_of
from linkage_core.linkage_unit.optimal_one_to_one import OptimalSelection
from linkage_core.linkage_unit.pair_patterns import PairPatterns, merge_patterns
from linkage_core.linkage_unit.settled_pairs import SettledPairs, settle_pairs
from linkage_core.linkage_unit.trained_odds import judge_patterns
from linkage_core.protocol.encoded_evidence import EncodedEvidence, mean_fill
from linkage_core.protocol.encoded_records import EncodedRecords
from tasks.linkage_unit.carried_chunks import chunks_of, compared_before, unchanged_rows
from tasks.linkage_unit.chunk_files import Arrays, Chunk
from tasks.linkage_unit.work_folder import Job, map_columns, open_job, read_column, read_columns
from tasks.protocol.code_version import code_version

ROWS_AT_A_TIME = 1 << 16
PAIRS = ("partners", "index_b", "passes")
KNOWN_PAIRS = ("link_a", "link_b", "never_a", "never_b")
OPTIMUM_COUNTS = ("components", "improved", "left_to_greedy", "pairs_left_to_greedy")
RATES = ("match_rates", "random_rates", "household_rates")


class OpenJob:
    """A job and what its chunks share, opened once a process."""

    def __init__(self, folder: Path) -> None:
        self.job = open_job(folder)
        if self.job.code_version != code_version():
            raise NightlinkError(
                "E-CHUNK-FILE",
                found=f"work of {self.job.code_version} in a process of {code_version()}",
                expected="the same code wherever a night is computed",
                remedy="Install the same version on every machine of the cluster and restart its workers.",
            )

    @cached_property
    def plan(self) -> CandidatePlan:
        """What the stage plan came to."""
        return plan_of_job(self.job)

    @cached_property
    def partners(self) -> EncodedRecords:
        """All records of the second side, in any order: mapped, so that the system may drop what is not in use."""
        return map_columns(self.job.columns(1), self.job.spec, self.job.sides[1].rows)


@lru_cache(maxsize=1)
def opened(folder: Path) -> OpenJob:
    """The job that this process works at."""
    return OpenJob(folder)


def compute_chunk(folder: Path, stage: str, number: int, pieces: int = 1) -> None:
    """Compute one chunk, if it is not there, and write it down; more ``pieces`` take less memory, to the same bytes.

    Raises
    ------
    NightlinkError
        E-PAIR-BUDGET, E-KERNEL-INPUT; E-CHUNK-FILE when an earlier stage is not done or the disk is full.
    """
    work = opened(folder)
    # A cluster asks again for what a lost worker had answered and written.
    if work.job.read(stage, number) is None:
        work.job.write(stage, number, STAGES[stage](work, number, pieces))


def needed(job: Job, stage: str, number: int) -> Chunk:
    """A chunk of an earlier stage; E-CHUNK-FILE when it is not there."""
    chunk = job.read(stage, number)
    if chunk is None:
        raise NightlinkError(
            "E-CHUNK-FILE",
            found=f"no whole chunk {number} of the stage {stage}",
            expected="every chunk of an earlier stage in the linkage unit's state_folder",
            remedy="Run the night again; it resumes. Workers of a cluster must see the same state_folder.",
        )
    return chunk


def _carry(work: OpenJob, _: int, __: int) -> Chunk:
    """Everything up to the patterns from what was kept of a former night, comparing only what changed."""
    job, kept = work.job, needed(work.job, "kept", 0)
    forth, back = plan_both_ways(*_blocking_of(job), **_limits_of(job))
    own = map_columns(job.columns(0), job.spec, job.sides[0].rows).evidence
    carried = carry_over(
        compared_before(kept),
        unchanged_rows(job, kept),
        forth,
        back,
        lambda index_a, index_b: _patterns_of_pairs(job, own, work.partners.evidence, index_a, index_b),
    )
    for number, pairs, patterns in chunks_of(job, carried.pairs):
        job.write("pairs", number, pairs)
        job.write("patterns", number, patterns)
    job.write("plan", 0, _plan_chunk(forth))
    return Chunk({}, {"compared": carried.compared, "touched": list(carried.touched)})


def _plan(work: OpenJob, _: int, __: int) -> Chunk:
    return _plan_chunk(plan_candidates(*_blocking_of(work.job), **_limits_of(work.job)))


def _limits_of(job: Job) -> dict[str, Any]:
    blocking = job.protocol.blocking
    return {
        "pass_names": job.protocol.pass_names,
        "max_block_pairs": blocking.max_block_pairs,
        "pair_budget": blocking.pair_budget,
        "partners_per_record": blocking.partners_per_record,
    }


def _plan_chunk(plan: CandidatePlan) -> Chunk:
    arrays = {"first": plan.first, "size": plan.size, "members": plan.members}
    standing = {"standing_a": plan.standing[0], "standing_b": plan.standing[1]}
    return Chunk({**arrays, **standing}, {"reports": [asdict(report) for report in plan.reports]})


def _blocking_of(job: Job) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    return _blocking_values(job, 0), _blocking_values(job, 1)


def _blocking_values(job: Job, side: int) -> npt.NDArray[np.uint64]:
    """The passes' columns alone, copied out in passing: whole rows of tokens are several times as large."""
    rows, passes = job.sides[side].rows, job.spec.passes
    values = np.empty((rows, passes), np.uint64)
    for start in range(0, rows, ROWS_AT_A_TIME):
        stop = min(start + ROWS_AT_A_TIME, rows)
        values[start:stop] = read_column(job.columns(side), job.spec, "tokens", start, stop)[:, :passes]
    return values


def _pairs(work: OpenJob, number: int, pieces: int) -> Chunk:
    rows = _cut(work.job.rows_of(number), pieces)
    if work.job.spec.by_filters:
        return _pairs_by_filters(work, number, rows)
    return Chunk(_join_pieces([pairs_of_range(work.plan, *piece) for piece in rows]), {})


def _pairs_by_filters(work: OpenJob, number: int, rows: Iterable[tuple[int, int]]) -> Chunk:
    job, of_b, parts = work.job, work.partners.evidence.group_filters, []
    made = sum(_pairs_made(job, before) for before in range(number))
    for start, stop in rows:
        of_a = read_columns(job.columns(0), job.spec, start, stop).evidence.group_filters
        parts.append(
            propose_by_filters(
                of_a, of_b, job.protocol.blocking, records_a=job.sides[0].rows, made_before=made
            )
        )
        made += sum(parts[-1].proposed)
    counts = {
        "proposed": np.sum([part.proposed for part in parts], axis=0).tolist(),
        "null_a": np.sum([part.null_a for part in parts], axis=0).tolist(),
        "null_b": list(parts[0].null_b),
    }
    return Chunk(_join_pieces([part.pairs for part in parts]), counts)


def _pairs_made(job: Job, number: int) -> int:
    """Pairs that filters proposed in an earlier chunk; none where a cluster has not done it yet."""
    chunk = job.read("pairs", number)
    return 0 if chunk is None else sum(chunk.counts["proposed"])


def _join_pieces(pieces: Sequence[RangePairs]) -> Arrays:
    return {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in PAIRS}


def _patterns(work: OpenJob, number: int, pieces: int) -> Chunk:
    job, pairs = work.job, needed(work.job, "pairs", number)
    start, stop = job.rows_of(number)
    own = read_columns(job.columns(0), job.spec, start, stop)
    partners = pairs.arrays["partners"]
    ends = np.concatenate([[0], np.cumsum(partners, dtype=np.intp)])
    found = []
    for first, last in _cut((0, stop - start), pieces):
        index_a = np.repeat(np.arange(first, last, dtype=np.intp), partners[first:last])
        index_b = pairs.arrays["index_b"][ends[first] : ends[last]].astype(np.intp)
        found.append(_patterns_of_pairs(job, own.evidence, work.partners.evidence, index_a, index_b))
    patterns = merge_patterns(found, len(job.spec.fields))
    return Chunk({"states": patterns.states, "of_pair": patterns.of_pair}, {})


def _patterns_of_pairs(
    job: Job,
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
) -> PairPatterns:
    fill = mean_fill(*(side.aggregates for side in job.sides))
    levels = compare_pairs(evidence_a, evidence_b, index_a, index_b, job.spec, fill).levels
    return patterns_of(levels, evidence_a, evidence_b, index_a, index_b, job.spec)


def _model(work: OpenJob, _: int, __: int) -> Chunk:
    job = work.job
    partners, index_b, _ = all_pairs(job)
    index_a = np.repeat(np.arange(len(partners), dtype=np.uint32), partners)
    patterns = patterns_of_job(job)
    records = (job.sides[0].rows, job.sides[1].rows)
    aggregates = (job.sides[0].aggregates, job.sides[1].aggregates)
    presence = [
        field_presence(map_columns(job.columns(side), job.spec, records[side]).evidence) for side in (0, 1)
    ]
    night = (patterns, index_a, index_b, records, job.spec, aggregates, (presence[0], presence[1]))
    model, odds = fit_patterns(*night) if job.trained is None else judge_patterns(job.trained, *night)
    return Chunk({"odds": odds.odds, "probability": odds.probability}, _model_counts(model))


def _links(work: OpenJob, _: int, __: int) -> Chunk:
    job = work.job
    partners, index_b, _ = all_pairs(job)
    index_a = np.repeat(np.arange(len(partners), dtype=np.intp), partners)
    sides = [map_columns(job.columns(side), job.spec, job.sides[side].rows) for side in (0, 1)]
    pseudonyms = (sides[0].record_pseudonyms, sides[1].record_pseudonyms)
    known = None if job.known_links_sha256 is None else _known(needed(job, "known", 0))
    settled = settle_pairs(
        index_a, index_b.astype(np.intp), model_of(job)[1], pseudonyms, known, job.protocol
    )
    links = settled.links
    arrays = {
        "pairs": links.pairs,
        "probability": links.probability,
        "posterior": links.posterior,
        "tie_keys": settled.tie_keys,
    }
    if links.optimum is None:
        return Chunk(arrays, {"optimum": None})
    counts = {name: getattr(links.optimum, name) for name in OPTIMUM_COUNTS}
    return Chunk({**arrays, "optimum_selected": links.optimum.selected}, {"optimum": counts})


def known_chunk(placed: PlacedLinks) -> Chunk:
    """Known links and forbidden pairs, as the linkage unit's own process hands them to the stage links."""
    return Chunk({name: getattr(placed, name) for name in KNOWN_PAIRS}, {"absent": placed.absent})


def _known(chunk: Chunk) -> PlacedLinks:
    return PlacedLinks(*(chunk.arrays[name] for name in KNOWN_PAIRS), chunk.counts["absent"])


def settled_pairs_of(job: Job) -> SettledPairs:
    """The links of a job whose stage links is done."""
    chunk = needed(job, "links", 0)
    arrays, counts, optimum = chunk.arrays, chunk.counts["optimum"], None
    if counts is not None:
        optimum = OptimalSelection(arrays["optimum_selected"], **counts)
    links = LinkProbabilities(arrays["pairs"], arrays["probability"], arrays["posterior"], optimum)
    return SettledPairs(links, arrays["tie_keys"])


def plan_of_job(job: Job) -> CandidatePlan:
    """The plan of a job whose stage plan is done."""
    chunk = needed(job, "plan", 0)
    arrays = chunk.arrays
    standing = (arrays["standing_a"], arrays["standing_b"])
    return CandidatePlan(arrays["first"], arrays["size"], arrays["members"], _reports(chunk), standing)


def all_pairs(job: Job) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Partners of each record of side A, and rows of side B and passes of all pairs of a job whose pairs are done."""
    chunks = [needed(job, "pairs", number).arrays for number in range(job.chunks)]
    none = np.empty(0, np.uint32)
    partners, index_b, passes = (
        np.concatenate([none, *(arrays[name] for arrays in chunks)]) for name in PAIRS
    )
    return partners, index_b, passes


def _model_counts(model: MatchModel) -> dict[str, Any]:
    """The model as JSON; a float comes back as it was."""
    counts = asdict(model)
    for name in RATES:
        counts[name] = {field: rates.tolist() for field, rates in counts[name].items()}
    return counts


def stages_of_pairs(job: Job) -> list[tuple[str, int]]:
    """The stages that end with all pairs, and the chunks of each: filters need no plan."""
    return [*([] if job.spec.by_filters else [("plan", 1)]), ("pairs", job.chunks)]


def candidates_of(job: Job) -> CandidatePairs:
    """The pairs of a job whose stages of pairs are done; E-PAIR-BUDGET where they are too many together."""
    chunks = [needed(job, "pairs", number) for number in range(job.chunks)]
    ranges = [RangePairs(*(chunk.arrays[name] for name in PAIRS)) for chunk in chunks]
    if job.spec.by_filters:
        made = [
            FilterProposals(pairs, *(tuple(chunk.counts[name]) for name in ("proposed", "null_a", "null_b")))
            for pairs, chunk in zip(ranges, chunks, strict=True)
        ]
        check_pairs_made(sum(sum(part.proposed) for part in made), job.protocol.blocking)
        reports = filter_reports(job.protocol.proposer_names, made)
    else:
        reports = _reports(needed(job, "plan", 0))
    return join_ranges(ranges, reports, job.sides[0].rows * job.sides[1].rows)


def patterns_of_job(job: Job) -> PairPatterns:
    """The patterns of all pairs of a job whose stage patterns is done."""
    chunks = [needed(job, "patterns", number).arrays for number in range(job.chunks)]
    parts = [PairPatterns(arrays["states"], arrays["of_pair"]) for arrays in chunks]
    return merge_patterns(parts, len(job.spec.fields))


def model_of(job: Job) -> tuple[MatchModel, PairOdds]:
    """The model of a job whose stage model is done, and each pair's odds."""
    chunk = needed(job, "model", 0)
    counts = dict(chunk.counts)
    for name in RATES:
        counts[name] = {field: np.array(rates) for field, rates in counts[name].items()}
    return MatchModel(**counts), PairOdds(chunk.arrays["odds"], chunk.arrays["probability"])


def _reports(plan: Chunk) -> tuple[PassReport, ...]:
    return tuple(
        PassReport(**{**report, "size_histogram": tuple(report["size_histogram"])})
        for report in plan.counts["reports"]
    )


def _cut(rows: tuple[int, int], pieces: int) -> Iterable[tuple[int, int]]:
    """Consecutive ranges of about equal length."""
    start, stop = rows
    cuts = sorted({start + (stop - start) * piece // pieces for piece in range(pieces + 1)})
    return zip(cuts[:-1], cuts[1:], strict=True)


STAGES: dict[str, Callable[[OpenJob, int, int], Chunk]] = {
    "carry": _carry,
    "plan": _plan,
    "pairs": _pairs,
    "patterns": _patterns,
    "model": _model,
    "links": _links,
}
