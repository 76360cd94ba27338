"""Pattern mining at 100,000 people, on plain filters (the positive control) and on the default.

    python -m tests.benchmarks.attack_patterns [--data ../shared/data] [--seeds 3] [--results PATH]

Prints Markdown. It is apart from the attack table, since it needs so many people and minutes for each encoding.
Without the evaluation data, generated people take their place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.hardenings import (
    PAIR_BITS_PER_Q_GRAM,
    PAIRS,
    Hardening,
    diffused,
    pair_filters,
    plain,
)
from linkage_core.evaluation.attacks.known_people import record_q_grams, same_value_classes
from linkage_core.evaluation.attacks.pattern_mining import RecordQGrams, pattern_mining
from tests.benchmarks.attack_results import FoundResults, digest_of, source_digest
from tests.benchmarks.attack_table import outcome_cell
from tests.benchmarks.attacked_registers import (
    REPOSITORY,
    Registers,
    folder_registers,
    generated_registers,
    new_key,
)

ATTACKED_SET = "usgen100k_min"
TARGETS = 1_500
NAMES = PAIRS[0]
RECORD = ("given_name", "family_name", "birth_date", "sex", "postcode")
CASES: tuple[tuple[str, Hardening, tuple[str, ...], bool], ...] = (
    ("both names, plain, k=20, L=1024", plain(), NAMES, False),
    *((f"{'+'.join(pair)}, the default's", pair_filters(8, (pair,)), pair, False) for pair in PAIRS),
    ("both names, diffusion t=2", diffused(2), NAMES, False),
    ("both names, plain, k=20, L=1024", plain(), NAMES, True),
    ("five fields, plain, k=20, L=1024", plain(), RECORD, False),
)
"""Names, encodings, what they are of, and whether the attacker's list is the other file."""


def mine(
    hardening: Hardening, fields: tuple[str, ...], registers: Registers, by_other: bool, seed: int
) -> AttackOutcome:
    """Attack one filter a record of side a, by the counts of side a itself or of side b."""
    everybody = registers.both.only(fields)
    victims, entries = (everybody.take(rows) for rows in (registers.rows_a, registers.rows_b))
    listed = entries if by_other else victims
    entry_of = registers.entry_of_a if by_other else np.arange(victims.rows)
    targets = np.random.default_rng(seed).permutation(registers.truth_a)[:TARGETS]
    filters = hardening.encode(victims, new_key("victim", seed)).packed
    population = RecordQGrams(*record_q_grams(listed))
    classes = same_value_classes(listed)
    return pattern_mining(filters, PAIR_BITS_PER_Q_GRAM, population, classes, targets, entry_of[targets])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=REPOSITORY / "build" / "pattern_results.json")
    options = parser.parse_args()
    folder, found = options.data / ATTACKED_SET, FoundResults(options.results)
    is_there = folder.is_dir()
    registers = folder_registers(folder) if is_there else generated_registers(100_000, seed=1)
    source = ATTACKED_SET if is_there else "generated people"
    overlap = len(registers.truth_a) / registers.side_a.num_rows
    print(
        f"Pattern mining: {source}, N = {registers.side_a.num_rows:,}; the attacker knows the q-grams' counts of"
        f" the same file (overlap 100%) or of another (overlap {overlap:.0%}); {TARGETS:,} targets, prior 0.00001;"
        f" the worst of {options.seeds} keys and seeds [95% Clopper-Pearson].\n"
    )
    print("| filter | the attacker's list | success | named, rightly |\n|---|---|---|---|")
    for name, hardening, fields, by_other in CASES:
        runs = []
        for seed in range(options.seeds):
            first = hardening.encode(registers.both.only(fields).take(np.arange(64)), new_key("digest", 0))
            key = (
                name,
                digest_of(first.packed.tobytes()),
                source_digest(pattern_mining),
                source,
                by_other,
                seed,
            )
            runs.append(
                found.outcome(
                    key, lambda seed=seed, h=hardening, f=fields, o=by_other: mine(h, f, registers, o, seed)
                )
            )
        worst = worst_of(runs)
        listed = "another file" if by_other else "the same file"
        print(f"| {name} | {listed} | {outcome_cell(worst)} | {worst.guesses}, {worst.right} |", flush=True)


if __name__ == "__main__":
    main()
