"""The attacks on one encoding, each over several seeds, from a file of results that were found before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome, worst_of
from linkage_core.evaluation.attacks.encoded_people import EncodedPeople
from linkage_core.evaluation.attacks.frequency_alignment import filter_words, frequency_alignment
from linkage_core.evaluation.attacks.graph_matching_light import graph_matching_light
from linkage_core.evaluation.attacks.hardenings import Hardening
from linkage_core.evaluation.attacks.insider_dictionary import insider_dictionary
from linkage_core.evaluation.attacks.known_people import KnownPeople, q_gram_indicators, same_value_classes
from linkage_core.evaluation.attacks.known_plaintext_ridge import PopulationList, known_plaintext_ridge
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from tests.benchmarks.attack_results import FoundResults, digest_of, source_digest
from tests.benchmarks.attacked_registers import Registers, linkage_quality_of, new_key

KNOWN_PAIRS = (500, 2_000, 16_000)
GRAPH_KNOWN = 200
FALLEN = 0.9
"""An encoding that fell in every seed to less knowledge is not asked about more: the answer is at least that."""

SETTLED = 0.99
"""After a seed that succeeded so, no other seed could change what is to be said."""

PEOPLE_IN_DIGEST = 64
RIDGE, GRAPH, FREQUENCY, INSIDER = (
    source_digest(attack)
    for attack in (known_plaintext_ridge, graph_matching_light, frequency_alignment, insider_dictionary)
)


@dataclass(frozen=True)
class AttackedWorld:
    """Whom to attack: side a is the victim's file; side b is another file, of which a part are the same people.

    ``graph_people`` and ``targets`` say how many of them; the attacker's list is of everybody.
    """

    registers: Registers
    source: str
    graph_people: int
    targets: int

    @cached_property
    def people(self) -> KnownPeople:
        return self.registers.both.take(self.registers.rows_a)

    @cached_property
    def others(self) -> KnownPeople:
        return self.registers.both.take(self.registers.rows_b)

    @cached_property
    def population(self) -> PopulationList:
        return PopulationList(q_gram_indicators(self.people), same_value_classes(self.people))

    @cached_property
    def other_classes(self) -> np.ndarray:
        return same_value_classes(self.others)

    @property
    def overlap(self) -> float:
        return len(self.registers.truth_a) / self.people.rows

    @property
    def prior(self) -> float:
        """How often the best guess without any attack is right: the share of the commonest person."""
        return float(np.bincount(self.population.value_class).max() / self.people.rows)

    def order(self, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(self.people.rows)


class AttackedEncoding:
    """One encoding in one world; encodes only for what was not found before."""

    def __init__(self, hardening: Hardening, world: AttackedWorld, found: FoundResults) -> None:
        self.hardening, self.world, self.found = hardening, world, found
        self._kept: dict[int, EncodedPeople] = {}
        first = hardening.encode(world.people.take(np.arange(PEOPLE_IN_DIGEST)), new_key("digest", 0))
        self.identity = f"{hardening.name} | {digest_of(first.packed.tobytes(), first.reals.tobytes())}"

    def run(self, seeds: int, only: Sequence[str] = ()) -> dict[str, AttackOutcome]:
        """The worst outcome over the seeds of every attack (or only these) not spared by :data:`FALLEN`."""
        worst: dict[str, AttackOutcome] = {}

        def attack(name: str, one: Callable[[int], AttackOutcome], unless: tuple[str, ...] = ()) -> None:
            if only and name not in only:
                return
            if all(worst[weaker].success < FALLEN for weaker in unless if weaker in worst):
                worst[name] = worst_of(list(until_settled(one, seeds)))

        weaker: tuple[str, ...] = ()
        for count in KNOWN_PAIRS:
            attack(f"ridge {count}", lambda seed, count=count: self.ridge(count, seed), weaker)
            weaker += (f"ridge {count}",)
        attack("graph", self.graph)
        attack("graph, other file", self.graph_of_others)
        attack("graph, some known", self.graph_with_known, ("graph",))
        if not self.hardening.is_real:  # a map that is one-to-one keeps the counts of the plain filter
            attack("frequency", self.frequency)
            attack("frequency, other file", self.frequency_of_others)
        if not only:
            worst["insider"] = self.insider(0)  # one run: it is no test of the encoding
        self._kept.clear()
        return worst

    def ridge(self, count: int, seed: int) -> AttackOutcome:
        world = self.world
        order = world.order(seed)
        targets = order[-world.targets :]
        known = order[: min(count, world.people.rows - world.targets)]

        def work() -> AttackOutcome:
            encoded = self._victim(seed)
            return known_plaintext_ridge([encoded], world.population, (known, known), (targets, targets))

        return self._outcome(("ridge", RIDGE, len(known), world.targets), seed, work)

    def graph(self, seed: int) -> AttackOutcome:
        return self._outcome(
            ("graph", GRAPH, self.world.graph_people), seed, lambda: self._match(seed, np.empty(0, np.intp))
        )

    def graph_with_known(self, seed: int) -> AttackOutcome:
        what = ("graph", GRAPH, self.world.graph_people, f"{GRAPH_KNOWN} known")
        return self._outcome(what, seed, lambda: self._match(seed, np.arange(GRAPH_KNOWN)))

    def _match(self, seed: int, known: np.ndarray) -> AttackOutcome:
        world = self.world
        some = world.order(seed)[: world.graph_people]
        victim = self._victim(seed).take(some)
        attacker = self.hardening.encode(world.people.take(some), new_key("attacker", seed))
        me = np.arange(len(some))
        return graph_matching_light(
            victim, attacker, me, world.population.value_class[some], (known, known) if len(known) else None
        )

    def graph_of_others(self, seed: int) -> AttackOutcome:
        """The list is of side b: so many of the same people, with their errors, among strangers."""
        world, registers = self.world, self.world.registers

        def work() -> AttackOutcome:
            rows_v, rows_a, entry = _overlapping_rows(registers, world.graph_people, seed)
            victim = self._victim(seed).take(rows_v)
            attacker = self.hardening.encode(world.others.take(rows_a), new_key("attacker", seed))
            return graph_matching_light(victim, attacker, entry, world.other_classes[rows_a])

        return self._outcome(("graph, other file", GRAPH, world.graph_people), seed, work)

    def frequency(self, seed: int) -> AttackOutcome:
        def work() -> AttackOutcome:
            words = filter_words([self._victim(seed).packed])
            return frequency_alignment(words, words, words)

        return self._outcome(("frequency", FREQUENCY), seed, work)

    def frequency_of_others(self, seed: int) -> AttackOutcome:
        def work() -> AttackOutcome:
            both = self.hardening.encode(self.world.registers.both, new_key("attacker", seed))
            words = filter_words([both.packed])
            rows = self.world.people.rows
            victim = filter_words([self._victim(seed).packed])
            return frequency_alignment(victim, words[rows:], words[:rows])

        return self._outcome(("frequency, other file", FREQUENCY), seed, work)

    def insider(self, seed: int) -> AttackOutcome:
        """The dictionary is side b, under the victim's own key."""
        world = self.world

        def work() -> AttackOutcome:
            rows = np.random.default_rng(seed).permutation(world.registers.truth_a)[: world.targets]
            victim = self._victim(seed).take(rows)
            dictionary = self.hardening.encode(world.others, new_key("victim", seed))
            return insider_dictionary(
                victim, dictionary, world.registers.entry_of_a[rows], world.other_classes
            )

        return self._outcome(("insider", INSIDER, world.targets), seed, work)

    def _victim(self, seed: int) -> EncodedPeople:
        if seed not in self._kept:
            self._kept[seed] = self.hardening.encode(self.world.people, new_key("victim", seed))
        return self._kept[seed]

    def _outcome(
        self, what: tuple[object, ...], seed: int, work: Callable[[], AttackOutcome]
    ) -> AttackOutcome:
        return self.found.outcome((self.identity, self.world.source, *what, f"seed {seed}"), work)


