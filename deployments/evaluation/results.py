"""What an evaluation leaves: one JSON of figures, and the links as Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deployments.evaluation.people_sides import PeopleSides
from linkage_core.evaluation.evaluate_linkage import LinkageFigures, LinkageRun, ModeFigures
from linkage_core.linkage_unit.link_decisions import DECISION_NAMES
from tasks.protocol.output_files import DigestedFile, whole_file, write_whole

FORMAT = "nightlink-evaluation-1"
PAIRS_PER_ROW_GROUP = 1 << 20
_PLAIN = (
    "ap", "best_f1", "best_f1_at_p98", "best_f1_at_p99", "r_at_p95", "r_at_p99", "candidate_recall", "pairs_scored",
    "reduction_ratio",
)  # fmt: skip


def figures_document(
    figures: Sequence[LinkageFigures],
    about: Mapping[str, Any],
    notes: Sequence[str],
    by_mode: Mapping[str, ModeFigures],
) -> dict[str, Any]:
    """Means over the keys, each key's own figures under ``per_key``, and candidates by mode where there are any."""
    per_key = [_one_key(one) for one in figures]
    first = figures[0]
    counts = {name: getattr(first, name) for name in ("records_a", "records_b", "true_pairs")}
    return {
        "format": FORMAT,
        **about,
        "keys": len(figures),
        **counts,
        "notes": list(notes),
        **_mean(per_key),
        "per_key": per_key,
        **({"modes": {mode: asdict(one) for mode, one in by_mode.items()}} if by_mode else {}),
    }


def write_figures(path: Path, document: Mapping[str, Any]) -> None:
    """Write the JSON whole; E-OUTPUT when that cannot be done."""
    write_whole(path, json.dumps(document, indent=2) + "\n")


def write_links(path: Path, run: LinkageRun, sides: PeopleSides, possible: float) -> None:
    """Write every scored pair as ``rid_a``, ``rid_b``, ``score``, ``decision``, the best scores first.

    The links output are those decided as *match*; average precision is over all rows. The score is the
    model's posterior, by which the figures rank; E-OUTPUT when it cannot be written.
    """
    score, decision = run.odds.probability, run.decisions(possible)
    order = np.lexsort((run.rows_b, run.rows_a, -score))
    names = pa.array(DECISION_NAMES)
    schema = pa.schema(
        {
            "rid_a": sides.rids_a.type,
            "rid_b": sides.rids_b.type,
            "score": pa.float64(),
            "decision": pa.dictionary(pa.int8(), pa.string()),
        }
    )
    with whole_file(path) as file, pq.ParquetWriter(_Sink(file), schema) as writer:
        for start in range(0, len(order), PAIRS_PER_ROW_GROUP):
            rows = order[start : start + PAIRS_PER_ROW_GROUP]
            decided = pa.DictionaryArray.from_arrays(pa.array(decision[rows].astype(np.int8)), names)
            columns = [
                sides.rids_a.take(pa.array(run.rows_a[rows])),
                sides.rids_b.take(pa.array(run.rows_b[rows])),
                pa.array(score[rows]),
                decided,
            ]
            writer.write_table(pa.table(columns, schema=schema))


class _Sink:
    """What pyarrow needs of a file to write to."""

    closed = False

    def __init__(self, file: DigestedFile) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._file.write(data)
        return len(data)

    def tell(self) -> int:
        return self._file.bytes

    def flush(self) -> None:
        """What is written is flushed when the file is whole."""

    def close(self) -> None:
        """The file closes when it is whole."""


def _one_key(one: LinkageFigures) -> dict[str, Any]:
    output = {name: getattr(one, f"output_{name}") for name in ("precision", "recall", "f1", "links")}
    return {
        **{name: getattr(one, name) for name in _PLAIN},
        "output": {**output, "reached": one.reached},
        "expected": {"precision": one.expected_precision, "matches": one.expected_matches},
        "seconds": dict(one.seconds),
        "peak_mib": max(one.peak_mib.values()),
        "stage_peak_mib": dict(one.peak_mib),
    }


def _mean(values: Sequence[Any]) -> Any:
    """The mean of numbers, entry by entry in tables; of truths, the share that holds."""
    if isinstance(values[0], Mapping):
        return {name: _mean([value[name] for value in values]) for name in values[0]}
    return float(np.mean(values))
