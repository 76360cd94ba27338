"""The default and its neighbours over five keys and seeds: attacks, and what hardening costs a night.

    python -m tests.benchmarks.confirmed_default [--data ../shared/data] [--seeds 5] [--results PATH]

Prints two tables of Markdown for decision 0016. The first attacks the three pair filters, plain and as
deployed. The second runs the whole linkage (tokens, filters, model, threshold) with the same filters plain and
hardened: what a user loses. Plain filters need a protocol that calls itself unsafe, which is built in memory.
The neighbours t = 6 and the like are in the attack table, over three seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from linkage_core.evaluation.attacks.hardenings import Hardening, pair_filters
from linkage_core.evaluation.evaluate_linkage import evaluate
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.match_model import fit_match_model
from linkage_core.protocol.linkage_protocol import (
    LinkageProtocol,
    protocol_fingerprint,
    protocol_from_document,
)
from tests.benchmarks.attack_results import FoundResults, source_digest
from tests.benchmarks.attack_table import attack_rows, attacked_world, print_rows, quality_sets
from tests.benchmarks.attacked_encodings import KNOWN_PAIRS
from tests.benchmarks.attacked_registers import PROTOCOL, REPOSITORY
from tests.benchmarks.evaluate_sets import evaluated_batch, load_set

TERMS = (1, 6, 8)
GATED = (f"ridge {KNOWN_PAIRS[1]}", f"ridge {KNOWN_PAIRS[2]}", "graph", "frequency")
NIGHT_SETS = ("usgen20k_min", "pp_census20_census30_hard")
FIGURES = ("r_at_p99", "best_f1", "output_precision", "output_recall", "output_f1")


def with_terms(protocol: LinkageProtocol, terms: int) -> LinkageProtocol:
    """The protocol with all filters diffused so, or plain where ``terms`` is 1."""
    document = protocol.model_dump(mode="json")
    changes = {"hardening": "none"} if terms == 1 else {"hardening": "diffusion", "terms": terms}
    document["evidence"]["filters"] = [group | changes for group in document["evidence"]["filters"]]
    return protocol_from_document(document | {"unsafe": terms == 1})


def night_figures(folder: Path, terms: int, seeds: int, found: FoundResults) -> np.ndarray:
    """Figures of whole linkages, one row a key."""
    protocol = with_terms(PROTOCOL, terms)
    code = source_digest(evaluate, compare_pairs, fit_match_model)
    loaded = load_set(folder.parent, folder.name, 0.0, 0.0, seed=0)
    if loaded is None:
        raise SystemExit(f"confirmed_default: {folder} is not there")
    side_a, side_b, truth = evaluated_batch(loaded[0]), evaluated_batch(loaded[1]), loaded[2]
    rows = []
    for seed in range(seeds):

        def work(seed: int = seed) -> list[float]:
            key = hashlib.sha256(f"confirmed default {seed}".encode()).digest()
            run = evaluate(side_a, side_b, truth, key, protocol, clock=time.perf_counter)
            return [getattr(run, name) for name in FIGURES]

        key = ("night", folder.name, protocol_fingerprint(protocol), code, seed)
        rows.append(found.figures(key, work))
        print(f"{folder.name}, t={terms}, key {seed}: {rows[-1]}", file=sys.stderr, flush=True)
    return np.array(rows)


def print_nights(data: Path, seeds: int, found: FoundResults) -> None:
    """Means over the keys, with the largest distance between two keys."""
    print(f"\n| set | filters | {' | '.join(FIGURES)} |\n|---|---|" + "---|" * len(FIGURES))
    for name in NIGHT_SETS:
        for terms in TERMS:
            if (data / name).is_dir():
                rows = night_figures(data / name, terms, seeds, found)
                cells = " | ".join(
                    f"{mean:.4f} (+-{spread / 2:.4f})"
                    for mean, spread in zip(rows.mean(axis=0), np.ptp(rows, axis=0), strict=True)
                )
                print(f"| {name} | {'plain' if terms == 1 else f't={terms}'} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--attacks", type=Path, default=REPOSITORY / "build" / "attack_results.json")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "build" / "night_results.json")
    parser.add_argument("--nights-only", action="store_true", help="no attacks")
    options = parser.parse_args()
    if not options.nights_only:
        menu: list[Hardening] = [pair_filters(terms) for terms in (1, 8)]
        world, sets = attacked_world(options.data), quality_sets(options.data)
        found = FoundResults(options.attacks)
        print_rows(attack_rows(menu, world, sets, found, options.seeds, GATED), world, options.seeds)
    print_nights(options.data, options.seeds, FoundResults(options.results))


if __name__ == "__main__":
    main()
