"""The real anonlink 0.15.3 finds the same pairs, writes and reads the same bytes, and makes the same groups."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from linkage_core.linkage_unit.candidate_pair_files import (
    ScoredCandidates,
    dump_candidates,
    load_candidates,
    order_candidates,
)
from linkage_core.linkage_unit.clk_comparison import compare_documents
from linkage_core.linkage_unit.clk_documents import ClkDocument
from linkage_core.linkage_unit.clk_results import solve_groups
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one
from linkage_core.linkage_unit.record_groups import group_greedily, pairs_as_records
from tests.benchmarks.generated_filters import filters_of_people
from tests.benchmarks.peer_races import PEER_PYTHON

pytestmark = pytest.mark.skipif(
    not PEER_PYTHON.exists(), reason="the peers' environment is not there; `make peers` makes it"
)


def run_anonlink(what: str, folder: Path, **settings) -> dict:
    command = [PEER_PYTHON, Path(__file__).with_name("anonlink_peer.py"), what, folder, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "groups.json").read_text())


@pytest.fixture(scope="module")
def parties() -> list[np.ndarray]:
    """Three parties' generated people, some of whom two or three of them have, with repeated and extreme filters."""
    a, b = filters_of_people(900, seed=5)
    words = a.shape[1]
    extreme = np.repeat(np.array([2**64 - 1, 0, 0x00FF00FF00FF00FF], np.uint64), words).reshape(3, words)
    return [
        np.concatenate([a[:500], extreme]),
        np.concatenate([b[100:700], extreme]),
        np.concatenate([b, a[:9]]),
    ]


def _blocks(parties: list[np.ndarray]) -> list[list[list[str]]]:
    """Each record in up to three blocks, of its own bits, so that similar ones often share one."""
    return [
        [
            sorted({f"{w}-{int(row[w]) & 7}" for w in range(3 - i % 2)}) if i % 50 else []
            for i, row in enumerate(p)
        ]
        for p in parties
    ]


@pytest.mark.parametrize("with_blocks", [False, True])
@pytest.mark.parametrize(("count", "threshold"), [(2, 0.8), (2, 0.7), (3, 0.75), (3, 0.65)])
def test_pairs_bytes_and_groups_are_anonlinks(parties, tmp_path, count, threshold, with_blocks):
    parties = parties[:count]
    blocks = _blocks(parties) if with_blocks else None
    for k, filters in enumerate(parties):
        np.save(tmp_path / f"party_{k}.npy", filters)
    (tmp_path / "blocks.json").write_text(json.dumps(blocks))
    theirs = run_anonlink("compare", tmp_path, parties=count, blocks=with_blocks, threshold=threshold)
    documents = [
        ClkDocument(
            np.ascontiguousarray(filters), 128, None if blocks is None else tuple(map(tuple, blocks[k]))
        )
        for k, filters in enumerate(parties)
    ]
    pairs = compare_documents(documents, threshold, pair_budget=10**7)
    assert len(pairs) > 100
    assert dump_candidates(pairs) == (tmp_path / "pairs.bin").read_bytes()
    read = load_candidates((tmp_path / "pairs.bin").read_bytes(), [len(p) for p in parties], "pairs")
    for name in ("similarity", "party_a", "party_b", "record_a", "record_b"):
        assert np.array_equal(getattr(read, name), getattr(pairs, name))
    groups = [[list(record) for record in group] for group in solve_groups(pairs, "greedy")]
    assert groups == theirs["groups"]
    assert len(groups) > 50
    if count == 3:
        assert max(map(len, groups)) == 3


def _random_pairs(seed: int, parties: int, distinct: bool) -> ScoredCandidates:
    rng = np.random.default_rng(seed)
    records = 40
    chosen = rng.permutation(parties * parties * records * records)[:3000]
    party_a, party_b, record_a, record_b = np.unravel_index(chosen, (parties, parties, records, records))
    apart = party_a < party_b
    score = rng.permutation(int(apart.sum())) / 1e5 if distinct else rng.integers(0, 9, int(apart.sum())) / 10
    sides = (party_a[apart], party_b[apart]), (record_a[apart], record_b[apart])
    return order_candidates(
        score.astype(np.float64), *(tuple(s.astype(np.intp) for s in side) for side in sides)
    )


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize(("seed", "count"), [(1, 2), (2, 2), (3, 3), (4, 5)])
def test_our_file_gives_anonlink_the_groups_that_we_make(tmp_path, seed, count, distinct):
    pairs = _random_pairs(seed, count, distinct)
    (tmp_path / "pairs.bin").write_bytes(dump_candidates(pairs))
    theirs = run_anonlink("solve", tmp_path)
    assert theirs["entries"] == len(pairs)
    assert [[list(r) for r in group] for group in solve_groups(pairs, "greedy")] == theirs["groups"]


@pytest.mark.parametrize("seed", [6, 7, 8])
def test_greedy_one_to_one_is_greedy_solve_where_there_are_no_ties(tmp_path, seed):
    pairs = _random_pairs(seed, 2, distinct=True)
    (tmp_path / "pairs.bin").write_bytes(dump_candidates(pairs))
    theirs = run_anonlink("solve", tmp_path)
    ties = np.random.default_rng(seed).integers(
        0, 2**64, len(pairs), dtype=np.uint64
    )  # they decide nothing here
    chosen = greedy_one_to_one(pairs.record_a, pairs.record_b, pairs.similarity, ties, possible=0.0)
    linked = zip(pairs.record_a[chosen].tolist(), pairs.record_b[chosen].tolist(), strict=True)
    assert sorted([[0, a], [1, b]] for a, b in linked) == theirs["groups"]


@pytest.mark.parametrize(("seed", "count"), [(11, 3), (12, 4), (13, 6)])
@pytest.mark.parametrize("merge_share", [0.3, 0.5, 0.8])
def test_groups_of_one_record_a_party_are_those_of_the_probabilistic_solver(
    tmp_path, seed, count, merge_share
):
    pairs = _random_pairs(seed, count, distinct=True)
    (tmp_path / "pairs.bin").write_bytes(dump_candidates(pairs))
    theirs = run_anonlink("solve", tmp_path, solver="probabilistic", merge_share=merge_share)
    in_order = pairs_as_records(pairs.party_a, pairs.record_a, pairs.party_b, pairs.record_b)
    ours = group_greedily(in_order, merge_share=merge_share, one_a_party=True)
    assert [[list(record) for record in group] for group in ours] == theirs["groups"]
