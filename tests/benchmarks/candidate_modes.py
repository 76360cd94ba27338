"""Candidate recall against pairs, for the protocol's three modes beside one another: a table and a picture.

    python -m tests.benchmarks.candidate_modes [--data ../shared/data] [--sets usgen20k_min,pp_census20_census30_hard]
        [--picture deployments/pictures/candidate_modes.svg]

The real path under a fresh random key: each set as it is and, of usgen20k_min, with 20% of the values blanked on each
side. ``blocked`` with other rooms for a record, ``top_k`` with other k, ``threshold_join`` with other similarities, all
on the same encodings; seconds are wall time of two threads. The large dot of the picture is the protocol's default.
"""

from __future__ import annotations

import argparse
import secrets
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.evaluation.command import DEFAULT_PROTOCOL
from deployments.evaluation.people_sides import PeopleSides, read_people_sides
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.evaluate_linkage import (
    EncodedSides,
    ModeFigures,
    StageMeter,
    encode_sides,
    one_mode_figures,
)
from tasks.protocol.settings_files import read_protocol
from tests.benchmarks.recall_picture import Chart, draw_curves

WRITTEN = SourceFormat(date_formats=("%Y%m%d", "%Y-%m-%d"))
BLANKED = ("usgen20k_min",)
BLANK_SHARE, BLANK_SEED = 0.2, 1
TRIED: dict[str, tuple[str, tuple[object, ...]]] = {
    "blocked": ("partners_per_record", (3, 8, 22, 60)),
    "top_k": ("nearest", (1, 3, 10, 30)),
    "threshold_join": ("similarity", (0.7, 0.58, 0.56, 0.55)),
}


def main() -> None:
    options = _options()
    print("| set | mode | | candidate recall | pairs | reduction ratio | s |\n|---|---|---|---|---|---|---|")
    charts = []
    for name in options.sets.split(","):
        sides = read_people_sides(Path(options.data) / name, read_protocol(DEFAULT_PROTOCOL))
        charts.append(measure(name, sides.side_a, sides.side_b, sides))
        if name in BLANKED:
            rng = np.random.default_rng(BLANK_SEED)
            blanked = [blank(side, rng) for side in (sides.side_a, sides.side_b)]
            charts.append(measure(f"{name}, 20% blank", *blanked, sides))
    if options.picture:
        Path(options.picture).write_text(draw_curves(charts), encoding="utf-8")


def measure(name: str, side_a: pa.RecordBatch, side_b: pa.RecordBatch, sides: PeopleSides) -> Chart:
    """All settings of all modes on one set."""
    protocol, meter = read_protocol(DEFAULT_PROTOCOL), StageMeter(time.perf_counter)
    encoded = encode_sides(side_a, side_b, secrets.token_bytes(32), protocol, meter, source_format=WRITTEN)
    curves, records = {}, len(encoded.records[0])
    for mode, (entry, values) in TRIED.items():
        points = []
        for value in values:
            found = _row(name, encoded, sides, mode, entry, value)
            points.append((found.pairs_scored / records, found.candidate_recall))
        curves[f"{mode}, by {entry} ({values[0]} to {values[-1]})"] = points
    default = one_mode_figures(encoded, sides.truth, time.perf_counter)
    return Chart(name, curves, (default.pairs_scored / records, default.candidate_recall))


def _row(
    name: str, encoded: EncodedSides, sides: PeopleSides, mode: str, entry: str, value: object
) -> ModeFigures:
    found = one_mode_figures(encoded, sides.truth, time.perf_counter, candidates=mode, **{entry: value})
    print(
        f"| {name} | {mode} | {entry} {value} | {found.candidate_recall:.4f} | {found.pairs_scored:,} |"
        f" {found.reduction_ratio:.6f} | {found.seconds:.1f} |",
        flush=True,
    )
    return found


def blank(side: pa.RecordBatch, rng: np.random.Generator) -> pa.RecordBatch:
    """Every value but the id empty with chance :data:`BLANK_SHARE`."""
    columns = {"source_id": side.column("source_id")}
    for name in side.schema.names:
        if name != "source_id":
            kept = pa.array(rng.random(side.num_rows) >= BLANK_SHARE)
            columns[name] = pc.if_else(kept, side.column(name), "")
    return pa.RecordBatch.from_pydict(columns)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--sets", default="usgen20k_min,pp_census20_census30_hard")
    parser.add_argument("--picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
