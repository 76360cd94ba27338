"""Link files of CLKs, or candidate pairs that were found elsewhere, without warehouse and exchange. Zone: linkage_unit.

In place of an upload to anonlink-entity-service: the same files in, the same results out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pair_files import (
    ScoredCandidates,
    dump_candidates,
    load_candidates,
)
from linkage_core.linkage_unit.clk_comparison import compare_documents
from linkage_core.linkage_unit.clk_documents import parse_clk_document
from linkage_core.linkage_unit.clk_results import (
    Solver,
    groups_json,
    link_id_csv,
    mask_json,
    parse_link_ids,
    permutation_json,
    permutations_with_mask,
    similarity_scores_json,
    solve_groups,
)
from linkage_core.linkage_unit.record_groups import Groups
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.output_files import whole_file
from tasks.protocol.stages import announce, coded_errors_only

OutputType = Literal["groups", "similarity_scores", "permutations", "candidate_pairs", "link_id"]


@dataclass(frozen=True)
class ClkJob:
    """How files of CLKs are linked, and what comes out."""

    threshold: float
    output_type: OutputType
    output: Path
    names: tuple[str, ...]
    solver: Solver = "greedy"
    known_links: Path | None = None
    pair_budget: int = 100_000_000


@coded_errors_only
def link_clk_files(files: Sequence[Path], job: ClkJob) -> list[Path]:
    """Compare the files' CLKs, resolve, and write the result; returns the files written.

    Raises
    ------
    NightlinkError
        E-INPUT, E-INTERCHANGE, E-PAIR-BUDGET, E-OUTPUT. Nothing is left half-written.
    """
    _check_job(job, len(files))
    documents = []
    for path in files:
        documents.append(parse_clk_document(read_bounded(path), path.name))
        announce(f"{path.name}: {len(documents[-1])} CLKs of {8 * documents[-1].clk_bytes} bits")
    began = time.monotonic()
    pairs = compare_documents(documents, job.threshold, pair_budget=job.pair_budget)
    announce(f"{len(pairs)} pairs of at least {job.threshold} in {time.monotonic() - began:.2f} s")
    return _write_result(pairs, [len(document) for document in documents], job)


@coded_errors_only
def solve_pairs_file(path: Path, records: Sequence[int], job: ClkJob) -> list[Path]:
    """Resolve the candidate pairs of anonlink's binary file, and write the result; raises as above."""
    _check_job(job, len(records))
    pairs = load_candidates(read_bounded(path), records, path.name)
    kept = pairs.similarity >= job.threshold
    columns = (pairs.similarity, pairs.party_a, pairs.party_b, pairs.record_a, pairs.record_b)
    pairs = ScoredCandidates(*(column[kept] for column in columns))
    announce(f"{len(pairs)} pairs of at least {job.threshold}")
    return _write_result(pairs, records, job)


def _check_job(job: ClkJob, parties: int) -> None:
    if parties < 2 or len(job.names) != parties or len(set(job.names)) != parties:
        raise _wrong_argument(
            f"{parties} files and {len(set(job.names))} names", "two or more, each with its name"
        )
    if job.output_type == "permutations" and parties != 2:
        raise _wrong_argument(f"permutations of {parties} parties", "two parties")
    if job.solver == "optimal" and parties != 2:
        raise _wrong_argument(f"the solver optimal for {parties} parties", "two parties")
    if not 0.0 <= job.threshold <= 1.0:
        raise _wrong_argument(f"a threshold of {job.threshold}", "a number from 0 to 1")


def _write_result(pairs: ScoredCandidates, records: Sequence[int], job: ClkJob) -> list[Path]:
    if job.output_type == "similarity_scores":
        return [_write(job.output, similarity_scores_json(pairs))]
    if job.output_type == "candidate_pairs":
        return [_write(job.output, [dump_candidates(pairs)])]
    groups = solve_groups(pairs, job.solver, _known_groups(records, job))
    announce(f"{len(groups)} groups")
    if job.output_type == "groups":
        return [_write(job.output, groups_json(groups))]
    if job.output_type == "link_id":
        return [_write(job.output, link_id_csv(groups, job.names, records, secrets.token_bytes))]
    return _write_permutations(groups, (records[0], records[1]), job)


def _write_permutations(groups: Groups, records: tuple[int, int], job: ClkJob) -> list[Path]:
    """One file for each party and one for the analyst, who alone may see the mask."""
    first, second, mask = permutations_with_mask(groups, records, secrets.token_bytes)
    texts = [permutation_json(permutation, min(records)) for permutation in (first, second)]
    suffixes = ("permutation-a", "permutation-b", "mask")
    paths = [job.output.with_name(f"{job.output.stem}.{suffix}.json") for suffix in suffixes]
    return [_write(path, [text]) for path, text in zip(paths, [*texts, mask_json(mask)], strict=True)]


def _known_groups(records: Sequence[int], job: ClkJob) -> Groups:
    if job.known_links is None:
        return []
    known = parse_link_ids(read_bounded(job.known_links), job.names, records, job.known_links.name)
    announce(f"{len(known)} groups given in advance")
    return known


def _write(path: Path, pieces: Iterable[bytes]) -> Path:
    with whole_file(path) as file:
        for piece in pieces:
            file.write(piece)
    return path


def _wrong_argument(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-INPUT", found=found, expected=expected, remedy="Correct the command's arguments."
    )
