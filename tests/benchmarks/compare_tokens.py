"""Tokens, filters and Nightlink's comparison vector, each trained on the same labelled pairs: `make compare-tokens`.

    python -m tests.benchmarks.compare_tokens [--data ../shared/data] [--quick] [--picture FILE]

After Datavant's comparison of 2022, on open data. Candidates are pairs that share at least one token: those that the
protocol's passes propose, every record with its rarest blocks first. A sample of them is split by person, 80 to 20:
nobody of the test is in the training. Recall is of the matches among the test's pairs, pair by pair, before any
one-to-one; intervals are of a bootstrap by person. Each of four vectors is trained by logistic regression and by
gradient boosting; a last row is the model that Nightlink fits without any label, pair by pair and after competition.

Samples of 300,000 pairs are of ``usgen100k_min``, samples of 3 million of 190,000 generated people a side. What was
found is kept in ``build/compare_tokens.json``, so that a run that was broken off goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation import pair_vectors, person_bootstrap
from linkage_core.evaluation.attacks.known_people import known_people, plain_filters
from linkage_core.evaluation.data_corruption import blank_values, corrupt_some, mistype
from linkage_core.evaluation.evaluate_linkage import StageMeter, encode_sides, propose_candidates
from linkage_core.evaluation.linkage_quality import mark_true_pairs, precision_recall_curve
from linkage_core.evaluation.pair_vectors import (
    collision_columns,
    filter_columns,
    name_frequencies,
    ternary_columns,
    token_columns,
)
from linkage_core.evaluation.person_bootstrap import PairQuality, pair_quality
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit import model_training, pattern_features
from linkage_core.linkage_unit.candidate_coverage import field_presence
from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.match_model import PairOdds, fit_patterns, patterns_of
from linkage_core.linkage_unit.model_training import LabelledPairs, number_people, split_by_person
from linkage_core.linkage_unit.pair_patterns import PairPatterns
from linkage_core.protocol.encoded_evidence import mean_fill
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import parse_protocol, protocol_fingerprint
from tests.benchmarks.attack_results import FoundResults, digest_of, source_digest
from tests.benchmarks.column_worlds import MINIMAL
from tests.benchmarks.evaluate_sets import ROOT, _tables
from tests.benchmarks.precision_recall_picture import Chart, draw_charts

PROTOCOL = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
FORMAT = SourceFormat(date_formats=("%Y%m%d", "%Y-%m-%d"))
SETTINGS = ("as they are", "25% of surnames mistyped on each side", "20% of values missing on each side")
MISTYPED, MISSING = 0.25, 0.2
TEST_SHARE = 0.2
DRAWS = 200
CURVE_POINTS = 240
RECORD_FIELDS = ("given_name", "family_name", "birth_date", "sex", "postcode")
"""What the article's one filter a record is made of."""
METHODS = {"logistic_regression": "logistic", "gradient_boosting": "boosting"}
Matrix = np.ndarray


@dataclass(frozen=True)
class Sample:
    """Which people, how many pairs of them, and what was done to their values."""

    people: str
    pairs: int
    setting: str


