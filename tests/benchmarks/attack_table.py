"""Privacy against quality: every encoding, every attack, one table and one picture.

    python -m tests.benchmarks.attack_table [--data ../shared/data] [--seeds 3] [--only TEXT] [--columns-only]
        [--encodings-only] [--longer] [--graph-people 3000] [--targets 1500] [--picture PATH] [--results PATH]

Prints Markdown. Success is of the worst seed, with its 95% Clopper-Pearson interval; quality is the mean over the
seeds' keys. What was found is kept in --results: a run that was broken off goes on where it stopped, and after a
change of code only what it touches is found anew. Sets of the evaluation data that are not there are
replaced by generated people (privacy) or left out (quality).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.hardenings import Hardening
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from tests.benchmarks.attack_menu import LONGER_MENU, MENU
from tests.benchmarks.attack_picture import draw_picture
from tests.benchmarks.attack_results import FoundResults
from tests.benchmarks.attacked_columns import print_columns
from tests.benchmarks.attacked_encodings import (
    FALLEN,
    GRAPH_KNOWN,
    KNOWN_PAIRS,
    SETTLED,
    AttackedEncoding,
    AttackedWorld,
    measured_quality,
)
from tests.benchmarks.attacked_registers import (
    PROTOCOL,
    RECORD_FIELDS,
    REPOSITORY,
    Registers,
    candidate_pairs,
    folder_registers,
    generated_registers,
)

ATTACKED_SET = "usgen20k_min"
QUALITY_SETS = ("usgen20k_min", "pp_census20_census30_hard")
ATTACKS = {
    **{f"ridge {count}": f"ridge, {count:,} known" for count in KNOWN_PAIRS},
    "graph": "graph",
    "graph, some known": f"graph, {GRAPH_KNOWN} known",
    "graph, other file": "graph, other file",
    "frequency": "frequency",
    "frequency, other file": "frequency, other file",
    "insider": "insider",
}
"""Columns of the table, by the names of the attacks."""


@dataclass(frozen=True)
class Row:
    """One encoding: outcomes by attack (the worst seed), (R@P99, best F1) by set."""

    name: str
    source: str
    outcomes: dict[str, AttackOutcome]
    quality: dict[str, tuple[float, float]]

    @property
    def worst(self) -> AttackOutcome:
        """The most successful attack of those who hold no key."""
        return worst_of([outcome for attack, outcome in self.outcomes.items() if attack != "insider"])


def print_rows(rows: list[Row], world: AttackedWorld, seeds: int) -> None:
    """Markdown: what was attacked, the table, what was proposed where."""
    print(
        f"\nAttacked: {world.source}, N = {world.people.rows:,} (graph: {world.graph_people:,}); the attacker's"
        f" list: the same file (overlap 100%), or, where it says so, the other file (overlap {world.overlap:.0%})."
        f" Prior: {world.prior:.5f}. {world.targets:,} targets (graph, frequency: all)."
        f" The worst of {seeds} keys and seeds, or the first of {SETTLED:.0%} and more [95% Clopper-Pearson]."
        f" -: not run, since less knowledge named"
        f" {FALLEN:.0%} or more, or, for real vectors, the counts are those of the plain filter."
        f" Quality: R@P99 / best F1 of this encoding's similarity alone, mean of {seeds} keys.\n"
    )
    sets = list(rows[0].quality) if rows else []
    print("| encoding | " + " | ".join([*ATTACKS.values(), *sets]) + " |")
    print("|---" * (1 + len(ATTACKS) + len(sets)) + "|")
    for row in rows:
        cells = [outcome_cell(row.outcomes.get(attack)) for attack in ATTACKS]
        cells += [" / ".join(f"{x:.3f}".removeprefix("0") for x in row.quality[name]) for name in sets]
        print("| " + " | ".join([row.name, *cells]) + " |")
    print()
    for row in {row.source: row for row in reversed(rows)}.values():
        print(f"- {row.name}: {row.source}")


def outcome_cell(outcome: AttackOutcome | None) -> str:
    """Success and its interval, three digits, four below a hundredth."""
    if outcome is None:
        return "-"
    digits = 4 if 0 < outcome.success < 0.01 else 3
    success, lower, upper = (
        f"{x:.{digits}f}".removeprefix("0") for x in (outcome.success, *outcome.interval)
    )
    return f"{success} [{lower}, {upper}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="encodings whose name contains this")
    parser.add_argument("--longer", action="store_true", help="more encodings of the same kinds")
    parser.add_argument("--columns-only", action="store_true", help="tokens and blocking values only")
    parser.add_argument("--encodings-only", action="store_true", help="no tokens and blocking values")
    parser.add_argument("--graph-people", type=int, default=3_000)
    parser.add_argument("--targets", type=int, default=1_500)
    parser.add_argument("--picture", type=Path, help="draw privacy against quality here, as SVG")
    parser.add_argument(
        "--results", type=Path, default=REPOSITORY / "build" / "attack_results.json", help="kept between runs"
    )
    return parser.parse_args()


def attacked_world(data: Path, graph_people: int = 3_000, targets: int = 1_500) -> AttackedWorld:
    """The people to attack."""
    folder = data / ATTACKED_SET
    is_there = folder.is_dir()
    registers = folder_registers(folder) if is_there else generated_registers(20_000, seed=1)
    return AttackedWorld(registers, ATTACKED_SET if is_there else "generated people", graph_people, targets)


def quality_sets(data: Path) -> dict[str, tuple[Registers, CandidatePairs]]:
    """The sets that there are, with the pairs that the deployed passes propose."""
    folders = {name: data / name for name in QUALITY_SETS if (data / name).is_dir()}
    worlds = {name: folder_registers(folder, RECORD_FIELDS) for name, folder in folders.items()}
    return {name: (world, candidate_pairs(world)) for name, world in worlds.items()}


def attack_rows(
    menu: Sequence[Hardening],
    world: AttackedWorld,
    sets: dict[str, tuple[Registers, CandidatePairs]],
    found: FoundResults,
    seeds: int,
    only: Sequence[str] = (),
) -> list[Row]:
    """A row for each encoding, in the menu's order; progress goes to standard error."""
    rows = []
    for hardening in menu:
        start = time.process_time()
        attacked = AttackedEncoding(hardening, world, found)
        quality = measured_quality(attacked, sets, seeds)
        row = Row(hardening.name, hardening.source, attacked.run(seeds, only), quality)
        rows.append(row)
        rates = {name: round(outcome.success, 4) for name, outcome in row.outcomes.items()}
        taken = time.process_time() - start
        print(f"{row.name}: {rates} {row.quality} ({taken:.0f} CPU s)", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    options = _options()
    found = FoundResults(options.results)
    world = attacked_world(options.data, options.graph_people, options.targets)
    if not options.encodings_only:
        print_columns(world.registers, world.source, options.seeds, found)
        people = generated_registers(5_000, seed=11, fields=PROTOCOL.field_names)
        print_columns(people, "generated people, all fields", options.seeds, found)
    if options.columns_only:
        return
    offered = (*MENU, *LONGER_MENU) if options.longer else MENU
    menu = [hardening for hardening in offered if options.only in hardening.name]
    rows = attack_rows(menu, world, quality_sets(options.data), found, options.seeds)
    print_rows(rows, world, options.seeds)
    if options.picture and rows and rows[0].quality:
        recalls = [(row, row.quality[QUALITY_SETS[0]][0]) for row in rows]
        # one filter of a group alone does not tell people apart: it has no place in the picture
        points = [(row.name, recall, row.worst) for row, recall in recalls if recall > 0]
        options.picture.write_text(draw_picture(points, QUALITY_SETS[0]))


if __name__ == "__main__":
    main()
