"""Generated people, encoded once, and linked again and again on some of their columns only.

What a set of tokens is worth cannot be told on the sets that one knows by heart: these people are made anew by
seed, with the generator's errors raised, values blanked, and other fields present from world to world.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.custodian.encode_evidence import encode_evidence
from linkage_core.custodian.field_aggregates import level_rates
from linkage_core.custodian.field_columns import FieldColumns, protocol_columns
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.data_corruption import blank_values
from linkage_core.evaluation.evaluate_linkage import agreed_protocol
from linkage_core.evaluation.linkage_quality import mark_true_pairs, output_quality, threshold_quality
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.link_probabilities import choose_threshold, link_probabilities, links_above
from linkage_core.linkage_unit.match_model import fit_match_model
from linkage_core.linkage_unit.one_to_one import siphash_2_4
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, mean_fill
from linkage_core.protocol.evidence_spec import EvidenceSpec, evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol

EVERYTHING = tuple(name for name in FIELD_OF_COLUMN if name != "rid")
MINIMAL = ("first", "last", "dob", "sex", "zip")
RANDOM_PAIRS = 300_000
ERROR_RATES = (
    "nickname_rate", "typo_rate", "phonetic_rate", "ocr_rate", "date_swapped_rate", "date_miskeyed_rate",
    "date_rounded_rate", "names_swapped_rate",
)  # fmt: skip


@dataclass(frozen=True)
class WorldPlan:
    """Which people: the fields that both sides have, how often errors happen, who moved, what is blank."""

    name: str
    fields: tuple[str, ...]
    errors: float
    moved: float
    blank: float
    seed: int


PLANS = (
    WorldPlan("minimal", MINIMAL, 1, 0.17, 0, 101),
    WorldPlan("minimal, errors x4", MINIMAL, 4, 0.17, 0, 102),
    WorldPlan("minimal, 20% blank", MINIMAL, 1, 0.17, 0.2, 103),
    WorldPlan(
        "a decade apart, errors x4", ("first", "middle", "last", "dob", "sex", "street"), 4, 0.6, 0, 104
    ),
    WorldPlan("address, errors x4", ("first", "last", "dob", "street", "city", "zip"), 4, 0.17, 0, 105),
    WorldPlan("all fields, errors x4, 20% blank", EVERYTHING, 4, 0.3, 0.2, 106),
)


@dataclass(frozen=True)
class Quality:
    """Of one world's links: recall at precision .99, the best F1, and F1 at the threshold chosen without truth."""

    r_at_p99: float
    best_f1: float
    output_f1: float
    output_precision: float


@dataclass
class ColumnWorld:
    """Both sides' evidence with every column of a protocol, its candidates, and its truth."""

    name: str
    protocol: LinkageProtocol
    evidence: tuple[EncodedEvidence, EncodedEvidence]
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates]
    columns: tuple[FieldColumns, FieldColumns]
    truth: tuple[np.ndarray, np.ndarray]
    candidates: CandidatePairs
    _rates: dict[tuple[object, ...], tuple[float, ...]] = field(default_factory=dict)

    @property
    def token_names(self) -> tuple[str, ...]:
        """Of the tokens that are no passes."""
        spec = evidence_of(self.protocol)
        return tuple(token.name for token in spec.tokens[spec.passes :])

    def quality(self, kept: Sequence[str]) -> Quality:
        """Of the links that passes, filters and the ``kept`` tokens give, over the same candidates."""
        spec, chosen = self.restricted(kept)
        evidence = tuple(
            replace(side, tokens=np.ascontiguousarray(side.tokens[:, chosen])) for side in self.evidence
        )
        aggregates = tuple(self._aggregates(s, spec) for s in (0, 1))
        a, b = self.candidates.index_a, self.candidates.index_b
        vectors = compare_pairs(*evidence, a, b, spec, mean_fill(*aggregates))
        _, odds = fit_match_model(vectors, *evidence, a, b, spec, aggregates)
        ties = siphash_2_4([a.astype(np.uint64), b.astype(np.uint64)], np.array([1, 2], np.uint64))
        links = link_probabilities(odds, a, b, ties, len(evidence[0]), len(evidence[1]))
        output = links_above(links, choose_threshold(links, self.protocol.decision.target_precision))
        is_true = mark_true_pairs(a, b, *self.truth)[links.pairs]
        best = threshold_quality(odds.probability[links.pairs], is_true, len(self.truth[0]))
        told = output_quality(is_true[output], len(self.truth[0]))
        return Quality(best.recall_at_precision_99, best.best_f1, told.f1, told.precision)

    def restricted(self, kept: Sequence[str]) -> tuple[EvidenceSpec, list[int]]:
        """The spec with some of its tokens, and the columns that they are."""
        spec = evidence_of(self.protocol)
        chosen = [t for t, token in enumerate(spec.tokens) if t < spec.passes or token.name in kept]
        return replace(spec, tokens=tuple(spec.tokens[t] for t in chosen)), chosen

    def _aggregates(self, side: int, spec: EvidenceSpec) -> EvidenceAggregates:
        """The custodian's aggregates for the levels that these tokens can show, each counted once."""
        fields = tuple(
            replace(aggregate, level_rates=self._level_rates(side, name, spec))
            for name, aggregate in zip(spec.fields, self.aggregates[side].fields, strict=True)
        )
        return replace(self.aggregates[side], fields=fields)

    def _level_rates(self, side: int, name: str, spec: EvidenceSpec) -> tuple[float, ...]:
        used = frozenset(part.code for token in spec.tokens for part in token.parts if part.field == name)
        key = (side, name, used)
        if key not in self._rates:
            one = replace(spec, fields=(name,))
            specs = {name: self.protocol.field(name)}
            self._rates[key] = level_rates(
                self.columns[side], one, specs, seed=side, random_pairs=RANDOM_PAIRS
            )[0]
        return self._rates[key]


