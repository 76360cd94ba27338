"""`nightlink evaluate`: the figures' names, what the links file holds, and folders that nobody expected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.evaluation.command import DEFAULT_PROTOCOL
from deployments.evaluation.people_sides import read_people_sides
from flows.command_line import main
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.reference.quality_reference import slow_average_precision, slow_best_f1, slow_recall_at

PEOPLE = generate_people(PeopleParameters(people_per_side=300), seed=11)
TABLES = {"a": PEOPLE.side_a, "b": PEOPLE.side_b, "truth": PEOPLE.truth}
PROTOCOL = parse_protocol(DEFAULT_PROTOCOL.read_text(encoding="utf-8"))
PLAIN = (
    "ap", "best_f1", "best_f1_at_p98", "best_f1_at_p99", "r_at_p95", "r_at_p99", "candidate_recall", "pairs_scored",
    "reduction_ratio",
)  # fmt: skip
STAGES = ["normalise", "encode", "block", "score", "resolve"]


def write_folder(folder: Path, **tables: pa.Table) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for name, table in {**TABLES, **tables}.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def run(folder: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(folder), "--json", str(folder / "out.json"), *options])
    return int(ended.value.code or 0)


def figures(folder: Path, *options: str) -> dict:
    assert run(folder, "--keys", "1", "--seed", "5", *options) == 0
    return json.loads((folder / "out.json").read_text())


def untimed(document: dict) -> dict:
    return {name: document[name] for name in (*PLAIN, "output", "expected")}


def without(*names: str, **changed: pa.Table) -> dict[str, pa.Table]:
    tables = {side: TABLES[side].drop_columns(list(names)) for side in "ab"}
    return {**tables, **changed}


def replaced(side: str, name: str, values: object) -> dict[str, pa.Table]:
    table = TABLES[side]
    return {side: table.set_column(table.column_names.index(name), name, pa.chunked_array([values]))}


def blanked(side: str, name: str) -> dict[str, pa.Table]:
    return replaced(side, name, pa.array([""] * 300))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("plain"))
    return figures(folder, "--modes", "--links", str(folder / "links.parquet")), folder


def test_every_mode_is_told_where_it_is_asked_for(plain):
    found = plain[0]
    assert list(found["modes"]) == ["blocked", "top_k", "threshold_join"]
    blocked = found["modes"]["blocked"]
    assert {name: blocked[name] for name in PLAIN[6:]} == {name: found[name] for name in PLAIN[6:]}
    assert all(0.9 < one["candidate_recall"] <= 1 for one in found["modes"].values())


def test_means_and_each_key(tmp_path):
    folder = write_folder(tmp_path)
    assert run(folder, "--keys", "2") == 0
    document = json.loads((folder / "out.json").read_text())
    assert document["keys"] == 2 and len(document["per_key"]) == 2
    for name in PLAIN:
        mean = np.mean([one[name] for one in document["per_key"]])
        assert document[name] == pytest.approx(mean)
    for name in ("precision", "recall", "f1"):
        mean = np.mean([one["output"][name] for one in document["per_key"]])
        assert document["output"][name] == pytest.approx(mean)
    assert list(document["seconds"]) == list(document["per_key"][0]["seconds"]) == STAGES
    assert document["peak_mib"] > 10 and document["per_key"][1]["peak_mib"] > 10
    assert document["candidate_recall"] > 0.98 and document["output"]["f1"] > 0.9


def test_the_links_file_gives_the_same_figures(plain):
    document, folder = plain
    table = pq.read_table(folder / "links.parquet")
    assert table.column_names == ["rid_a", "rid_b", "score", "decision"]
    rows = table.to_pydict()
    truth = set(zip(*PEOPLE.truth.to_pydict().values(), strict=True))
    pairs = list(zip(rows["rid_a"], rows["rid_b"], strict=True))
    is_true, decision = [pair in truth for pair in pairs], np.array(rows["decision"])
    assert len(set(pairs)) == len(pairs) == document["pairs_scored"]
    assert rows["score"] == sorted(rows["score"], reverse=True)
    assert slow_average_precision(rows["score"], is_true, len(truth)) == pytest.approx(document["ap"])
    links = [pair for pair, decided in zip(pairs, decision, strict=True) if decided == "match"]
    assert (
        len({a for a, _ in links}) == len({b for _, b in links}) == len(links) == document["output"]["links"]
    )
    found = sum(pair in truth for pair in links)
    assert document["output"]["precision"] == found / len(links)
    assert document["output"]["recall"] == found / len(truth)

    taken_a, taken_b, scores, true = set(), set(), [], []
    for (a, b), score, is_pair in zip(pairs, rows["score"], is_true, strict=True):
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            scores.append(score)
            true.append(is_pair)
    assert slow_best_f1(scores, true, len(truth)) == pytest.approx(document["best_f1"], abs=1e-3)
    assert slow_recall_at(scores, true, len(truth), "0.99") == pytest.approx(document["r_at_p99"], abs=3e-3)


def test_order_names_cases_and_other_columns_change_nothing(plain, tmp_path):
    order, tables = np.random.default_rng(0).permutation(300), {}
    for side in "ab":
        columns = TABLES[side].to_pydict()
        columns["city"] = [(value.upper() or None) for value in columns["city"]]
        columns["first"] = [value or "  " for value in columns["first"]]
        table = pa.table({"shoe_size": pa.array(range(300)), **columns})
        tables[side] = table.select(table.column_names[::-1]).take(order)
    tables["truth"] = PEOPLE.truth.take(np.arange(len(PEOPLE.truth))[::-1])
    document = figures(write_folder(tmp_path / "dob=1" / "usgen", **tables))
    assert untimed(document) == untimed(plain[0])
    assert "side a: columns ignored: shoe_size" in document["notes"]


def test_other_types_become_text(plain, tmp_path):
    tables = {}
    for side in "ab":
        columns = TABLES[side].to_pydict()
        columns["rid"] = [int(rid[1:]) for rid in columns["rid"]]
        columns["dob"] = [float(value) if value.isdigit() else np.nan for value in columns["dob"]]
        columns["sex"] = pa.array(columns["sex"]).dictionary_encode()
        columns["last"] = pa.array([value.encode() for value in columns["last"]], pa.large_binary())
        tables[side] = pa.table(columns)
    tables["truth"] = pa.table({k: [float(r[1:]) for r in v] for k, v in PEOPLE.truth.to_pydict().items()})
    folder = write_folder(tmp_path, **tables)
    document = figures(folder, "--links", str(folder / "links.parquet"))
    assert document["output"]["f1"] == pytest.approx(plain[0]["output"]["f1"], abs=0.02)
    assert pq.read_schema(folder / "links.parquet").field("rid_a").type == pa.int64()


@pytest.mark.parametrize(
    ("tables", "least_f1"),
    [
        (without("middle", "sex", "street", "city", "zip", "phone", "email"), 0.7),
        (without("dob"), 0.6),
        (without("first", "last"), 0.3),
        ({**blanked("a", "last"), **blanked("b", "zip")}, 0.6),
        (
            {**replaced("a", "sex", pa.nulls(300)), **replaced("b", "street", pa.array(["1 main st"] * 300))},
            0.8,
        ),
    ],
    ids=lambda value: "" if isinstance(value, float) else None,
)
def test_fields_may_be_missing_blank_or_constant(tmp_path, tables, least_f1):
    document = figures(write_folder(tmp_path, **tables))
    assert document["output"]["f1"] >= least_f1 or not document["output"]["reached"]
    assert document["best_f1"] >= least_f1


def test_pairs_of_the_truth_that_are_nobodys_or_doubled_are_left_out_and_told(tmp_path):
    more = pa.table({"rid_a": ["nobody", "a0", None], "rid_b": ["b0", "nobody", "b0"]})
    folder = write_folder(tmp_path, truth=pa.concat_tables([PEOPLE.truth, more, PEOPLE.truth]))
    sides = read_people_sides(folder, PROTOCOL)
    assert len(sides.truth[0]) == len(PEOPLE.truth) and sides.truth_left_out == 3 + len(PEOPLE.truth)
    assert sides.notes == (
        f"truth: {3 + len(PEOPLE.truth)} pairs left out: unknown ids, or the same pair again",
    )
    assert [sides.rids_a[int(row)].as_py() for row in sides.truth[0][:3]] == PEOPLE.truth[
        "rid_a"
    ].to_pylist()[:3]


def test_a_truth_that_is_not_one_to_one_is_told(tmp_path):
    rids_a, rids_b = PEOPLE.side_a["rid"].to_pylist(), PEOPLE.side_b["rid"].to_pylist()
    doubled = pa.table({"rid_a": [rids_a[0]] * 2, "rid_b": rids_b[:2]})
    sides = read_people_sides(write_folder(tmp_path, truth=doubled), PROTOCOL)
    assert len(sides.truth[0]) == 2 and sides.notes[0].startswith("truth: not one-to-one")


def test_a_few_people_are_enough_to_run(tmp_path):
    tables = {side: TABLES[side].slice(0, 1) for side in "ab"}
    document = figures(write_folder(tmp_path, **tables, truth=PEOPLE.truth.slice(0, 0)))
    assert document["records_a"] == 1
    assert document["true_pairs"] == document["ap"] == document["output"]["recall"] == 0


@pytest.mark.parametrize(
    ("tables", "code", "found"),
    [
        ({"a": PEOPLE.side_a.slice(0, 0)}, "E-INPUT", "no people on side a"),
        ({"a": PEOPLE.side_a.drop_columns(["rid"])}, "E-INPUT", "no column rid on side a"),
        ({"b": pa.concat_tables([PEOPLE.side_b] * 2)}, "E-INPUT", "300 repeated ids in rid of side b"),
        (replaced("a", "rid", pa.array([None] * 300, pa.string())), "E-INPUT", "300 rows without rid"),
        (replaced("a", "zip", pa.array([["4"]] * 300)), "E-INPUT", "column zip of side a of type list"),
        (replaced("a", "last", pa.array([b"\xff"] * 300)), "E-INPUT", "column last of side a of type binary"),
        ({"b": PEOPLE.side_b.append_column("given_name", PEOPLE.side_b["first"])}, "E-INPUT", "the field given_name"),
        ({"b": PEOPLE.side_b.append_column("zip", PEOPLE.side_b["zip"])}, "E-INPUT", "the column zip twice"),
        ({"truth": pa.table({"rid_a": ["x"], "rid_b": ["y"]})}, "E-INPUT", "a truth of which no pair is"),
        ({"truth": pa.table({"rid_a": ["x"]})}, "E-INPUT", "no column rid_b in the truth"),
        ({"a": PEOPLE.side_a.select(["rid", "sex"])}, "E-INPUT", "values on both sides in sex only"),
        ({"a": PEOPLE.side_a.select(["rid"])}, "E-INPUT", "values on both sides in no field only"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_evaluated_is_refused_with_a_code(tmp_path, capsys, tables, code, found):
    folder = write_folder(tmp_path, **tables)
    assert run(folder, "--keys", "1") == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"{code}: found {found}") and not (folder / "out.json").exists()


def test_files_and_arguments_that_are_not_there(tmp_path, capsys):
    folder = write_folder(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(folder), "--json", str(tmp_path / "nowhere" / "out.json")])
    assert ended.value.code == 1 and "E-OUTPUT" in capsys.readouterr().err
    assert run(folder, "--keys", "0") == 2
    assert run(folder, "--protocol", str(tmp_path / "none.toml")) == 1
    assert "E-SETTINGS" in capsys.readouterr().err
    (folder / "b.parquet").unlink()
    assert run(folder) == 1
    assert "E-INPUT: found no file" in capsys.readouterr().err
