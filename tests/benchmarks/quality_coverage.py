"""How often the 95% intervals of the night's own estimates hold the true precision.

    python -m tests.benchmarks.quality_coverage [--data ../shared/data] [--sets a,b] [--seeds 20] [--first-seed 0]
        [--people 4000] [--null-people 40] [--canary-pairs 40]

For each set and seed: so many people of side A are drawn at random, side B in the same share, matches drawn together;
a fresh key; null people and canary pairs added; the whole linkage; then each estimator's interval against the truth.
Null people tell of the matches of people who exist; the others, which cannot know who does, of all. Printed per set and
estimator: seeds in which it could be computed, in which its interval holds the true precision, its
mean width, and the mean of the estimate and of the truth.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np

from linkage_core.evaluation.evaluate_linkage import LinkageRun, SealedNumbers, StageMeter, link_sides
from linkage_core.evaluation.linkage_quality import mark_true_pairs
from linkage_core.linkage_unit.quality.night_quality import DUPLICATES, HELD_OUT_SEX, POSTERIORS
from linkage_core.linkage_unit.quality.sealed_people import (
    NULL_PEOPLE,
    precision_by_null_people,
    recall_by_canaries,
)
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.benchmarks.evaluate_sets import BASELINES, ROOT, Columns, evaluated_batch, load_set

ESTIMATORS = (NULL_PEOPLE, POSTERIORS, DUPLICATES, HELD_OUT_SEX)
Sides = tuple[Columns, Columns, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    options = _options()
    protocol = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
    sealed = SealedNumbers(options.null_people, options.canary_pairs)
    print("set | estimator | seeds | covered | covered, share | mean estimate | mean truth | mean width")
    for name in options.sets.split(","):
        whole = load_set(Path(options.data), name, 0.0, 0.0, 0)
        if whole is None:
            print(f"{name}: not there, skipped")
            continue
        rows, recalls = [], []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            side_a, side_b, truth = sample_people(whole, options.people, seed)
            key = hashlib.sha256(f"coverage {seed}".encode()).digest()
            meter = StageMeter(time.perf_counter)
            run = link_sides(
                evaluated_batch(side_a), evaluated_batch(side_b), key, protocol, meter, sealed=sealed
            )
            served, judged, recall = true_quality(run, (len(side_a["rid"]), len(side_b["rid"])), truth)
            told = {name: (judged, found) for name, found in run.precision_estimates().items()}
            by_null_people = precision_by_null_people(run.sealed_counts())
            rows.append(told if by_null_people is None else {NULL_PEOPLE: (served, by_null_people), **told})
            recalls.append((recall, recall_by_canaries(run.sealed_counts())))
        _print_set(name, rows)
        _print_recall(name, recalls)


def true_quality(
    run: LinkageRun, people: tuple[int, int], truth: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, float]:
    """Precision of the matches of people who exist, and of all that the other estimators judge; recall."""
    matched = run.links.pairs[run.output]
    rows_a, rows_b = run.rows_a[matched], run.rows_b[matched]
    real = (rows_a < people[0]) & (rows_b < people[1])
    right = mark_true_pairs(rows_a[real], rows_b[real], *truth)
    all_right = int(right.sum()) + run.sealed_counts().pairs_matched
    return float(right.mean()), all_right / len(matched), float(right.sum() / len(truth[0]))


def _print_recall(name: str, rows: list) -> None:
    """What canaries say beside the true recall; their errors are made up, so that it is an upper bound."""
    told = [found.value for _, found in rows if found is not None]
    if told:
        true = np.mean([recall for recall, _ in rows])
        print(f"{name} | recall by canaries {np.mean(told):.4f}, true recall {true:.4f}", flush=True)


def sample_people(whole: Sides, people: int, seed: int) -> Sides:
    """A share of the people of both sides, whoever has a match with it."""
    side_a, side_b, (true_a, true_b) = whole
    share = min(people / len(side_a["rid"]), 1.0)
    generator = np.random.default_rng(seed)
    keep = [generator.random(len(side["rid"])) < share for side in (side_a, side_b)]
    keep[1][true_b] = keep[0][true_a]
    rows = [np.cumsum(kept) - 1 for kept in keep]
    of_both = keep[0][true_a]
    sides = [
        {name: values[kept] for name, values in side.items()}
        for side, kept in zip((side_a, side_b), keep, strict=True)
    ]
    return sides[0], sides[1], (rows[0][true_a[of_both]], rows[1][true_b[of_both]])


def _print_set(name: str, rows: list) -> None:
    for estimator in ESTIMATORS:
        told = [found[estimator] for found in rows if estimator in found]
        if not told:
            print(f"{name} | {estimator} | 0 | - | - | - | - | -", flush=True)
            continue
        covered = sum(found.low <= true <= found.high for true, found in told)
        means = [
            np.mean([found.value for _, found in told]),
            np.mean([true for true, _ in told]),
            np.mean([found.high - found.low for _, found in told]),
        ]
        figures = " | ".join(f"{mean:.4f}" for mean in means)
        print(
            f"{name} | {estimator} | {len(told)} | {covered} | {covered / len(told):.2f} | {figures}",
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--sets", default=",".join(BASELINES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--null-people", type=int, default=40)
    parser.add_argument("--canary-pairs", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