def make_world(plan: WorldPlan, people: int, protocol: LinkageProtocol) -> ColumnWorld:
    """Generate, corrupt, blank, normalise, encode and block both sides."""
    return encode_world(plan.name, *make_people(plan, people), protocol)


def make_people(plan: WorldPlan, people: int) -> tuple[list[pa.RecordBatch], tuple[np.ndarray, np.ndarray]]:
    """Generate, corrupt and blank both sides: raw text columns under the protocol's names, and the true rows."""
    plain = PeopleParameters(people_per_side=people, postcodes=20)
    raised = {name: min(getattr(plain, name) * plan.errors, 1.0) for name in ERROR_RATES}
    raised["move_rate"] = plan.moved
    made = generate_people(plain.model_copy(update=raised), plan.seed)
    sides = [made.side_a, made.side_b]
    if plan.blank:
        sides = [blank_values(side, plan.blank, plan.seed + s, plan.fields) for s, side in enumerate(sides)]
    rows = [{rid: row for row, rid in enumerate(side["rid"].to_pylist())} for side in sides]
    truth_a, truth_b = (
        np.array([rows[s][rid] for rid in made.truth[f"rid_{'ab'[s]}"].to_pylist()], np.intp) for s in (0, 1)
    )
    return [_batch(side, plan.fields) for side in sides], (truth_a, truth_b)


def encode_world(
    name: str,
    sides: Sequence[pa.RecordBatch],
    truth: tuple[np.ndarray, ...],
    protocol: LinkageProtocol,
) -> ColumnWorld:
    """Two sides of raw text columns as a world; rows keep their order."""
    records = [normalise_batch(side, protocol, SourceFormat()).records for side in sides]
    agreed = agreed_protocol(protocol, *records)
    keys = derive_custodian_keys(hashlib.sha256(name.encode()).digest(), agreed)
    encoded = [
        encode_evidence(side, agreed, keys, seed=s, random_pairs=1000) for s, side in enumerate(records)
    ]
    spec, blocking = evidence_of(agreed), agreed.blocking
    candidates = propose_pairs(
        *(np.ascontiguousarray(evidence.tokens[:, : spec.passes]) for evidence, _ in encoded),
        pass_names=agreed.pass_names,
        partners_per_record=blocking.partners_per_record,
        max_block_pairs=blocking.max_block_pairs,
        pair_budget=blocking.pair_budget,
    )
    return ColumnWorld(
        name,
        agreed,
        (encoded[0][0], encoded[1][0]),
        (encoded[0][1], encoded[1][1]),
        (protocol_columns(records[0], agreed), protocol_columns(records[1], agreed)),
        (truth[0], truth[1]),
        candidates,
    )


def _batch(side: pa.Table, fields: Sequence[str]) -> pa.RecordBatch:
    columns = {"source_id": side["rid"]} | {FIELD_OF_COLUMN[name]: side[name] for name in fields}
    texts = {name: pa.array(column.to_pylist(), pa.utf8()) for name, column in columns.items()}
    return pa.RecordBatch.from_pydict(texts)
