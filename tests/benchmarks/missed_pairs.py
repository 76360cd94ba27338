"""Why true pairs are missed: which values both records have, and what of those that are equal was seen.

    python -m tests.benchmarks.missed_pairs [--data ../shared/data] [--sets a,b] [--blank .2]

One key. Of the true pairs that are candidates and were not output, field by field: the share in which both records
have a value; how many of those values are equal; and as which level the equal ones were seen.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from pathlib import Path

import numpy as np

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.evaluation.evaluate_linkage import LinkageRun, StageMeter, link_sides
from linkage_core.evaluation.linkage_quality import mark_true_pairs
from linkage_core.linkage_unit.comparison_vectors import NULL_LEVEL, compare_pairs
from linkage_core.protocol.encoded_evidence import mean_fill
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.benchmarks.evaluate_sets import ROOT, Columns, evaluated_batch, load_set


def main() -> None:
    options = _options()
    protocol = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
    print("set | field | both present | equal | seen as")
    for name in options.sets.split(","):
        loaded = load_set(Path(options.data), name, options.blank, 0.0, seed=0)
        if loaded is None:
            raise SystemExit(f"{name} is not in {options.data}")
        side_a, side_b, truth = loaded
        key = hashlib.sha256(b"evaluation 0 0").digest()
        meter = StageMeter(time.perf_counter)
        run = link_sides(evaluated_batch(side_a), evaluated_batch(side_b), key, protocol, meter)
        is_true = mark_true_pairs(run.rows_a, run.rows_b, *truth)
        is_true[run.links.pairs[run.output]] = False
        print_missed(name, run, np.flatnonzero(is_true), (side_a, side_b))


def print_missed(name: str, run: LinkageRun, missed: np.ndarray, sides: tuple[Columns, Columns]) -> None:
    """One line a field."""
    spec, evidence = evidence_of(run.sides.protocol), [side.evidence for side in run.sides.records]
    a, b = run.candidates.index_a[missed], run.candidates.index_b[missed]
    levels = compare_pairs(*evidence, a, b, spec, mean_fill(*run.sides.aggregates)).levels
    column_of = {field: column for column, field in FIELD_OF_COLUMN.items()}
    for f, field in enumerate(spec.fields):
        column = column_of[field]
        values = sides[0][column][run.rows_a[missed]], sides[1][column][run.rows_b[missed]]
        present = (values[0] != "") & (values[1] != "")
        equal = present & (values[0] == values[1])
        names = {NULL_LEVEL: "null", **dict(enumerate(spec.level_names(field)))}
        seen = Counter(names[level] for level in levels[equal, f].tolist())
        told = ", ".join(f"{level} {count}" for level, count in seen.most_common())
        print(
            f"{name} | {field} | {present.mean():.2f} of {len(missed)} | {equal.sum()} | {told}", flush=True
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--sets", default="pp_census20_census30,pp_census20_census30_hard,usgen20k_min")
    parser.add_argument("--blank", type=float, default=0.2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
