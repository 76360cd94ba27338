"""Counts, column types and order of a normalised batch; no value in its representation."""

import pyarrow as pa
import pytest

from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import CANONICAL_FORMAT, SourceFormat
from linkage_core.custodian.text_columns import raw_batch, readable
from linkage_core.errors import NightlinkError
from tests.golden.make_encoder_vectors import PROTOCOL


def test_counts_of_changed_missing_and_emptied_values() -> None:
    batch = raw_batch(
        {
            "source_id": ["1", "2", "3", "4", "5"],
            "given_name": ["Ann", "ann", "Ann", None, "unknown"],
            "birth_date": ["04/03/1958", "", " ", "01/01/1900", "30/02/1958"],
        }
    )
    normalised = normalise_batch(batch, PROTOCOL, SourceFormat(date_formats=("%d/%m/%Y",)))
    assert normalised.records.column("given_name").to_pylist() == ["ann", "ann", "ann", None, None]
    assert normalised.records.column("birth_date").to_pylist() == ["19580304", None, None, None, None]
    for counts, given, birth, phone in (
        (normalised.changed, 2, 1, 0),
        (normalised.missing, 2, 4, 5),
        (normalised.emptied, 1, 2, 0),
    ):
        assert (counts["given_name"], counts["birth_date"], counts["phone"]) == (given, birth, phone)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_every_type_of_text_column_gives_the_same(kind: pa.DataType) -> None:
    batch = pa.RecordBatch.from_pydict(
        {"source_id": pa.array(["b", "a"], kind), "sex": pa.array(["F", None], kind)}
    )
    records = normalise_batch(batch, PROTOCOL, CANONICAL_FORMAT).records
    assert records.column("source_id").to_pylist() == ["b", "a"]
    assert records.column("sex").to_pylist() == ["f", None]
    assert set(records.schema.types) == {pa.utf8()}


def test_a_batch_of_no_rows_and_a_batch_of_nulls() -> None:
    assert normalise_batch(raw_batch({"source_id": []}), PROTOCOL, CANONICAL_FORMAT).records.num_rows == 0
    nulls = pa.RecordBatch.from_pydict(
        {"source_id": ["1"], "sex": pa.nulls(1), "city": pa.nulls(1, pa.utf8())}
    )
    assert normalise_batch(nulls, PROTOCOL, CANONICAL_FORMAT).missing["sex"] == 1


def test_a_slice_is_normalised_as_itself() -> None:
    batch = raw_batch({"source_id": ["1", "2", "3"], "given_name": ["Ann", "Lee", "Kim"]})
    records = normalise_batch(batch.slice(1, 1), PROTOCOL, CANONICAL_FORMAT).records
    assert records.select(["source_id", "given_name"]).to_pylist() == [
        {"source_id": "2", "given_name": "lee"}
    ]


def test_a_column_of_numbers_is_refused() -> None:
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA.*postcode"):
        normalise_batch(
            pa.RecordBatch.from_pydict({"source_id": ["1"], "postcode": [12345]}), PROTOCOL, CANONICAL_FORMAT
        )


def test_no_value_shows_in_a_representation() -> None:
    batch = raw_batch({"source_id": ["beeblebrox"], "given_name": ["zaphod"]})
    shown = repr(normalise_batch(batch, PROTOCOL, CANONICAL_FORMAT))
    assert "zaphod" not in shown and "beeblebrox" not in shown


def test_a_batch_is_made_readable_whatever_its_bytes() -> None:
    bad = pa.array([b"a\xff", None, b"b"], pa.binary())
    as_utf8 = pa.StringArray.from_buffers(3, bad.buffers()[1], bad.buffers()[2], bad.buffers()[0])
    for column in (bad, as_utf8, bad.cast(pa.large_binary())):
        found = readable(pa.RecordBatch.from_arrays([column], names=["f"]))
        assert found.column("f").to_pylist() == ["a\ufffd", None, "b"] and found.schema.types == [pa.utf8()]
