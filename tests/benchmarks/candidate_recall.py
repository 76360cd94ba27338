"""Candidate recall, pairs and time of the deployed blocking passes, on every set found and on fresh people.

    python -m tests.benchmarks.candidate_recall [--data ../shared/data] [--records 20000,100000] [--seeds 1,2]
        [--alone] [--picture deployments/pictures/candidate_recall.svg]

The real path: normalise, encode under a fresh random key, propose pairs. Sets that are not there are skipped;
``-blank20`` blanks every value with chance .2 on each side, ``-min`` keeps names, date, sex and postcode.
``--alone`` prints, for each pass, the true pairs that only it proposes, and the recall of its first best passes.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.custodian.field_columns import protocol_columns
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.evaluation.blocking_quality import blocking_quality
from linkage_core.evaluation.linkage_quality import mark_true_pairs
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.benchmarks.recall_picture import Chart, draw_curves

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text(encoding="utf-8"))
NAMES = PROTOCOL.pass_names
FIELDS = {
    "first": "given_name", "middle": "middle_name", "last": "family_name", "dob": "birth_date", "sex": "sex",
    "street": "street", "city": "city", "zip": "postcode", "phone": "phone", "email": "email",
}  # fmt: skip
MINIMAL = ("first", "last", "dob", "sex", "zip")
BROKEN_DATES = frozenset({"R-DATE-FORMAT", "R-DATE-RANGE", "R-DATE-IMPOSSIBLE"})
SETS = ("febrl4_part", "pp_census20_census30", "pp_census20_census30_hard", "usgen20k_min", "usgen100k_min")
PICTURED = ("pp_census20_census30_hard", "usgen100k_min", "usgen100k_min-blank20")


@dataclass(frozen=True)
class BlockedSet:
    """A set as the linkage unit sees it, with its truth as row numbers."""

    name: str
    blocking: tuple[np.ndarray, np.ndarray]
    truth: tuple[np.ndarray, np.ndarray]

    def propose(self, passes: list[int] | None = None, **limits: int | None) -> CandidatePairs:
        """Candidates under the protocol's limits, or others, from all passes or some."""
        spec = PROTOCOL.blocking
        chosen = list(range(len(NAMES))) if passes is None else passes
        given = {"partners_per_record": spec.partners_per_record, "max_block_pairs": spec.max_block_pairs}
        a, b = (np.ascontiguousarray(side[:, chosen]) for side in self.blocking)
        names = [NAMES[p] for p in chosen]
        return propose_pairs(a, b, pass_names=names, pair_budget=10**9, **(given | limits))

    def quality(self, pairs: CandidatePairs):
        records_a, records_b = (len(side) for side in self.blocking)
        return blocking_quality(
            pairs.index_a, pairs.index_b, *self.truth, records_a=records_a, records_b=records_b
        )


def main() -> None:
    options = _options()
    print("set | recall | pairs | a record | reduction ratio | largest block | passes in use | seconds")
    kept = []
    for blocked in _blocked_sets(options):
        print_row(blocked)
        if options.alone:
            print_alone(blocked)
        kept += [blocked] if blocked.name in PICTURED else []
    if options.picture and kept:
        draw(kept, Path(options.picture))


def print_row(blocked: BlockedSet) -> None:
    started = time.perf_counter()
    pairs = blocked.propose()
    seconds = time.perf_counter() - started
    quality = blocked.quality(pairs)
    largest = max(report.largest_block_pairs for report in pairs.reports)
    in_use = sum(report.largest_block_pairs > 0 for report in pairs.reports)
    print(
        f"{blocked.name} | {quality.candidate_recall:.4f} | {len(pairs):,} | "
        f"{len(pairs) / len(blocked.blocking[0]):.1f} | {quality.reduction_ratio:.6f} | {largest:,} | "
        f"{in_use} | {seconds:.2f}",
        flush=True,
    )


def print_alone(blocked: BlockedSet) -> None:
    """What each pass alone finds, then recall and pairs of the best 1, 2, ... passes."""
    pairs = blocked.propose()
    true = mark_true_pairs(pairs.index_a, pairs.index_b, *blocked.truth)
    found = pairs.passes[true]
    for p, name in enumerate(NAMES):
        alone = np.count_nonzero(found == np.uint32(1 << p))
        print(
            f"    {name}: {pairs.reports[p].pairs:,} proposals, {alone} true pairs that no other pass proposes"
        )
    for chosen in best_first(found):
        some = blocked.propose(chosen)
        print(f"    {len(chosen)} passes: {blocked.quality(some).candidate_recall:.4f}, {len(some):,} pairs")


