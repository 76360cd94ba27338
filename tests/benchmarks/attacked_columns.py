"""What tokens and blocking values disclose, each alone and all together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.colour_refinement import recognise_by_colour, unique_colours
from linkage_core.evaluation.attacks.frequency_alignment import frequency_alignment
from linkage_core.evaluation.attacks.token_percolation import token_percolation
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import restrict_protocol
from tests.benchmarks.attacked_registers import PROTOCOL, Registers, blocking_columns, new_key, token_columns

KNOWN = (20, 100, 500)
WORST_SHOWN = 5


def evidence_columns(side: pa.RecordBatch, key: bytes) -> np.ndarray:
    """The deployed passes and tokens of a side, for the fields that it has: uint64, shape (n, tokens)."""
    spec = evidence_of(restrict_protocol(PROTOCOL, fields_with_values(side)))
    return token_columns(side, spec, key)


def fields_with_values(side: pa.RecordBatch) -> tuple[str, ...]:
    return tuple(name for name in PROTOCOL.field_names if side[name].null_count < side.num_rows)


def frequency_by_column(
    victim: np.ndarray, same: np.ndarray, other: np.ndarray
) -> list[tuple[AttackOutcome, AttackOutcome]]:
    """For each column, (same file, other file as auxiliary); ``same`` is the victim under the attacker's key."""
    return [
        (
            frequency_alignment(victim[:, c], same[:, c], same[:, c]),
            frequency_alignment(victim[:, c], other[:, c], same[:, c]),
        )
        for c in range(victim.shape[1])
    ]


def print_columns(registers: Registers, source: str, seeds: int) -> None:
    """Markdown of both kinds of columns."""
    names = evidence_of(restrict_protocol(PROTOCOL, fields_with_values(registers.side_a))).tokens
    kinds = {
        f"the deployed protocol's {len(PROTOCOL.pass_names)} blocking values": (
            blocking_columns,
            list(PROTOCOL.pass_names),
        ),
        f"the {len(names)} deployed passes and tokens": (evidence_columns, [token.name for token in names]),
    }
    for title, (encode, columns) in kinds.items():
        victim, same = (encode(registers.side_a, new_key(who, 0)) for who in ("victim", "attacker"))
        other = encode(registers.side_b, new_key("attacker", 0))
        print(
            f"\n**{title}**, {source}, N = {len(victim):,}; other file: side b, overlap {_overlap(registers):.0%}\n"
        )
        _print_frequency(columns, victim, same, other)
        _print_together(registers, victim, same, other, seeds)


def _overlap(registers: Registers) -> float:
    return len(registers.truth_a) / len(registers.entry_of_a)


def _print_frequency(columns: list[str], victim: np.ndarray, same: np.ndarray, other: np.ndarray) -> None:
    found = frequency_by_column(victim, same, other)
    ranked = sorted(zip(columns, found, strict=True), key=lambda item: -max(o.success for o in item[1]))
    print("| frequency alignment, the worst columns | same file | other file |\n|---|---|---|")
    for name, (by_same, by_other) in ranked[:WORST_SHOWN]:
        print(f"| {name} | {_cell(by_same)} | {_cell(by_other)} |")


def _print_together(
    registers: Registers, victim: np.ndarray, same: np.ndarray, other: np.ndarray, seeds: int
) -> None:
    me, entry = np.arange(len(victim)), registers.entry_of_a
    unique = unique_colours(victim)
    alone = AttackOutcome(int(unique.sum()), len(unique), len(unique))
    print("\n| all columns together | same file | other file |\n|---|---|---|")
    by_other = recognise_by_colour(victim, other, entry)
    print(f"| colour refinement | {_cell(alone)} | {_cell(by_other)}, {by_other.guesses} guesses |")
    by_same, by_other = token_percolation(victim, same, me), token_percolation(victim, other, entry)
    print(f"| percolation, nobody known | {_rights(by_same)} | {_rights(by_other)} |")
    for count in KNOWN:
        runs: tuple[list[AttackOutcome], list[AttackOutcome]] = ([], [])
        for seed in range(seeds):
            known = np.random.default_rng(seed).permutation(registers.truth_a)[:count]
            runs[0].append(token_percolation(victim, same, me, (known, known)))
            runs[1].append(token_percolation(victim, other, entry, (known, entry[known])))
        cells = " | ".join(_rights(worst_of(found)) for found in runs)
        print(f"| percolation from {count} known | {cells} |", flush=True)


def _rights(outcome: AttackOutcome) -> str:
    return f"{_cell(outcome)}, {outcome.right}/{outcome.guesses} right"


def _cell(outcome: AttackOutcome) -> str:
    lower, upper = outcome.interval
    return f"{outcome.success:.4f} [{lower:.4f}, {upper:.4f}]"
