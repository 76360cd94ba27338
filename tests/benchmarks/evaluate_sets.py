"""Match quality on the open sets and on generated people, beside splink on the same clear text.

    python -m tests.benchmarks.evaluate_sets [--data ../shared/data] [--sets a,b] [--keys 3] [--seed 0]
        [--blank .2] [--overlap .3] [--splink] [--json OUT]

A set is a folder of the data, or ``generated:PEOPLE:SEED``; those that are not there are skipped. ``--blank`` empties
that share of the values on each side at random; ``--overlap`` drops records until that share of the smaller side has
a match. ``--splink`` runs splink 5 (``make peers``) on the same records in clear text, once, with the definitions of
the evaluation data's README. Without changes to a set, its published baselines are printed as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.evaluation.evaluate_linkage import LinkageFigures, evaluate
from linkage_core.evaluation.linkage_quality import average_precision, mark_true_pairs, threshold_quality
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one
from linkage_core.protocol.linkage_protocol import parse_protocol

ROOT = Path(__file__).resolve().parents[2]
PEER_PYTHON = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
# data/README.md of the evaluation data: splink 5.0.0 on the clear text, and CLK + anonlink (AP, F1, R95, R99)
BASELINES = {
    "febrl4_part": {"splink": (0.997, 0.999, 0.997, 0.997), "clk": (0.986, 0.981, 0.987, 0.972)},
    "pp_census20_census30": {"splink": (0.997, 0.997, 0.997, 0.996), "clk": (0.990, 0.986, 0.993, 0.981)},
    "pp_census20_census30_hard": {
        "splink": (0.944, 0.962, 0.948, 0.930),
        "clk": (0.907, 0.929, 0.903, 0.842),
    },
    "usgen20k_min": {"splink": (0.983, 0.981, 0.983, 0.971), "clk": (0.959, 0.957, 0.953, 0.908)},
    "usgen100k_min": {"splink": (0.974, 0.973, 0.973, 0.949), "clk": (0.943, 0.943, 0.933, 0.882)},
}
COLUMNS = (
    "ap", "best_f1", "best_f1_at_p98", "best_f1_at_p99", "r_at_p95", "r_at_p99", "output_precision", "output_recall",
    "output_f1", "expected_precision", "candidate_recall",
)  # fmt: skip
Columns = dict[str, np.ndarray]


def main() -> None:
    options = _options()
    protocol = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
    changed = f"blank {options.blank} overlap {options.overlap or 'as it is'}"
    print("set | changed | " + " | ".join(COLUMNS) + " | pairs | N est/true | seconds")
    results = []
    for name in options.sets.split(","):
        runs = []
        for k in range(options.keys):
            loaded = load_set(Path(options.data), name, options.blank, options.overlap, seed=k)
            if loaded is None:
                print(f"{name}: not there, skipped", file=sys.stderr)
                break
            side_a, side_b, truth = loaded
            key = hashlib.sha256(f"evaluation {options.seed} {k}".encode()).digest()
            batches = (evaluated_batch(side_a), evaluated_batch(side_b))
            runs.append(evaluate(*batches, truth, key, protocol, clock=time.perf_counter))
            if k == 0 and options.splink:
                print(_splink_row(name, changed, side_a, side_b, truth), flush=True)
        if not runs:
            continue
        print(_row(name, changed, runs), flush=True)
        if not options.blank and not options.overlap:
            for method, figures in BASELINES.get(name, {}).items():
                print(f"    {method}, published: " + " | ".join(f"{value:.3f}" for value in figures))
        results.append({"set": name, "changed": changed, "per_key": [asdict(run) for run in runs]})
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


def load_set(
    data: Path, name: str, blank: float, overlap: float, seed: int
) -> tuple[Columns, Columns, tuple[np.ndarray, np.ndarray]] | None:
    """Both sides of a set, changed as asked, and the row numbers of its true pairs."""
    tables = _tables(data, name)
    if tables is None:
        return None
    sides = [table.to_pydict() for table in tables[:2]]
    truth = tables[2].to_pydict()
    rows = [{rid: i for i, rid in enumerate(side["rid"])} for side in sides]
    true = [np.array([rows[s][rid] for rid in truth[f"rid_{'ab'[s]}"]], np.intp) for s in (0, 1)]
    generator = np.random.default_rng(seed)
    keep = [np.ones(len(side["rid"]), bool) for side in sides]
    if overlap:
        # every dropped pair costs one record, on either side in turn, so that both sides shrink alike
        smaller = min(map(len, rows))
        pairs = int((len(true[0]) - overlap * smaller) / (1 - overlap / 2))
        dropped = generator.permutation(len(true[0]))[: max(pairs, 0)]
        for s in (0, 1):
            keep[s][true[s][dropped[s::2]]] = False
        both = keep[0][true[0]] & keep[1][true[1]]
        true = [(np.cumsum(keep[s]) - 1)[true[s][both]] for s in (0, 1)]
    changed = [_columns(side, kept, blank, generator) for side, kept in zip(sides, keep, strict=True)]
    return changed[0], changed[1], (true[0], true[1])


def _tables(data: Path, name: str) -> tuple[pa.Table, pa.Table, pa.Table] | None:
    if name.startswith("generated:"):
        _, people, seed = name.split(":")
        made = generate_people(PeopleParameters(people_per_side=int(people)), int(seed))
        return made.side_a, made.side_b, made.truth
    files = [data / name / f"{table}.parquet" for table in ("a", "b", "truth")]
    if not all(file.exists() for file in files):
        return None
    a, b, truth = map(pq.read_table, files)
    return a, b, truth


def _columns(side: dict, kept: np.ndarray, blanked: float, generator: np.random.Generator) -> Columns:
    columns = {"rid": np.array(side["rid"], object)[kept]}
    for name in FIELD_OF_COLUMN:
        if name in side and name != "rid":
            values = np.array([value or "" for value in side[name]], object)[kept]
            values[generator.random(len(values)) < blanked] = ""
            columns[name] = values
    return columns


def evaluated_batch(columns: Columns) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {FIELD_OF_COLUMN[name]: pa.array(values, pa.utf8()) for name, values in columns.items()}
    )


def _row(name: str, changed: str, runs: list[LinkageFigures]) -> str:
    means = [float(np.mean([getattr(run, column) for run in runs])) for column in COLUMNS]
    last = runs[-1]
    seconds = " ".join(f"{stage} {value:.1f}" for stage, value in last.seconds.items())
    figures = " | ".join(f"{mean:.4f}" for mean in means)
    return (
        f"{name} | {changed} | {figures} | {last.pairs_scored}"
        f" | {last.expected_matches:.0f}/{last.true_pairs} | {seconds}"
    )


def _splink_row(
    name: str, changed: str, side_a: Columns, side_b: Columns, truth: tuple[np.ndarray, np.ndarray]
) -> str:
    """splink's figures: all scored pairs for AP, greedy one-to-one for the rest, thresholds picked on the truth."""
    with tempfile.TemporaryDirectory() as folder:
        for side, columns in (("a", side_a), ("b", side_b)):
            table = pa.table({column: pa.array(values, pa.utf8()) for column, values in columns.items()})
            pq.write_table(table, Path(folder) / f"{side}.parquet")
        script = [
            PEER_PYTHON,
            ROOT / "tests" / "benchmarks" / "splink_peer.py",
            folder,
            f"{folder}/out.parquet",
        ]
        subprocess.run(list(map(str, script)), check=True)  # noqa: S603
        found = pq.read_table(f"{folder}/out.parquet").to_pydict()
    rows = [{rid: i for i, rid in enumerate(side["rid"])} for side in (side_a, side_b)]
    a, b = (np.array([rows[s][rid] for rid in found[f"rid_{'ab'[s]}"]], np.intp) for s in (0, 1))
    score = np.array(found["score"])
    links = greedy_one_to_one(a, b, score, np.random.default_rng(0).permutation(len(a)).astype(np.uint64),
                              possible=-np.inf)  # fmt: skip
    is_true, true_pairs = mark_true_pairs(a, b, *truth), len(truth[0])
    best = threshold_quality(score[links], is_true[links], true_pairs)
    figures = (
        average_precision(score, is_true, true_pairs), best.best_f1, best.best_f1_at_precision_98,
        best.best_f1_at_precision_99, best.recall_at_precision_95, best.recall_at_precision_99,
    )  # fmt: skip
    recall = is_true.sum() / max(true_pairs, 1)
    return (
        f"{name} | {changed} | splink on clear text: "
        + " | ".join(f"{figure:.4f}" for figure in figures)
        + f" | candidate recall {recall:.4f}, pairs {len(a)}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--keys", type=int, default=3)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--sets", default=",".join(BASELINES))
    parser.add_argument("--blank", type=float, default=0.0)
    parser.add_argument("--overlap", type=float, default=0.0)
    parser.add_argument("--splink", action="store_true")
    parser.add_argument("--json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
