"""What tokens and blocking values disclose, each alone and all together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.colour_refinement import recognise_by_colour, unique_colours
from linkage_core.evaluation.attacks.frequency_alignment import frequency_alignment
from linkage_core.evaluation.attacks.token_percolation import token_percolation
from linkage_core.protocol.evidence_spec import EvidenceSpec, TokenDefinition, TokenPart, evidence_of
from linkage_core.protocol.linkage_protocol import restrict_protocol
from tests.benchmarks.attack_results import FoundResults, digest_of, source_digest
from tests.benchmarks.attacked_registers import PROTOCOL, Registers, blocking_columns, new_key, token_columns

KNOWN = (20, 100)
WORST_SHOWN = 5


def evidence_columns(side: pa.RecordBatch, key: bytes) -> np.ndarray:
    """All columns of equal values of a side, for the fields that it has: uint64, shape (n, columns).

    The passes and tokens, and each filter: equal filters say that all of their fields agree, as a token does.
    """
    return token_columns(side, shown_by_equality(side), key)


def shown_by_equality(side: pa.RecordBatch) -> EvidenceSpec:
    """The deployed evidence with a token in place of each filter, where there is none of the same fields."""
    spec = evidence_of(restrict_protocol(PROTOCOL, fields_with_values(side)))
    filters = [
        TokenDefinition(f"filter {group.name}", tuple(TokenPart(name) for name in group.fields))
        for group in spec.groups
    ]
    there = {frozenset(token.parts) for token in spec.tokens}
    return replace(spec, tokens=(*spec.tokens, *(f for f in filters if frozenset(f.parts) not in there)))


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


def print_columns(registers: Registers, source: str, seeds: int, found: FoundResults) -> None:
    """Markdown of both kinds of columns."""
    names = shown_by_equality(registers.side_a).tokens
    kinds = {
        f"the deployed protocol's {len(PROTOCOL.pass_names)} blocking values": (
            blocking_columns,
            list(PROTOCOL.pass_names),
        ),
        f"the {len(names)} deployed passes, tokens and equal filters": (
            evidence_columns,
            [token.name for token in names],
        ),
    }
    for title, (encode, columns) in kinds.items():
        victim, same = (encode(registers.side_a, new_key(who, 0)) for who in ("victim", "attacker"))
        other = encode(registers.side_b, new_key("attacker", 0))
        overlap = len(registers.truth_a) / len(registers.entry_of_a)
        print(
            f"\n**{title}**, {source}, N = {len(victim):,}, prior {1 / len(victim):.5f}; other file: side b,"
            f" overlap {overlap:.0%}\n"
        )
        _print_frequency(columns, victim, same, other)
        _print_together(AttackedColumns(registers, victim, same, other, found), seeds)


def _print_frequency(columns: list[str], victim: np.ndarray, same: np.ndarray, other: np.ndarray) -> None:
    found = frequency_by_column(victim, same, other)
    ranked = sorted(zip(columns, found, strict=True), key=lambda item: -max(o.success for o in item[1]))
    print("| frequency alignment, the worst columns | same file | other file |\n|---|---|---|")
    for name, (by_same, by_other) in ranked[:WORST_SHOWN]:
        print(f"| {name} | {_cell(by_same)} | {_cell(by_other)} |")


@dataclass(frozen=True)
class AttackedColumns:
    """All columns of a victim, and the attacker's: of the very same file, and of another one."""

    registers: Registers
    victim: np.ndarray
    same: np.ndarray
    other: np.ndarray
    found: FoundResults

    def percolate(self, listed: np.ndarray, entry: np.ndarray, known: np.ndarray) -> AttackOutcome:
        """Percolation from some known people, or from the commonest values where there are none."""
        digest = digest_of(*(np.ascontiguousarray(part).tobytes() for part in (self.victim, listed, known)))

        def work() -> AttackOutcome:
            seen = (known, entry[known]) if len(known) else None
            return token_percolation(self.victim, listed, entry, seen)

        return self.found.outcome(("percolation", source_digest(token_percolation), digest), work)


def _print_together(columns: AttackedColumns, seeds: int) -> None:
    me, entry, nobody = np.arange(len(columns.victim)), columns.registers.entry_of_a, np.empty(0, np.intp)
    unique = unique_colours(columns.victim)
    alone = AttackOutcome(int(unique.sum()), len(unique), len(unique))
    by_other = recognise_by_colour(columns.victim, columns.other, entry)
    print("\n| all columns together | same file | other file |\n|---|---|---|")
    print(f"| colour refinement | {_cell(alone)} | {_cell(by_other)}, {by_other.guesses} guesses |")
    cells = (columns.percolate(columns.same, me, nobody), columns.percolate(columns.other, entry, nobody))
    print(f"| percolation, nobody known | {_rights(cells[0])} | {_rights(cells[1])} |", flush=True)
    for count in KNOWN:
        runs = []
        for seed in range(seeds):
            known = np.random.default_rng(seed).permutation(columns.registers.truth_a)[:count]
            runs.append(columns.percolate(columns.other, entry, known))
        print(f"| percolation from {count} known | - | {_rights(worst_of(runs))} |", flush=True)


def _rights(outcome: AttackOutcome) -> str:
    return f"{_cell(outcome)}, {outcome.right}/{outcome.guesses} right"


def _cell(outcome: AttackOutcome) -> str:
    lower, upper = outcome.interval
    return f"{outcome.success:.4f} [{lower:.4f}, {upper:.4f}]"
