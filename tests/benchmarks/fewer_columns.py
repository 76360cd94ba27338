"""What single columns add to percolation from a few known people, over many draws of who is known.

    python -m tests.benchmarks.fewer_columns [--data ../shared/data] [--draws 20] [--known 20,100] [--each]

Percolation either takes hold or does not, so that three draws say little. The columns are those of
``attack_table --columns-only`` (passes, tokens, equal filters; other file as the attacker's list), all of them, the
passes alone, and all without some; ``--each`` leaves out every single one as well. Beside them the candidate recall
and the pairs of the passes that stay. Decision 0033.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linkage_core.evaluation.attacks.token_percolation import token_percolation
from linkage_core.evaluation.blocking_quality import blocking_quality
from linkage_core.linkage_unit.candidate_pairs import propose_pairs
from linkage_core.protocol.evidence_spec import EvidenceSpec
from tests.benchmarks.attacked_columns import evidence_columns, shown_by_equality
from tests.benchmarks.attacked_registers import (
    PROTOCOL,
    REPOSITORY,
    Registers,
    folder_registers,
    generated_registers,
    new_key,
)

LEFT_OUT = (("given_name+sex",), ("family_name:soundex+sex",), ("given_name+sex", "family_name:soundex+sex"))
TAKES_HOLD = 0.05


def main() -> None:
    options = _options()
    known = [int(count) for count in options.known.split(",")]
    folder = options.data / "usgen20k_min"
    is_there = folder.is_dir()
    registers = folder_registers(folder) if is_there else generated_registers(20_000, seed=11)
    name = folder.name if is_there else "20,000 generated people"
    print_world(name, registers, known, options.draws, each=options.each)


def print_world(name: str, registers: Registers, known: Sequence[int], draws: int, *, each: bool) -> None:
    """Markdown: a row for each choice of columns."""
    spec = shown_by_equality(registers.side_a)
    names = [token.name for token in spec.tokens]
    columns = [
        evidence_columns(side, new_key(who, 0))
        for side, who in ((registers.side_a, "victim"), (registers.side_b, "attacker"))
    ]
    choices = {"all": list(range(len(names))), "the passes alone": list(range(spec.passes))}
    left_out = (*LEFT_OUT, *((one,) for one in names if each and (one,) not in LEFT_OUT))
    for some in left_out:
        choices["without " + ", ".join(some)] = [c for c, column in enumerate(names) if column not in some]
    heads = [f"{count} known: worst, median, above {TAKES_HOLD}" for count in known]
    print(f"\n| {name}, {draws} draws | columns | " + " | ".join(heads) + " | candidate recall, pairs |")
    print("|---" * (3 + len(known)) + "|")
    for title, chosen in choices.items():
        cells = [_success(registers, *(side[:, chosen] for side in columns), count, draws) for count in known]
        print(
            f"| {title} | {len(chosen)} | " + " | ".join([*cells, _recall(registers, spec, chosen)]) + " |",
            flush=True,
        )


def _success(registers: Registers, victim: np.ndarray, listed: np.ndarray, count: int, draws: int) -> str:
    entry = registers.entry_of_a
    found = []
    for seed in range(draws):
        known = np.random.default_rng(seed).permutation(registers.truth_a)[:count]
        found.append(token_percolation(victim, listed, entry, (known, entry[known])).success)
    return f"{max(found):.4f}, {np.median(found):.4f}, {np.count_nonzero(np.array(found) > TAKES_HOLD)}"


def _recall(registers: Registers, spec: EvidenceSpec, chosen: Sequence[int]) -> str:
    passes = [c for c in chosen if c < spec.passes]
    sides = [
        np.ascontiguousarray(evidence_columns(side, new_key("blocking", 0))[:, passes])
        for side in (registers.side_a, registers.side_b)
    ]
    pairs = propose_pairs(
        *sides,
        pass_names=[spec.tokens[p].name for p in passes],
        partners_per_record=PROTOCOL.blocking.partners_per_record,
        max_block_pairs=PROTOCOL.blocking.max_block_pairs,
        pair_budget=PROTOCOL.blocking.pair_budget,
    )
    quality = blocking_quality(
        pairs.index_a, pairs.index_b, registers.truth_a, registers.truth_b,
        records_a=len(sides[0]), records_b=len(sides[1]),
    )  # fmt: skip
    return f"{quality.candidate_recall:.4f}, {len(pairs):,}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--known", default="20")
    parser.add_argument("--each", action="store_true", help="leave out every single column as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