class World:
    """The people of a sample, encoded, blocked and compared; each part is made when it is first asked for."""

    def __init__(self, sample: Sample, tables: tuple[pa.Table, pa.Table, pa.Table]) -> None:
        self.sample = sample
        side_a, side_b, truth = tables
        raw = [_change(side, sample.setting, s) for s, side in enumerate((side_a, side_b))]
        rows = [{rid: row for row, rid in enumerate(side["rid"].to_pylist())} for side in (side_a, side_b)]
        self.truth = tuple(
            np.array([rows[s][rid] for rid in truth[f"rid_{'ab'[s]}"].to_pylist()], np.intp) for s in (0, 1)
        )
        batches = [_batch(side) for side in raw]
        key = hashlib.sha256(b"compare tokens").digest()
        meter = StageMeter(time.perf_counter)
        self.sides = encode_sides(*batches, key, PROTOCOL, meter, source_format=FORMAT)
        self.pairs = propose_candidates(*self.sides.records, self.sides.protocol)
        # in the order of the encoded records
        self.records = [
            normalise_batch(batch, PROTOCOL, FORMAT).records.take(pa.array(self.sides.rows[s]))
            for s, batch in enumerate(batches)
        ]
        self.is_match = mark_true_pairs(
            self.sides.rows[0][self.pairs.index_a], self.sides.rows[1][self.pairs.index_b], *self.truth
        )

    @cached_property
    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the pairs for training and for the test, drawn from all candidates."""
        a, b = self.pairs.index_a, self.pairs.index_b
        people = number_people(a, b, self.is_match, self.records[0].num_rows)
        every = LabelledPairs(
            np.empty((0, 0)), np.zeros(len(a), np.uint32), self.is_match, np.ones(len(a)), *people
        )
        pools = [np.flatnonzero(kept) for kept in split_by_person(every, TEST_SHARE, seed=1)]
        sizes = [round(share * self.sample.pairs) for share in (1 - TEST_SHARE, TEST_SHARE)]
        generator = np.random.default_rng(2)
        drawn = [np.sort(generator.permutation(pool)[:size]) for pool, size in zip(pools, sizes, strict=True)]
        return drawn[0], drawn[1]

    @cached_property
    def profile(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each side: sex, ZIP3 and year of birth as codes; the share of people of the same names and decade."""
        coarse = (("sex", None), ("postcode", 3), ("birth_date", 4))
        named = (("given_name", None), ("family_name", None), ("birth_date", 3))
        found = []
        for side in (0, 1):
            profile, names = (
                np.column_stack([_codes(self.records, *column)[side] for column in columns])
                for columns in (coarse, named)
            )
            found.append((profile, name_frequencies(names)))
        return found

    @cached_property
    def plain_filters(self) -> list[np.ndarray]:
        """One plain filter a record, as in the article: L = 1024, k = 20, over bigrams of five fields."""
        specs = [self.sides.protocol.field(name) for name in RECORD_FIELDS]
        both = pa.Table.from_batches(self.records).combine_chunks().to_batches()[0]
        filters = plain_filters(known_people(both, specs), b"one filter a record".ljust(32, b"."), 1024, 20)
        return [np.ascontiguousarray(part) for part in np.split(filters, [self.records[0].num_rows])]

    @cached_property
    def fitted(self) -> tuple[PairPatterns, PairOdds, Matrix]:
        """Patterns of all candidates, what the model without labels says of them, and the patterns' features."""
        spec, aggregates = evidence_of(self.sides.protocol), self.sides.aggregates
        evidence = [records.evidence for records in self.sides.records]
        a, b = self.pairs.index_a, self.pairs.index_b
        levels = compare_pairs(*evidence, a, b, spec, mean_fill(*aggregates)).levels
        patterns = patterns_of(levels, *evidence, a, b, spec)
        presence = (field_presence(evidence[0]), field_presence(evidence[1]))
        records = (len(evidence[0]), len(evidence[1]))
        _, odds = fit_patterns(patterns, a, b, records, spec, aggregates, presence)
        return patterns, odds, pattern_features.pattern_features(patterns, odds.odds, spec, aggregates)

    def common_columns(self, at: np.ndarray) -> Matrix:
        """Profile as ternary vector, and the collision score."""
        a, b = self.pairs.index_a[at], self.pairs.index_b[at]
        (profile_a, share_a), (profile_b, share_b) = self.profile
        same = ternary_columns(profile_a[a], profile_b[b], pair_vectors.MISSING_CODE)
        return np.hstack([same, collision_columns(share_a, share_b, a, b)])

    def tokens(self, at: np.ndarray) -> Matrix:
        a, b = self.pairs.index_a[at], self.pairs.index_b[at]
        sides = [records.evidence.tokens for records in self.sides.records]
        return np.hstack([token_columns(*sides, a, b), self.common_columns(at)])

    def one_filter(self, at: np.ndarray) -> Matrix:
        a, b = self.pairs.index_a[at], self.pairs.index_b[at]
        return np.hstack([filter_columns(*self.plain_filters, a, b), self.common_columns(at)])

    def hardened_filters(self, at: np.ndarray) -> Matrix:
        a, b = self.pairs.index_a[at], self.pairs.index_b[at]
        sides = [records.evidence.group_filters for records in self.sides.records]
        return np.hstack(
            [*(filter_columns(*two, a, b) for two in zip(*sides, strict=True)), self.common_columns(at)]
        )

    def nightlink(self, at: np.ndarray) -> Matrix:
        patterns, _, features = self.fitted
        return features[patterns.of_pair[at]].astype(np.float32)


