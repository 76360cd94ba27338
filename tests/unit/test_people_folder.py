"""A folder of people: what is taken, what is noted, what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.demo.source_data import PEOPLE_FIELDS, load_people
from linkage_core.errors import NightlinkError

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"
SIDE = {"rid": ["1", "2"], "first": ["ann", ""], "last": ["lee", "ray"], "dob": ["19800101", ""]}
TRUTH = {"rid_a": ["1"], "rid_b": ["2"]}


def write_folder(folder: Path, a: dict = SIDE, b: dict = SIDE, truth: dict = TRUTH) -> Path:
    for name, columns in (("a", a), ("b", b), ("truth", truth)):
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(NightlinkError) as caught:
        load_people(folder)
    assert caught.value.code == "E-INPUT"
    return caught.value.found


def test_fields_that_are_missing_are_noted_and_null(tmp_path):
    people = load_people(write_folder(tmp_path))
    assert people.hospital.column_names == ["rid", *PEOPLE_FIELDS]
    assert people.hospital["first"].to_pylist() == ["ann", None]
    assert people.pharmacy["phone"].to_pylist() == [None, None]
    assert people.notes[0] == "side a: fields without values: middle, sex, street, city, zip, phone, email"


def test_other_columns_are_ignored_with_a_note(tmp_path):
    people = load_people(write_folder(tmp_path, a={**SIDE, "shoe_size": ["9", "8"]}))
    assert "side a: columns ignored: shoe_size" in people.notes
    assert "shoe_size" not in people.hospital.column_names


def test_other_types_become_text(tmp_path):
    side = {**SIDE, "zip": [77379, 12345], "dob": pa.array([0, None], pa.date32())}
    people = load_people(write_folder(tmp_path, a=side))
    assert people.hospital["zip"].to_pylist() == ["77379", "12345"]
    assert people.hospital["dob"].to_pylist() == ["19700101", None]
    nested = refused(write_folder(tmp_path, a={**SIDE, "city": [["x"], ["y"]]}))
    assert "column city of side a" in nested


def test_the_repr_shows_no_person(tmp_path):
    assert "ann" not in repr(load_people(write_folder(tmp_path)))


@pytest.mark.parametrize("name", ["a", "b", "truth"])
def test_a_missing_or_unreadable_file_is_named(tmp_path, name):
    write_folder(tmp_path)
    path = tmp_path / f"{name}.parquet"
    path.write_text("no parquet")
    assert f"{name}.parquet, which cannot be read" in refused(tmp_path)
    path.unlink()
    assert refused(tmp_path).startswith("no file ")


@pytest.mark.parametrize("name", ["rid", "first", "last", "dob"])
def test_a_required_column_is_named(tmp_path, name):
    side = {key: values for key, values in SIDE.items() if key != name}
    assert refused(write_folder(tmp_path, b=side)) == f"no column {name} on side b"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"a": {**SIDE, "rid": ["1", "1"]}}, "1 repeated ids in rid of side a"),
        ({"b": {**SIDE, "rid": ["", "2"]}}, "1 rows without rid on side b"),
        ({"a": {key: pa.array([], pa.string()) for key in SIDE}}, "no people on side a"),
        ({"truth": {"rid_a": ["9"], "rid_b": ["2"]}}, "1 ids in rid_a of the truth that are nobody's"),
        ({"truth": {"rid_a": ["1"], "rid_b": [None]}}, "1 ids in rid_b of the truth that are nobody's"),
        ({"truth": {"rid_a": ["1", "1"], "rid_b": ["1", "2"]}}, "1 repeated ids in rid_a of the truth"),
        ({"truth": {"rid_a": ["1"]}}, "no column rid_b in the truth"),
    ],
)
def test_ids_must_be_unique_and_the_truth_about_them(tmp_path, change, found):
    assert refused(write_folder(tmp_path, **change)) == found


def test_a_truth_without_pairs_is_possible(tmp_path):
    empty = pa.array([], pa.string())
    assert load_people(write_folder(tmp_path, truth={"rid_a": empty, "rid_b": empty})).truth.num_rows == 0


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="reads the evaluation data in ../shared/data")
@pytest.mark.parametrize("name", ["pp_census20_census30", "usgen20k_min", "febrl4_part"])
def test_the_evaluation_sets_load(name):
    people = load_people(SHARED_DATA / name)
    assert people.truth.num_rows < people.hospital.num_rows
