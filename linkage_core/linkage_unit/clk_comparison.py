"""All similar pairs of several parties' CLKs: everybody with everybody, or within blocks. Zone: linkage_unit.

The same pairs with the same similarities as anonlink 0.15.3's ``find_candidate_pairs`` with
``dice_coefficient_accelerated`` and no limit of candidates a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pair_files import ScoredCandidates, order_candidates
from linkage_core.linkage_unit.clk_documents import Blocks, ClkDocument, interchange_error
from linkage_core.linkage_unit.dice_kernels import dice_pairs
from linkage_core.linkage_unit.threshold_join import stream_similar_pairs

PROPOSALS_PER_CHUNK = 1 << 22
"""Pairs within blocks that are compared at once, 24 bytes each."""

Indices = npt.NDArray[np.intp]
_Scored = tuple[Indices, Indices, npt.NDArray[np.float64]]


def compare_documents(
    documents: Sequence[ClkDocument],
    threshold: float,
    *,
    pair_budget: int,
    threads: int | None = None,
) -> ScoredCandidates:
    """Pairs of records of different parties whose CLKs have at least this Dice similarity.

    Parameters
    ----------
    documents : sequence of ClkDocument
        Two parties or more; all have blocks or none has.
    threshold : float
        From 0 to 1; pairs of exactly this similarity are among the results.
    pair_budget : int
        Most pairs that blocks may propose (a record in several shared blocks counts once for each), and most
        similar pairs that may be found: 40 bytes of memory each.
    threads : int, optional
        Threads to use; every number gives the same result.

    Raises
    ------
    NightlinkError
        E-INTERCHANGE for CLKs of unequal lengths, or blocks in some files only; E-PAIR-BUDGET.
    """
    _check_alike(documents)
    found: list[tuple[int, int, _Scored]] = []
    total = 0
    for a, b in combinations(range(len(documents)), 2):
        for scored in _similar_pairs(documents[a], documents[b], threshold, pair_budget, threads):
            total += len(scored[2])
            if total > pair_budget:
                raise _over_budget("similar pairs", pair_budget, "Raise the threshold or the budget.")
            found.append((a, b, scored))
    return order_candidates(
        np.concatenate([np.empty(0), *(scored[2] for _, _, scored in found)]),
        (_repeat([(a, len(s[2])) for a, _, s in found]), _repeat([(b, len(s[2])) for _, b, s in found])),
        (
            np.concatenate([np.empty(0, np.intp), *(scored[0] for _, _, scored in found)]),
            np.concatenate([np.empty(0, np.intp), *(scored[1] for _, _, scored in found)]),
        ),
    )


def pairs_within_blocks(
    blocks_a: Blocks, blocks_b: Blocks, pair_budget: int
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of records that share a block, each once, in chunks of consecutive rows of A.

    Raises
    ------
    NightlinkError
        E-PAIR-BUDGET, before any pair is made, when the blocks hold more pairs than the budget.
    """
    numbers = {name: k for k, name in enumerate(dict.fromkeys(n for named in blocks_b for n in named))}
    row_b, block_b = _entries(blocks_b, numbers)
    order = np.argsort(block_b, kind="stable")
    members = row_b[order]
    bounds = np.searchsorted(block_b[order], np.arange(len(numbers) + 1))
    row_a, block_a = _entries(blocks_a, numbers)
    sizes = np.diff(bounds)[block_a]
    if int(sizes.sum()) > pair_budget:
        found = f"{int(sizes.sum())} pairs within blocks"
        raise _over_budget(found, pair_budget, "Use smaller blocks or raise the budget.")
    ends = np.cumsum(sizes)
    start = 0
    while start < len(row_a):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + PROPOSALS_PER_CHUNK, side="right")), start + 1)
        stop = int(np.searchsorted(row_a, row_a[stop - 1], side="right"))  # a record is in one chunk only
        proposed = _members(members, bounds[block_a[start:stop]], sizes[start:stop])
        yield _each_once(np.repeat(row_a[start:stop], sizes[start:stop]), proposed)
        start = stop


def _check_alike(documents: Sequence[ClkDocument]) -> None:
    sizes = sorted({document.clk_bytes for document in documents if len(document)})
    if len(sizes) > 1:
        raise interchange_error(
            f"CLKs of {' and '.join(map(str, sizes))} bytes", "one length", "Encode all files by one schema."
        )
    if len({document.blocks is None for document in documents}) > 1:
        raise interchange_error("blocks in some of the files only", "blocks in all files or in none")


def _similar_pairs(
    a: ClkDocument, b: ClkDocument, threshold: float, pair_budget: int, threads: int | None
) -> Iterator[_Scored]:
    if not len(a) or not len(b):
        return
    if a.blocks is None or b.blocks is None:
        for chunk in stream_similar_pairs(a.filters, b.filters, threshold, threads=threads):
            yield chunk.index_a, chunk.index_b, chunk.similarity
        return
    for index_a, index_b in pairs_within_blocks(a.blocks, b.blocks, pair_budget):
        similarity = dice_pairs(a.filters, b.filters, index_a, index_b, threads=threads)
        kept = similarity >= threshold
        yield index_a[kept], index_b[kept], similarity[kept]


def _entries(blocks: Blocks, numbers: dict[str, int]) -> tuple[Indices, Indices]:
    """Rows and numbers of their blocks, by row, each once; blocks that the other side lacks are left out."""
    rows, found = [], []
    for row, named in enumerate(blocks):
        known = sorted({numbers[name] for name in named if name in numbers})
        rows.extend([row] * len(known))
        found.extend(known)
    return np.array(rows, np.intp), np.array(found, np.intp)


def _members(members: Indices, first: Indices, sizes: Indices) -> Indices:
    """``members[first[k] : first[k] + sizes[k]]`` of all ``k``, one after another."""
    offsets = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    found: Indices = members[np.repeat(first, sizes) + offsets]
    return found


def _each_once(index_a: Indices, index_b: Indices) -> tuple[Indices, Indices]:
    packed = np.unique((index_a.astype(np.uint64) << np.uint64(32)) | index_b.astype(np.uint64))
    return (packed >> np.uint64(32)).astype(np.intp), (packed & np.uint64(0xFFFFFFFF)).astype(np.intp)


def _repeat(counts: list[tuple[int, int]]) -> Indices:
    times = np.array([times for _, times in counts], np.intp)
    repeated: Indices = np.repeat(np.array([n for n, _ in counts], np.intp), times)
    return repeated


def _over_budget(found: str, pair_budget: int, remedy: str) -> NightlinkError:
    return NightlinkError(
        "E-PAIR-BUDGET", found=f"too many: {found}", expected=f"at most {pair_budget}", remedy=remedy
    )