VECTORS: dict[str, Callable[[World, np.ndarray], Matrix]] = {
    "tokens": World.tokens,
    "one plain filter": World.one_filter,
    "three hardened filters": World.hardened_filters,
    "Nightlink's vector": World.nightlink,
}
UNLABELLED = {
    "Nightlink, no labels": "odds",
    "Nightlink, no labels, one-to-one in the posterior": "probability",
}


def main() -> None:
    options = _options()
    samples = list(_samples(options.quick))
    found = FoundResults(ROOT / "build" / f"compare_tokens{'_quick' if options.quick else ''}.json")
    charts = []
    for sample in samples:
        began = time.perf_counter()
        rows = _compare(sample, Path(options.data), found)
        print(f"{sample}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        _print_table(sample, rows)
        curves = {name: figures.curve for name, figures in rows.items()}
        charts.append(Chart(f"{sample.pairs:,} pairs, {sample.setting}", curves))
    if options.picture:
        Path(options.picture).write_text(draw_charts(charts))


@dataclass(frozen=True)
class RowFigures:
    """One row: the figures, how many pairs they rest on, seconds of training, and the curve's points.

    ``candidate_recall`` is the share of all true pairs that are candidates.
    """

    quality: PairQuality
    matches: int
    pairs: int
    seconds: float
    candidate_recall: float
    curve: list[tuple[float, float]]

    def numbers(self) -> list[float]:
        three = (getattr(self.quality, name) for name in self.quality.__dataclass_fields__)
        flat = [number for one in three for number in (one.value, one.low, one.high)]
        counts = self.matches, self.pairs, self.seconds, self.candidate_recall
        return [*flat, *counts, *(number for point in self.curve for number in point)]

    @classmethod
    def of(cls, numbers: list[float]) -> RowFigures:
        estimates = [person_bootstrap.Estimate(*numbers[k : k + 3]) for k in (0, 3, 6)]
        curve = list(zip(numbers[13::2], numbers[14::2], strict=True))
        return cls(
            PairQuality(*estimates), int(numbers[9]), int(numbers[10]), numbers[11], numbers[12], curve
        )


def _compare(sample: Sample, data: Path, found: FoundResults) -> dict[str, RowFigures]:
    """All rows of a sample, found before or now."""
    made: list[World] = []

    def world() -> World:
        if not made:
            made.append(World(sample, _tables_of(sample.people, data)))
        return made[0]

    depends = (sample, protocol_fingerprint(PROTOCOL), _data_digest(sample.people, data), _code_digest())
    rows = {}
    for vector, columns in VECTORS.items():
        for method, short in METHODS.items():
            numbers = found.figures(
                (*depends, vector, method), lambda c=columns, m=method: _trained(world(), c, m).numbers()
            )
            rows[f"{vector}, {short}"] = RowFigures.of(numbers)
    for name, kind in UNLABELLED.items():
        numbers = found.figures((*depends, name), lambda k=kind: _unlabelled(world(), k).numbers())
        rows[name] = RowFigures.of(numbers)
    return rows


def _trained(world: World, columns: Callable[[World, np.ndarray], Matrix], method: str) -> RowFigures:
    train, test = world.chosen
    began = time.perf_counter()
    estimator = _estimator(method)
    estimator.fit(columns(world, train), world.is_match[train])
    seconds = time.perf_counter() - began
    return _figures(world, estimator.decision_function(columns(world, test)).astype(np.float64), seconds)


def _unlabelled(world: World, kind: str) -> RowFigures:
    return _figures(world, getattr(world.fitted[1], kind)[world.chosen[1]], 0.0)


def _figures(world: World, scores: np.ndarray, seconds: float) -> RowFigures:
    test = world.chosen[1]
    is_match = world.is_match[test]
    quality = pair_quality(scores, is_match, world.pairs.index_a[test], draws=DRAWS, seed=3)
    curve = precision_recall_curve(scores, is_match, int(is_match.sum()))
    wanted = np.searchsorted(curve.recall, np.linspace(0.4, 1.0, CURVE_POINTS))
    points = np.unique(np.minimum(wanted, len(curve.recall) - 1))
    shown = list(zip(curve.recall[points].tolist(), curve.precision[points].tolist(), strict=True))
    recall = float(world.is_match.sum() / len(world.truth[0]))
    return RowFigures(quality, int(is_match.sum()), len(test), seconds, recall, shown)


def _estimator(method: str) -> Any:
    """As :mod:`linkage_core.linkage_unit.model_training` fits, with a solver for millions of rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if method == "logistic_regression":
        return make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", max_iter=50))
    settings = model_training.SETTINGS[method]
    whole = {name: int(value) if value == int(value) else value for name, value in settings.items()}
    return HistGradientBoostingClassifier(**whole, early_stopping=False, random_state=0)


def _samples(quick: bool) -> Iterator[Sample]:
    plans = (("usgen100k_min", 300_000), ("generated:190000:2022", 3_000_000))
    plans = (("generated:4000:2022", 30_000),) if quick else plans
    for people, pairs in plans:
        for setting in SETTINGS:
            yield Sample(people, pairs, setting)


@lru_cache(maxsize=1)
def _tables_of(people: str, data: Path) -> tuple[pa.Table, pa.Table, pa.Table]:
    if people.startswith("generated:"):
        _, number, seed = people.split(":")
        made = generate_people(PeopleParameters(people_per_side=int(number)), int(seed))
        kept = ["rid", *MINIMAL]
        return made.side_a.select(kept), made.side_b.select(kept), made.truth
    found = _tables(data, people)
    if found is None:
        raise SystemExit(f"{people} is not in {data}")
    return found


def _data_digest(people: str, data: Path) -> str:
    """Of the set's files, or of the code that generates the people."""
    if people.startswith("generated:"):
        return source_digest(generate_people)
    files = sorted((data / people).glob("*.parquet"))
    return digest_of(*(file.read_bytes() for file in files))


def _change(side: pa.Table, setting: str, number: int) -> pa.Table:
    """The side with surnames mistyped, or values emptied, as the setting says."""
    if setting == SETTINGS[1]:
        names = np.array(side["last"].to_pylist(), object)
        changed = corrupt_some(names, MISTYPED, mistype, np.random.default_rng((7, number)))
        place = side.column_names.index("last")
        return side.set_column(place, "last", pa.array(changed, pa.utf8()))
    return blank_values(side, MISSING, 70 + number) if setting == SETTINGS[2] else side


def _batch(side: pa.Table) -> pa.RecordBatch:
    from deployments.people_folder import FIELD_OF_COLUMN

    named = side.rename_columns([FIELD_OF_COLUMN[name] for name in side.column_names])
    texts = named.cast(pa.schema([(name, pa.utf8()) for name in named.column_names]))
    return texts.combine_chunks().to_batches()[0]


def _codes(records: list[pa.RecordBatch], name: str, letters: int | None = None) -> list[np.ndarray]:
    """A column's first letters as numbers that both sides share, -1 for missing."""
    columns = [pc.cast(side.column(name), pa.utf8()) for side in records]
    if letters is not None:
        columns = [pc.utf8_slice_codeunits(column, 0, letters) for column in columns]
    coded = pa.concat_arrays(columns).dictionary_encode().indices.fill_null(pair_vectors.MISSING_CODE)
    return np.split(coded.to_numpy().astype(np.int64), [records[0].num_rows])


def _code_digest() -> str:
    """Of the code that makes vectors and figures: another one computes anew."""
    modules = (sys.modules[__name__], pair_vectors, person_bootstrap, pattern_features, model_training)
    return digest_of(*(Path(str(module.__file__)).read_bytes() for module in modules))


def _print_table(sample: Sample, rows: dict[str, RowFigures]) -> None:
    one = next(iter(rows.values()))
    told = f"{one.pairs:,} pairs, {one.matches:,} matches"
    recall = _short(one.candidate_recall)
    print(
        f"\n**{sample.pairs:,} pairs of {sample.people}, {sample.setting}** (test: {told}; {recall} of all true"
    )
    print(
        "pairs are candidates)\n\n| vector and model | AUC-PR | Recall@P95 | Recall@P99 |\n|---|---|---|---|"
    )
    for name, row in rows.items():
        estimates = (getattr(row.quality, field) for field in row.quality.__dataclass_fields__)
        cells = " | ".join(
            f"{_short(one.value)} [{_short(one.low)}, {_short(one.high)}]" for one in estimates
        )
        print(f"| {name} | {cells} |", flush=True)


def _short(number: float) -> str:
    return f"{number:.3f}".removeprefix("0")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--quick", action="store_true", help="4,000 people and 30,000 pairs")
    parser.add_argument("--picture", help="write the curves here, as SVG")
    return parser.parse_args()


if __name__ == "__main__":
    main()
