"""splink 5 on the clear text of a folder of people, unsupervised: run by ``evaluate_sets.py --splink``.

    .venv-peers/bin/python tests/benchmarks/splink_peer.py FOLDER OUT.parquet

It needs nothing of this project, and writes ``rid_a, rid_b, score`` for every pair that its blocking rules propose.
Settings as splink's own guides advise: u from random pairs, EM on two blocking rules, term frequencies for names
and places, generous blocking.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pyarrow.parquet as pq
import splink.comparison_library as cl
from splink import Linker, SettingsCreator, block_on
from splink.internals.duckdb.database_api import DuckDBAPI

COMPARISONS = {
    "first": lambda: cl.NameComparison("first").configure(term_frequency_adjustments=True),
    "middle": lambda: cl.ExactMatch("middle").configure(term_frequency_adjustments=True),
    "last": lambda: cl.NameComparison("last").configure(term_frequency_adjustments=True),
    "dob": lambda: cl.DamerauLevenshteinAtThresholds("dob", [1, 2]),
    "sex": lambda: cl.ExactMatch("sex"),
    "street": lambda: cl.JaroWinklerAtThresholds("street", [0.92, 0.8]).configure(
        term_frequency_adjustments=True
    ),
    "city": lambda: cl.JaroWinklerAtThresholds("city", [0.92]).configure(term_frequency_adjustments=True),
    "zip": lambda: cl.LevenshteinAtThresholds("zip", [1]).configure(term_frequency_adjustments=True),
    "phone": lambda: cl.LevenshteinAtThresholds("phone", [1]),
    "email": lambda: cl.LevenshteinAtThresholds("email", [2]),
}
YEAR, START = "substr(dob, 1, 4)", "substr({}, 1, 3)"
BLOCKING = (
    ("dob",), ("first", "last"), ("last", YEAR), ("first", YEAR), ("last", "zip"), ("first", "zip"), ("street",),
    ("last", "street"), ("phone",), ("email",), (START.format("first"), START.format("last"), YEAR),
    ("last", START.format("first")), ("first", "substr(dob, 5, 4)"), ("last", "substr(dob, 5, 4)"),
)  # fmt: skip


def main() -> None:
    folder, output = Path(sys.argv[1]), sys.argv[2]
    logging.getLogger("splink").setLevel(logging.WARNING)
    database = DuckDBAPI()
    sides, fields = [], set(COMPARISONS)
    for side in "ab":
        table = pq.read_table(folder / f"{side}.parquet")
        fields &= {n for n in table.column_names if n in COMPARISONS and any(v for v in table[n].to_pylist())}
        database._con.register(f"raw_{side}", table)
    shown = ", ".join(f"nullif({name}, '') as {name}" for name in sorted(fields))
    for side in "ab":
        statement = f"select '{side}:' || rid as unique_id, {shown} from raw_{side}"
        sides.append(
            database.register(database._con.sql(statement).to_arrow_table(), table_name=f"side_{side}")
        )
    rules = [rule for rule in BLOCKING if all(_field_of(part) in fields for part in rule)]
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[make() for name, make in COMPARISONS.items() if name in fields],
        blocking_rules_to_generate_predictions=[block_on(*rule) for rule in rules],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )
    linker = Linker(sides, settings, log_level=logging.ERROR)
    training = linker.training
    sure = [block_on("first", "last", "dob")]
    training.estimate_probability_two_random_records_match(sure, recall=0.6)
    training.estimate_u_using_random_sampling(max_pairs=5e6, seed=1)
    training.estimate_parameters_using_expectation_maximisation(block_on("dob"))
    training.estimate_parameters_using_expectation_maximisation(block_on("first", "last"))
    found = linker.inference.predict()
    query = (
        "select substr(unique_id_l, 3) as rid_a, substr(unique_id_r, 3) as rid_b, match_weight as score "
        f"from {found.physical_name}"
    )
    pq.write_table(database._con.sql(query).to_arrow_table(), output)


def _field_of(part: str) -> str:
    return part.removeprefix("substr(").partition(",")[0]


if __name__ == "__main__":
    main()
