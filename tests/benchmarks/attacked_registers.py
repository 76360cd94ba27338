"""Two registers to attack and to link: generated people, or a set of the evaluation data."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.custodian.field_columns import protocol_columns
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.evaluation.attacks.encoded_people import EncodedPeople, pair_scores
from linkage_core.evaluation.attacks.hardenings import Hardening
from linkage_core.evaluation.attacks.known_people import KnownPeople, known_people
from linkage_core.evaluation.linkage_quality import ThresholdQuality, mark_true_pairs, threshold_quality
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one, siphash_2_4
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.evidence_spec import EvidenceSpec, evidence_of
from linkage_core.protocol.linkage_protocol import parse_protocol

REPOSITORY = Path(__file__).parents[2]
PROTOCOL = parse_protocol((REPOSITORY / "deployments" / "linkage_protocol.toml").read_text())
STANDARD_NAMES = {
    "rid": "source_id",
    "first": "given_name",
    "middle": "middle_name",
    "last": "family_name",
    "dob": "birth_date",
    "zip": "postcode",
}
RECORD_FIELDS = ("given_name", "middle_name", "family_name", "birth_date", "sex", "postcode")
"""What a record-level filter is made of: with a street it would be overfull (0.53 at k = 20), and saturate."""

FIVE_FIELDS = ("given_name", "family_name", "birth_date", "sex", "postcode")


@dataclass(frozen=True)
class Registers:
    """Both sides' people in one numbering of q-grams, and the truth.

    ``entry_of_a`` is each A record's row on side B, -1 for nobody.
    """

    side_a: pa.RecordBatch
    side_b: pa.RecordBatch
    both: KnownPeople
    truth_a: np.ndarray
    truth_b: np.ndarray

    @property
    def rows_a(self) -> np.ndarray:
        return np.arange(self.side_a.num_rows)

    @property
    def rows_b(self) -> np.ndarray:
        return self.side_a.num_rows + np.arange(self.side_b.num_rows)

    @property
    def entry_of_a(self) -> np.ndarray:
        entry = np.full(self.side_a.num_rows, -1, np.intp)
        entry[self.truth_a] = self.truth_b
        return entry


def new_key(purpose: str, seed: int) -> bytes:
    return sha256(f"{purpose} {seed}".encode()).digest()


def generated_registers(people_per_side: int, seed: int, fields: tuple[str, ...] = FIVE_FIELDS) -> Registers:
    people = generate_people(PeopleParameters(people_per_side=people_per_side), seed)
    return _registers(people.side_a, people.side_b, people.truth, fields)


def folder_registers(folder: Path, fields: tuple[str, ...] = PROTOCOL.field_names) -> Registers:
    """A folder of the evaluation data, with all of these fields that it has."""
    side_a, side_b, truth = (pq.read_table(folder / f"{name}.parquet") for name in ("a", "b", "truth"))
    names = [STANDARD_NAMES.get(name, name) for name in side_a.column_names]
    return _registers(side_a, side_b, truth, tuple(n for n in fields if n in names))


def _registers(side_a: pa.Table, side_b: pa.Table, truth: pa.Table, fields: tuple[str, ...]) -> Registers:
    normal_a, normal_b = _normalise(side_a), _normalise(side_b)
    together = pa.Table.from_batches([normal_a, normal_b]).combine_chunks().to_batches()[0]
    people = known_people(together, [PROTOCOL.field(name) for name in fields])
    rows_a, rows_b = (
        _rows_of(side, truth[name].to_pylist()) for side, name in ((normal_a, "rid_a"), (normal_b, "rid_b"))
    )
    return Registers(normal_a, normal_b, people, rows_a, rows_b)


def _normalise(side: pa.Table) -> pa.RecordBatch:
    raw = side.rename_columns([STANDARD_NAMES.get(name, name) for name in side.column_names])
    raw = raw.cast(pa.schema([(name, pa.utf8()) for name in raw.column_names]))
    return normalise_batch(raw.combine_chunks().to_batches()[0], PROTOCOL, SourceFormat()).records


def _rows_of(side: pa.RecordBatch, ids: list[str]) -> np.ndarray:
    row_of = {source_id: row for row, source_id in enumerate(side["source_id"].to_pylist())}
    return np.array([row_of[source_id] for source_id in ids], np.intp)


def blocking_columns(side: pa.RecordBatch, key: bytes) -> np.ndarray:
    """The deployed protocol's blocking values of a side: uint64, shape (n, passes)."""
    spec = evidence_of(PROTOCOL)
    return np.ascontiguousarray(token_columns(side, spec, key)[:, : spec.passes])


def token_columns(side: pa.RecordBatch, spec: EvidenceSpec, key: bytes) -> np.ndarray:
    """All tokens of a side, the passes' first: uint64, shape (n, tokens)."""
    keys = {token.name: derive_key(key, ("token", token.name)) for token in spec.tokens}
    return encode_tokens(protocol_columns(side, PROTOCOL), spec.tokens, keys, side.num_rows)


def candidate_pairs(registers: Registers) -> CandidatePairs:
    """Pairs that the deployed passes propose."""
    key = new_key("blocking", 0)
    return propose_pairs(
        blocking_columns(registers.side_a, key),
        blocking_columns(registers.side_b, key),
        pass_names=PROTOCOL.pass_names,
        partners_per_record=PROTOCOL.blocking.partners_per_record,
        max_block_pairs=PROTOCOL.blocking.max_block_pairs,
        pair_budget=PROTOCOL.blocking.pair_budget,
    )


def linkage_quality_of(
    hardening: Hardening, registers: Registers, candidates: CandidatePairs, seed: int
) -> ThresholdQuality:
    """Quality of the links that this one encoding's similarity gives, one-to-one, over the candidates."""
    encoded = hardening.encode(registers.both, new_key("quality", seed))
    side_a, side_b = encoded.take(registers.rows_a), encoded.take(registers.rows_b)
    return _threshold_quality(side_a, side_b, registers, candidates, seed)


def _threshold_quality(
    side_a: EncodedPeople, side_b: EncodedPeople, registers: Registers, candidates: CandidatePairs, seed: int
) -> ThresholdQuality:
    index_a, index_b = candidates.index_a, candidates.index_b
    scores = pair_scores(side_a, side_b, index_a, index_b)
    order = siphash_2_4(
        [index_a.astype(np.uint64), index_b.astype(np.uint64)], np.array([seed, 1], np.uint64)
    )
    kept = greedy_one_to_one(index_a, index_b, scores, order, possible=-np.inf)
    are_true = mark_true_pairs(index_a[kept], index_b[kept], registers.truth_a, registers.truth_b)
    return threshold_quality(scores[kept], are_true, len(registers.truth_a))