def best_first(found: np.ndarray) -> Iterator[list[int]]:
    """Growing lists of passes: each takes the one that finds most of the true pairs not yet found."""
    chosen: list[int] = []
    while len(found):
        gains = [np.count_nonzero(found >> np.uint32(p) & np.uint32(1)) for p in range(len(NAMES))]
        chosen.append(int(np.argmax(gains)))
        found = found[(found >> np.uint32(chosen[-1]) & np.uint32(1)) == 0]
        yield sorted(chosen)


def draw(blocked_sets: list[BlockedSet], path: Path) -> None:
    """Recall against pairs a record: over the room of a record, over the cap of a block, over the passes."""
    charts = [
        Chart(blocked.name, _curves(blocked), _point(blocked, blocked.propose())) for blocked in blocked_sets
    ]
    path.write_text(draw_curves(charts), encoding="utf-8")


def _curves(blocked: BlockedSet) -> dict[str, list[tuple[float, float]]]:
    pairs = blocked.propose()
    found = pairs.passes[mark_true_pairs(pairs.index_a, pairs.index_b, *blocked.truth)]
    rooms = (3, 6, 11, 22, 45, 90)
    caps = (10, 40, 150, 600, 2000, 8000)
    return {
        "room of a record 3 to 90": [_point(blocked, blocked.propose(partners_per_record=r)) for r in rooms],
        "no room; cap of a block 10 to 8,000 pairs": [
            _point(blocked, blocked.propose(partners_per_record=None, max_block_pairs=c)) for c in caps
        ],
        f"best 3, 4, ... passes, room {PROTOCOL.blocking.partners_per_record}": [
            _point(blocked, blocked.propose(chosen)) for chosen in best_first(found) if len(chosen) > 2
        ],
    }


def _point(blocked: BlockedSet, pairs: CandidatePairs) -> tuple[float, float]:
    return len(pairs) / len(blocked.blocking[0]), blocked.quality(pairs).candidate_recall


def _blocked_sets(options: argparse.Namespace) -> Iterator[BlockedSet]:
    for name in SETS:
        folder = Path(options.data) / name
        if (folder / "truth.parquet").exists():
            tables = [pq.read_table(folder / f"{part}.parquet") for part in ("a", "b", "truth")]
            yield block(name, *tables)
            if name == "usgen100k_min":
                yield blank(name, *tables)
    for seed in _numbers(options.seeds):
        for records in _numbers(options.records):
            people = generate_people(PeopleParameters(people_per_side=records, postcodes=20), seed)
            tables = (people.side_a, people.side_b, people.truth)
            name = f"fresh people, {records:,}, seed {seed}"
            yield block(name, *tables)
            minimal = [side.select(["rid", *MINIMAL]) for side in tables[:2]]
            yield block(f"{name}-min", *minimal, people.truth)
            yield blank(f"{name}-min", *minimal, people.truth)


def block(name: str, side_a: pa.Table, side_b: pa.Table, truth: pa.Table) -> BlockedSet:
    """Both sides' blocking values under one fresh key."""
    tokens = derive_custodian_keys(secrets.token_bytes(32), PROTOCOL).tokens
    rows = []
    for side, column in ((side_a, "rid_a"), (side_b, "rid_b")):
        row_of = {rid: row for row, rid in enumerate(side["rid"].to_pylist())}
        rows.append(np.array([row_of[rid] for rid in truth[column].to_pylist()], np.intp))
    return BlockedSet(name, (_encode(side_a, tokens), _encode(side_b, tokens)), (rows[0], rows[1]))


def blank(name: str, side_a: pa.Table, side_b: pa.Table, truth: pa.Table) -> BlockedSet:
    rng = np.random.default_rng(20)
    return replace(
        block(name, *(_blank_values(s, rng) for s in (side_a, side_b)), truth), name=f"{name}-blank20"
    )


def _blank_values(side: pa.Table, rng: np.random.Generator) -> pa.Table:
    blanked = {
        name: [
            "" if gone else value
            for value, gone in zip(side[name].to_pylist(), rng.random(len(side)) < 0.2, strict=True)
        ]
        for name in side.column_names
        if name != "rid"
    }
    return pa.table({"rid": side["rid"], **blanked})


def _encode(side: pa.Table, keys: Mapping[str, bytes]) -> np.ndarray:
    columns = {"source_id": side["rid"].to_pylist()}
    columns |= {FIELDS[name]: side[name].to_pylist() for name in side.column_names if name in FIELDS}
    written = SourceFormat(emptying_rules=BROKEN_DATES)
    records = normalise_batch(raw_batch(columns), PROTOCOL, written).records
    spec = evidence_of(PROTOCOL)
    return encode_tokens(
        protocol_columns(records, PROTOCOL), spec.tokens[: spec.passes], keys, records.num_rows
    )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--records", default="20000,100000")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
