"""Trained match models beside the fitted one: on people of the same set, and on sets that they never saw.

    python -m tests.benchmarks.trained_models [--data ../shared/data] [--sets a,b] [--people 10000]

*Same set*: the people of a set in two halves; trained on one, linked on the other, and the reverse (means). *Never
seen*: trained on generated people (the worlds of :mod:`tests.benchmarks.column_worlds`), linked on each set as it is,
with 20% of the values blanked, and with the overlap cut to 30%. Every line is of one key.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.evaluate_linkage import LinkageFigures, StageMeter, link_sides, linkage_figures
from linkage_core.evaluation.labelled_people import label_people
from linkage_core.linkage_unit.model_training import join_labelled, train_model
from linkage_core.linkage_unit.trained_model import TrainedModel
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.benchmarks.column_worlds import PLANS, make_people
from tests.benchmarks.evaluate_sets import ROOT, evaluated_batch, load_set

COLUMNS = ("ap", "best_f1", "r_at_p95", "r_at_p99", "output_precision", "output_recall", "output_f1")
METHODS = ("logistic_regression", "gradient_boosting")
CHANGES = ((0.0, 0.0), (0.2, 0.0), (0.0, 0.3))
PROTOCOL = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
FORMAT = SourceFormat(date_formats=("%Y%m%d", "%Y-%m-%d"))
Sides = tuple[pa.RecordBatch, pa.RecordBatch, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    options = _options()
    names = options.sets.split(",")
    print("| set | model | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 2))
    for name in names:
        print_same_set(name, _sides(options.data, name, 0.0, 0.0))
    made = [make_people(plan, options.people) for plan in PLANS]
    labelled = join_labelled([label_people(*sides, truth, _key("worlds"), PROTOCOL) for sides, truth in made])
    models = {method: train_model(labelled, PROTOCOL, method) for method in METHODS}
    for name in names:
        for blank, overlap in CHANGES:
            sides = _sides(options.data, name, blank, overlap)
            told = (
                f"{name}, never seen"
                + (", 20% blank" if blank else "")
                + (", overlap 30%" if overlap else "")
            )
            _print(told, "fitted", [link(sides)])
            for method, model in models.items():
                _print(told, method, [link(sides, model)])


def print_same_set(name: str, sides: Sides) -> None:
    """Trained on half of the people, linked on the other half, both ways."""
    halves = split_people(sides)
    found: dict[str, list[LinkageFigures]] = {"fitted": [link(half) for half in halves]}
    for shown, other in (halves, halves[::-1]):
        labelled = label_people(*shown, _key("shown"), PROTOCOL, source_format=FORMAT)
        for method in METHODS:
            found.setdefault(method, []).append(link(other, train_model(labelled, PROTOCOL, method)))
    for method, figures in found.items():
        _print(f"{name}, same set", method, figures)


def split_people(sides: Sides) -> tuple[Sides, Sides]:
    """The people in two halves at random, each with its records on both sides."""
    side_a, side_b, (true_a, true_b) = sides
    generator = np.random.default_rng(0)
    in_a, in_b = (generator.random(side.num_rows) < 0.5 for side in (side_a, side_b))
    in_b[true_b] = in_a[true_a]
    halves = []
    for kept_a, kept_b in ((in_a, in_b), (~in_a, ~in_b)):
        true = kept_a[true_a]
        rows = [(np.cumsum(kept) - 1)[t[true]] for kept, t in ((kept_a, true_a), (kept_b, true_b))]
        halves.append((side_a.filter(pa.array(kept_a)), side_b.filter(pa.array(kept_b)), (rows[0], rows[1])))
    return halves[0], halves[1]


def link(sides: Sides, trained: TrainedModel | None = None) -> LinkageFigures:
    """One key, the same for every model."""
    meter = StageMeter(lambda: 0.0)
    side_a, side_b, truth = sides
    run = link_sides(side_a, side_b, _key("linked"), PROTOCOL, meter, source_format=FORMAT, trained=trained)
    return linkage_figures(run, truth, meter)


def _sides(data: str, name: str, blank: float, overlap: float) -> Sides:
    loaded = load_set(Path(data), name, blank, overlap, seed=0)
    if loaded is None:
        raise SystemExit(f"{name} is not in {data}")
    return evaluated_batch(loaded[0]), evaluated_batch(loaded[1]), loaded[2]


def _key(word: str) -> bytes:
    return hashlib.sha256(f"trained models {word}".encode()).digest()


def _print(name: str, model: str, figures: list[LinkageFigures]) -> None:
    means = [float(np.mean([getattr(one, column) for one in figures])) for column in COLUMNS]
    row = " | ".join(f"{mean:.4f}".removeprefix("0") for mean in means)
    print(f"| {name} | {model} | {row} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument(
        "--sets", default="febrl4_part,pp_census20_census30,pp_census20_census30_hard,usgen20k_min"
    )
    parser.add_argument("--people", type=int, default=10_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
