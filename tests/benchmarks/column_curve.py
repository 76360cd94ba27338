"""Fewer columns: match quality on generated people beside what the columns disclose together.

    python -m tests.benchmarks.column_curve [--people 5000] [--rich FILE]

Two tables in Markdown. Quality: passes and filters alone, with the first 3, 6, ... of the protocol's tokens, with
all of them, and, given ``--rich FILE`` (a protocol of the same passes and other tokens), with all of the other's. Each
world's people are new (:mod:`tests.benchmarks.column_worlds`); cells are R@P99 / best F1 / F1 of the links that are
output. Disclosure: percolation (``evaluation/attacks/token_percolation``) over the same columns of generated people
with every field: success with the same file and nobody known; with another file (60% the same people) and 0, 20,
100 people known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linkage_core.evaluation.attacks.token_percolation import token_percolation
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol, restrict_protocol
from tests.benchmarks.attacked_registers import (
    PROTOCOL,
    Registers,
    generated_registers,
    new_key,
    token_columns,
)
from tests.benchmarks.column_worlds import PLANS, ColumnWorld, make_world

STEP = 4
KNOWN = (0, 20, 100)
FIELDS = {
    "minimal fields": ("given_name", "family_name", "birth_date", "sex", "postcode"),
    "all fields": PROTOCOL.field_names,
}


def main() -> None:
    options = _options()
    protocols = {"protocol": PROTOCOL}
    if options.rich:
        protocols["rich"] = parse_protocol(options.rich.read_text(encoding="utf-8"))
    for name, protocol in protocols.items():
        names = _token_names(protocol)
        counts = [len(names)] if name == "rich" else [*range(0, len(names), STEP), len(names)]
        print_quality(name, protocol, [names[:count] for count in counts], options.people)
        for fields, present in FIELDS.items():
            registers = generated_registers(options.people, 11, present)
            seen = {token.name for token in evidence_of(restrict_protocol(protocol, present)).tokens}
            lists = [names[:count] for count in counts]
            print_disclosure(f"{name}, {fields}", protocol, registers, lists, seen)


def print_quality(name: str, protocol: LinkageProtocol, kept: Sequence[Sequence[str]], people: int) -> None:
    """A row for each list of tokens, a cell for each world."""
    worlds = [make_world(plan, people, protocol) for plan in PLANS]
    print(
        f"\n| {name}: tokens beside {len(protocol.pass_names)} passes | " + " | ".join(w.name for w in worlds)
    )
    print("|---" * (1 + len(worlds)) + "|")
    for names in kept:
        print(
            f"| {len(names)} | " + " | ".join(_quality_cell(world, names) for world in worlds) + " |",
            flush=True,
        )


def print_disclosure(
    title: str, protocol: LinkageProtocol, registers: Registers, kept: Sequence[Sequence[str]], seen: set[str]
) -> None:
    """A row for each list of tokens: the success of each percolation over those columns that are ``seen``."""
    spec = evidence_of(protocol)
    victim, same = (token_columns(registers.side_a, spec, new_key(who, 0)) for who in ("victim", "attacker"))
    other = token_columns(registers.side_b, spec, new_key("attacker", 0))
    print(
        f"\n| {title}: tokens | columns in use | same file | "
        + " | ".join(f"other, {k} known" for k in KNOWN)
    )
    print("|---" * (3 + len(KNOWN)) + "|")
    for names in kept:
        chosen = [
            t
            for t, token in enumerate(spec.tokens)
            if token.name in seen and (t < spec.passes or token.name in names)
        ]
        cells = _percolations(victim[:, chosen], same[:, chosen], other[:, chosen], registers)
        print(
            f"| {len(names)} | {len(chosen)} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |",
            flush=True,
        )


def _percolations(
    victim: np.ndarray, same: np.ndarray, other: np.ndarray, registers: Registers
) -> list[float]:
    entry = registers.entry_of_a
    found = [token_percolation(victim, same, np.arange(len(victim))).success]
    for count in KNOWN:
        known = np.random.default_rng(0).permutation(registers.truth_a)[:count]
        given = (known, entry[known]) if count else None
        found.append(token_percolation(victim, other, entry, given).success)
    return found


def _quality_cell(world: ColumnWorld, names: Sequence[str]) -> str:
    quality = world.quality(names)
    return f"{quality.r_at_p99:.4f} / {quality.best_f1:.4f} / {quality.output_f1:.4f}"


def _token_names(protocol: LinkageProtocol) -> list[str]:
    spec = evidence_of(protocol)
    return [token.name for token in spec.tokens[spec.passes :]]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--rich", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
