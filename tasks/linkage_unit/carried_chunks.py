"""A former night's compared pairs among the chunks of tonight. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.carried_pairs import ComparedPairs, patterns_in_use
from linkage_core.linkage_unit.pair_patterns import PairPatterns
from linkage_core.protocol.record_state import StateRows, rows_of_before
from tasks.linkage_unit.chunk_files import Arrays, Chunk
from tasks.linkage_unit.work_folder import Job, map_columns, map_state

SIDES = ("a", "b")


def compared_before(kept: Chunk) -> ComparedPairs:
    """The former night's pairs, of the chunk ``kept``."""
    arrays = kept.arrays
    return ComparedPairs(
        arrays["partners"],
        arrays["index_b"],
        arrays["passes"],
        PairPatterns(arrays["states"], arrays["of_pair"]),
        (arrays["standing_a"], arrays["standing_b"]),
    )


def unchanged_rows(job: Job, kept: Chunk) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Of each record of both sides its row in the former night where nothing of it changed, else -1.

    Who was erased since, or is no longer, has changed, though the custodian delivers the same.
    """
    first, second = (_unchanged(job, side, kept.arrays) for side in (0, 1))
    return first, second


def chunks_of(job: Job, pairs: ComparedPairs) -> Iterator[tuple[int, Chunk, Chunk]]:
    """The chunks of the stages pairs and patterns, to the byte as these stages compute them."""
    ends = np.concatenate([[0], np.cumsum(pairs.partners, dtype=np.intp)])
    for number in range(job.chunks):
        start, stop = job.rows_of(number)
        part = slice(ends[start], ends[stop])
        its = patterns_in_use(pairs.patterns.states, pairs.patterns.of_pair[part])
        yield (
            number,
            Chunk(
                {
                    "partners": pairs.partners[start:stop],
                    "index_b": pairs.index_b[part],
                    "passes": pairs.passes[part],
                },
                {},
            ),
            Chunk({"states": its.states, "of_pair": its.of_pair}, {}),
        )


def _unchanged(job: Job, side: int, kept: Arrays) -> npt.NDArray[np.intp]:
    letter, (now, recorded) = SIDES[side], state_of(job, side)
    rows = rows_of_before(now, StateRows(kept[f"delivered_{letter}"], kept[f"digests_{letter}"]))
    same = np.flatnonzero(rows >= 0)
    differs = recorded[same] != kept[f"recorded_{letter}"][rows[same]]
    rows[same[differs]] = -1
    return rows


def state_of(job: Job, side: int) -> tuple[StateRows, npt.NDArray[np.void]]:
    """The records as delivered, and the pseudonyms that they go by: an erased one's is another."""
    folder, rows = job.columns(side), job.sides[side].rows
    return map_state(folder, rows), map_columns(folder, job.spec, rows).record_pseudonyms
