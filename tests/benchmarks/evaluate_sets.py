"""Match quality on the open sets, beside the baselines that were measured with the same definitions.

    python tests/benchmarks/evaluate_sets.py [--data ../shared/data] [--keys 3] [--variants full,overlap30,blank20]
        [--sets a,b] [--json OUT]

Sets that are not there are skipped. ``overlap30`` drops records until 30% of the smaller side has a match;
``blank20`` blanks every value with chance .2 on each side.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.evaluation.evaluate_linkage import LinkageFigures, evaluate
from linkage_core.protocol.linkage_protocol import parse_protocol

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {name: standard for name, standard in FIELD_OF_COLUMN.items() if name != "rid"}
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
    "ap", "best_f1", "r_at_p95", "r_at_p99", "output_precision", "output_recall", "output_f1",
    "expected_precision", "candidate_recall",
)  # fmt: skip


def main() -> None:
    options = _options()
    protocol = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
    print("set | variant | " + " | ".join(COLUMNS) + " | pairs | N est/true | seconds")
    results = []
    for variant in options.variants.split(","):
        for name in options.sets.split(","):
            folder = Path(options.data) / name
            if not (folder / "truth.parquet").exists():
                print(f"{name}: not there, skipped", file=sys.stderr)
                continue
            runs = []
            for k in range(options.keys):
                side_a, side_b, truth = load_set(folder, variant, seed=k)
                key = hashlib.sha256(f"evaluation {options.seed} {k}".encode()).digest()
                runs.append(evaluate(side_a, side_b, truth, key, protocol, clock=time.perf_counter))
            print(_row(name, variant, runs), flush=True)
            if variant == "full":
                for method, figures in BASELINES.get(name, {}).items():
                    print(f"    {method}: " + " | ".join(f"{value:.3f}" for value in figures))
            results.append({"set": name, "variant": variant, "per_key": [asdict(run) for run in runs]})
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


def load_set(folder: Path, variant: str, seed: int) -> tuple[pa.RecordBatch, pa.RecordBatch, tuple]:
    """Both sides of a set, changed as the variant says, and the row numbers of its true pairs."""
    sides = [pq.read_table(folder / f"{side}.parquet").to_pydict() for side in "ab"]
    truth = pq.read_table(folder / "truth.parquet").to_pydict()
    rows = [{rid: i for i, rid in enumerate(side["rid"])} for side in sides]
    true = [np.array([rows[s][rid] for rid in truth[f"rid_{'ab'[s]}"]], np.intp) for s in (0, 1)]
    generator = np.random.default_rng(seed)
    keep = [np.ones(len(side["rid"]), bool) for side in sides]
    if variant == "overlap30":
        smaller = min(map(len, rows))
        dropped = generator.permutation(len(true[0]))[: int((len(true[0]) - 0.3 * smaller) / 0.85)]
        for s in (0, 1):
            keep[s][true[s][dropped[s::2]]] = False
        both = keep[0][true[0]] & keep[1][true[1]]
        true = [(np.cumsum(keep[s]) - 1)[true[s][both]] for s in (0, 1)]
    share = 0.2 if variant == "blank20" else 0.0
    batches = [_batch(side, kept, share, generator) for side, kept in zip(sides, keep, strict=True)]
    return batches[0], batches[1], (true[0], true[1])


def _batch(side: dict, kept: np.ndarray, blanked: float, generator: np.random.Generator) -> pa.RecordBatch:
    columns = {"source_id": np.array(side["rid"], object)[kept]}
    for name, standard in FIELDS.items():
        if name in side:
            values = np.array([value or "" for value in side[name]], object)[kept]
            values[generator.random(len(values)) < blanked] = ""
            columns[standard] = values
    return pa.RecordBatch.from_pydict({name: pa.array(v, pa.utf8()) for name, v in columns.items()})


def _row(name: str, variant: str, runs: list[LinkageFigures]) -> str:
    means = [float(np.mean([getattr(run, column) for run in runs])) for column in COLUMNS]
    last = runs[-1]
    seconds = " ".join(f"{stage} {value:.1f}" for stage, value in last.seconds.items())
    figures = " | ".join(f"{mean:.4f}" for mean in means)
    return (
        f"{name} | {variant} | {figures} | {last.pairs_scored}"
        f" | {last.expected_matches:.0f}/{last.true_pairs} | {seconds}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--keys", type=int, default=3)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--variants", default="full")
    parser.add_argument("--sets", default=",".join(BASELINES))
    parser.add_argument("--json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