def until_settled(one: Callable[[int], AttackOutcome], seeds: int) -> Iterator[AttackOutcome]:
    """Outcomes by seed, to the last or to the first that is :data:`SETTLED`."""
    for seed in range(seeds):
        outcome = one(seed)
        yield outcome
        if outcome.success >= SETTLED:
            break


def _overlapping_rows(
    registers: Registers, people: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of side a and of side b, and each a's place among the b's or -1; both are ``people`` or all there are.

    The share of the same people is that of the whole registers.
    """
    draw = np.random.default_rng(seed)
    entry_of_a = registers.entry_of_a
    rows_v = draw.permutation(len(entry_of_a))[:people]
    same = entry_of_a[rows_v][entry_of_a[rows_v] >= 0]
    strangers = np.setdiff1d(np.arange(registers.side_b.num_rows), registers.truth_b)
    rows_a = draw.permutation(np.concatenate([same, draw.permutation(strangers)[: people - len(same)]]))
    place = np.full(registers.side_b.num_rows, -1, np.intp)
    place[rows_a] = np.arange(len(rows_a))
    entries = np.where(entry_of_a[rows_v] >= 0, place[entry_of_a[rows_v]], -1)
    return rows_v, rows_a, entries


def measured_quality(
    attacked: AttackedEncoding, sets: dict[str, tuple[Registers, CandidatePairs]], seeds: int
) -> dict[str, tuple[float, float]]:
    """(recall at precision .99, best F1) by set, the mean over the seeds' keys."""
    quality = {}
    for name, (registers, candidates) in sets.items():
        proposed = digest_of(candidates.index_a.tobytes(), candidates.index_b.tobytes())

        def work(seed: int, registers=registers, candidates=candidates) -> tuple[float, float]:
            found = linkage_quality_of(attacked.hardening, registers, candidates, seed)
            return found.recall_at_precision_99, found.best_f1

        runs = [
            attacked.found.figures(
                (attacked.identity, "quality", name, proposed, f"seed {seed}"), lambda seed=seed: work(seed)
            )
            for seed in range(seeds)
        ]
        recall, best_f1 = np.mean(runs, axis=0)
        quality[name] = (float(recall), float(best_f1))
    return quality
