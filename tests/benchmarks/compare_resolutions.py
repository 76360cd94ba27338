"""Every resolution on the open sets: links, precision, recall, seconds; and what the optimum changes.

`python -m tests.benchmarks.compare_resolutions FOLDER [FOLDER ...]`, folders as in ../shared/data.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from deployments.evaluation.people_sides import read_people_sides
from linkage_core.evaluation.evaluate_linkage import StageMeter, link_sides
from linkage_core.evaluation.linkage_quality import mark_true_pairs
from linkage_core.linkage_unit.link_probabilities import choose_threshold, link_probabilities, links_above
from linkage_core.linkage_unit.link_selection import LEAST_SELECTED, LIMITS
from linkage_core.protocol.linkage_protocol import parse_protocol

PROTOCOL = Path(__file__).parents[2] / "deployments" / "linkage_protocol.toml"


def compare(folder: Path) -> None:
    """One table of all resolutions, over one fixed key."""
    protocol = parse_protocol(PROTOCOL.read_text(encoding="utf-8"))
    sides = read_people_sides(folder, protocol)
    key = hashlib.sha256(b"compare resolutions").digest()
    run = link_sides(sides.side_a, sides.side_b, key, protocol, StageMeter(time.perf_counter))
    a, b = run.candidates.index_a, run.candidates.index_b
    is_true = mark_true_pairs(run.rows_a, run.rows_b, *sides.truth)
    ties = np.random.default_rng(1).integers(0, 2**64, len(a), dtype=np.uint64)
    entered = int(np.count_nonzero(run.odds.probability >= LEAST_SELECTED))
    print(f"{folder.name}: {len(a):,} pairs scored, {entered:,} of them above {LEAST_SELECTED}")
    for resolution in LIMITS:
        began = time.process_time()
        links = link_probabilities(run.odds, a, b, ties, run.records_a, run.records_b, resolution)
        seconds = time.process_time() - began
        chosen = choose_threshold(links, protocol.decision.target_precision)
        out = is_true[links.pairs[links_above(links, chosen)]]
        precision, recall = out.mean() if len(out) else 0.0, out.sum() / len(sides.truth[0])
        print(
            f"  {resolution:20}{len(out):8,} links  P {precision:.4f}  R {recall:.4f}  "
            f"posterior {links.posterior.sum():.3f}  {seconds:.2f} CPU s"
        )
        if links.optimum is not None:
            print(f"    {links.optimum}")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        compare(Path(argument))
