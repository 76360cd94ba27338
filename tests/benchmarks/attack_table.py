"""Privacy against quality: every encoding, every attack, one table and one picture.

    python -m tests.benchmarks.attack_table [--data ../shared/data] [--seeds 3] [--only TEXT] [--columns-only]
        [--graph-people 3000] [--targets 1500] [--picture PATH] [--json PATH]

Prints Markdown. Success is of the worst seed, with its 95% Clopper-Pearson interval; quality is the mean over the
seeds' keys. Sets of the evaluation data that are not there are replaced by generated people (privacy) or left
out (quality).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.frequency_alignment import filter_words, frequency_alignment
from linkage_core.evaluation.attacks.graph_matching_light import graph_matching_light
from linkage_core.evaluation.attacks.hardenings import (
    Hardening,
    balanced,
    diffused,
    flipped,
    fourier_signs,
    pair_filters,
    plain,
    random_projection,
    rotation,
    rule_90,
    shared_out,
    tabulation_min_hash,
    xor_folded,
)
from linkage_core.evaluation.attacks.known_people import (
    KnownPeople,
    q_gram_indicators,
    same_value_classes,
)
from linkage_core.evaluation.attacks.known_plaintext_ridge import PopulationList, known_plaintext_ridge
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from tests.benchmarks.attack_picture import draw_picture
from tests.benchmarks.attacked_columns import print_columns
from tests.benchmarks.attacked_registers import (
    PROTOCOL,
    REPOSITORY,
    Registers,
    candidate_pairs,
    folder_registers,
    generated_registers,
    linkage_quality_of,
    new_key,
)

ATTACKED_SET = "usgen20k_min"
QUALITY_SETS = ("usgen20k_min", "pp_census20_census30_hard")
KNOWN_PAIRS = (500, 2_000, 16_000)
GRAPH_KNOWN = 200
FALLEN = 0.9
"""An encoding that fell to fewer known pairs is not asked about more."""

FIELD_BITS = {
    "given_name": 110, "middle_name": 20, "family_name": 110, "birth_date": 130, "sex": 10,
    "street": 60, "city": 20, "postcode": 40, "phone": 40, "email": 40,
}  # fmt: skip
"""Shares of the record-level filter that the nights delivered before they had evidence."""

MORE_BITS = {name: bits * 3 // 2 for name, bits in FIELD_BITS.items()}
"""Half as much again: a fuller filter, whose diffusion leaks less."""

MENU: tuple[Hardening, ...] = (
    shared_out(FIELD_BITS, bits_per_q_gram=40),
    plain(),
    xor_folded(),
    rule_90(),
    balanced(),
    flipped(0.05),
    flipped(0.20),
    tabulation_min_hash(),
    rotation(),
    random_projection(),
    fourier_signs(6),
    fourier_signs(12),
    diffused(2),
    diffused(4),
    diffused(5),
    diffused(6),
    diffused(8),
    diffused(8, diffused_bits=1024, bits_per_q_gram=10),
    diffused(6, bits_per_q_gram=40, field_bits=FIELD_BITS),
    diffused(8, bits_per_q_gram=40, field_bits=FIELD_BITS),
    diffused(6, bits_per_q_gram=60, field_bits=MORE_BITS),
    diffused(8, bits_per_q_gram=60, field_bits=MORE_BITS),
    pair_filters(6),
    pair_filters(8),
)


@dataclass(frozen=True)
class Row:
    """One encoding: outcomes by attack (the worst seed), (R@P99, best F1) by set."""

    name: str
    source: str
    outcomes: dict[str, AttackOutcome]
    quality: dict[str, tuple[float, float]]


def attack_encoding(
    hardening: Hardening, people: KnownPeople, options: argparse.Namespace
) -> dict[str, AttackOutcome]:
    population = PopulationList(q_gram_indicators(people), same_value_classes(people))
    outcomes: dict[str, list[AttackOutcome]] = {}
    for seed in range(options.seeds):
        encoded = hardening.encode(people, new_key("victim", seed))
        order = np.random.default_rng(seed).permutation(people.rows)
        targets = order[-options.targets :]
        for count in KNOWN_PAIRS:
            known = order[: min(count, people.rows - options.targets)]
            weaker = outcomes.get(f"ridge {KNOWN_PAIRS[0]}", []) + outcomes.get(f"ridge {KNOWN_PAIRS[1]}", [])
            if count == KNOWN_PAIRS[2] and worst_of(weaker).success >= FALLEN:
                continue
            ridge = known_plaintext_ridge([encoded], population, (known, known), (targets, targets))
            outcomes.setdefault(f"ridge {count}", []).append(ridge)
        some = order[: options.graph_people]
        few, classes = people.take(some), population.value_class[some]
        victim, attacker = encoded.take(some), hardening.encode(few, new_key("attacker", seed))
        me, first = np.arange(len(some)), np.arange(GRAPH_KNOWN)
        outcomes.setdefault("graph", []).append(graph_matching_light(victim, attacker, me, classes))
        outcomes.setdefault(f"graph, {GRAPH_KNOWN} known", []).append(
            graph_matching_light(victim, attacker, me, classes, (first, first))
        )
        if encoded.packed.shape[1]:
            words = filter_words([encoded.packed])
            outcomes.setdefault("frequency", []).append(frequency_alignment(words, words, words))
    return {name: worst_of(found) for name, found in outcomes.items()}


def measure_quality(
    hardening: Hardening, sets: dict[str, tuple[Registers, CandidatePairs]], seeds: int
) -> dict[str, tuple[float, float]]:
    found = {}
    for name, (registers, candidates) in sets.items():
        runs = [linkage_quality_of(hardening, registers, candidates, seed) for seed in range(seeds)]
        recall = float(np.mean([run.recall_at_precision_99 for run in runs]))
        found[name] = (recall, float(np.mean([run.best_f1 for run in runs])))
    return found


def print_rows(rows: list[Row], people: int, options: argparse.Namespace, source: str) -> None:
    attacks = [f"ridge {count}" for count in KNOWN_PAIRS]
    attacks += ["graph", f"graph, {GRAPH_KNOWN} known", "frequency"]
    print(
        f"\nAttacked: {source}, N = {people:,} (graph: {options.graph_people:,}), overlap 100%,"
        f" auxiliary: the same file; {options.targets:,} targets (graph: all);"
        f" the worst of {options.seeds} seeds [95% Clopper-Pearson]."
        f" Quality: R@P99 / best F1, candidates of the deployed passes, mean of {options.seeds} keys.\n"
    )
    sets = list(rows[0].quality)
    print("| encoding | " + " | ".join([*attacks, *sets]) + " |")
    print("|---" * (1 + len(attacks) + len(sets)) + "|")
    for row in rows:
        cells = [_cell(row.outcomes.get(attack)) for attack in attacks]
        cells += ["{:.3f} / {:.3f}".format(*row.quality[name]) for name in sets]
        print("| " + " | ".join([row.name, *cells]) + " |")
    print()
    for row in {row.source: row for row in rows}.values():
        print(f"- {row.name}: {row.source}")


def _cell(outcome: AttackOutcome | None) -> str:
    if outcome is None:
        return "-"
    lower, upper = outcome.interval
    return f"{outcome.success:.3f} [{lower:.3f}, {upper:.3f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="encodings whose name contains this")
    parser.add_argument("--graph-people", type=int, default=3_000)
    parser.add_argument("--targets", type=int, default=1_500)
    parser.add_argument("--columns-only", action="store_true", help="tokens and blocking values only")
    parser.add_argument(
        "--picture", type=Path, default=REPOSITORY / "deployments" / "pictures" / "attacks.svg"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def _attacked(options: argparse.Namespace) -> tuple[Registers, str]:
    folder = options.data / ATTACKED_SET
    if folder.is_dir():
        return folder_registers(folder), ATTACKED_SET
    return generated_registers(20_000, seed=1), "generated people"


def _quality_sets(options: argparse.Namespace) -> dict[str, tuple[Registers, CandidatePairs]]:
    worlds = {n: folder_registers(options.data / n) for n in QUALITY_SETS if (options.data / n).is_dir()}
    return {name: (world, candidate_pairs(world)) for name, world in worlds.items()}


def _timed(label: str, work: Callable[[], Row]) -> Row:
    start = time.perf_counter()
    row = work()
    taken = time.perf_counter() - start
    rates = {name: round(outcome.success, 4) for name, outcome in row.outcomes.items()}
    print(f"{label}: {rates} {row.quality} ({taken:.0f} s)", file=sys.stderr, flush=True)
    return row


def main() -> None:
    options = _options()
    attacked, source = _attacked(options)
    print_columns(attacked, source, options.seeds)
    print_columns(
        generated_registers(5_000, seed=11, fields=PROTOCOL.field_names), "generated people", options.seeds
    )
    if options.columns_only:
        return
    people = attacked.both.take(attacked.rows_a)
    sets = _quality_sets(options)
    rows = []
    for hardening in (h for h in MENU if options.only in h.name):
        rows.append(
            _timed(
                hardening.name,
                lambda h=hardening: Row(
                    h.name,
                    h.source,
                    attack_encoding(h, people, options),
                    measure_quality(h, sets, options.seeds),
                ),
            )
        )
    print_rows(rows, people.rows, options, source)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if sets:
        points = [(r.name, r.quality[QUALITY_SETS[0]][0], worst_of(list(r.outcomes.values()))) for r in rows]
        options.picture.write_text(draw_picture(points, QUALITY_SETS[0]))


if __name__ == "__main__":
    main()
