"""Null people and canary pairs: the same on both sides, hidden in the file, from a key."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.sealed_people import (
    Draws,
    OwnRecords,
    SealedPeople,
    canary_columns,
    mistype,
    null_columns,
    seal_people,
)
from linkage_core.custodian.source_format import CANONICAL_FORMAT, SourceFormat
from tests.reference.small_world import few_people, key, raw_table, shipped_protocol


def own_records(side: str = "a") -> pa.RecordBatch:
    people = few_people()
    table = raw_table(people.side_a if side == "a" else people.side_b)
    return normalise_batch(table.combine_chunks().to_batches()[0], shipped_protocol(), SourceFormat()).records


def placed(records: pa.RecordBatch) -> OwnRecords:
    return OwnRecords(records, np.arange(records.num_rows) / records.num_rows)


def sealed(custodian: str = "hospital", linkage: str = "linkage", nulls: int = 30) -> SealedPeople:
    return seal_people(
        placed(own_records()), shipped_protocol(), key(linkage), custodian=custodian,
        null_people=nulls, canary_pairs=60, household_share=0.5,
    )  # fmt: skip


def column(people: SealedPeople, name: str, canaries: bool = True) -> list[str | None]:
    values = people.records.column(name).to_pylist()
    return [v for v, c in zip(values, people.canaries, strict=True) if (c is not None) == canaries]


def test_the_same_key_and_night_give_the_same_canaries_everywhere() -> None:
    """A known answer: two custodians of different releases must draw the same people."""
    people = canary_columns(shipped_protocol(), 20, Draws(key("linkage")))
    assert hashlib.sha256(repr(people).encode()).hexdigest()[:16] == "26e8dd43c987671f"
    assert sealed().records.equals(sealed().records)


def test_canaries_are_one_person_with_errors_at_both_custodians() -> None:
    first, second = sealed("hospital"), sealed("pharmacy")
    assert [c for c in first.canaries if c is not None] == list(range(60))
    for name, least in (("given_name", 40), ("family_name", 40), ("birth_date", 50), ("sex", 50)):
        pairs = list(zip(column(first, name), column(second, name), strict=True))
        both = [pair for pair in pairs if None not in pair]
        assert least <= sum(a == b for a, b in both) and len(both) > 40
    texts = [
        (a, b) for n in ("given_name", "family_name", "phone")
        for a, b in zip(column(first, n), column(second, n), strict=True)
    ]  # fmt: skip
    assert any(a != b for a, b in texts)


def test_another_key_gives_other_people() -> None:
    people = [sealed(), sealed(linkage="another")]
    names = {tuple(column(p, "family_name") + column(p, "birth_date")) for p in people}
    ids = [set(p.records.column("source_id").to_pylist()) for p in people]
    assert len(names) == 2
    assert not ids[0] & ids[1]


def test_a_record_that_goes_changes_few_null_people() -> None:
    """So that a delivery of changes does not bring them all anew."""
    own = own_records()
    whole = placed(own)
    rest = np.delete(np.arange(own.num_rows), 40)
    without = OwnRecords(own.take(pa.array(rest)), whole.places[rest])
    made = [
        null_columns(records, shipped_protocol(), 100, 0.5, Draws(key("linkage")))
        for records in (whole, without)
    ]
    people = [list(zip(*columns.values(), strict=True)) for columns in made]
    same = sum(a == b for a, b in zip(*people, strict=True))
    assert 90 <= same < 100


def test_values_are_normal_and_as_common_as_the_custodians_own() -> None:
    """Nobody can be told by a spelling, or by a value that nobody else has."""
    people, own, protocol = sealed(), own_records(), shipped_protocol()
    normal = normalise_batch(people.records, protocol, CANONICAL_FORMAT).records
    assert normal.equals(people.records)
    for name in protocol.field_names:
        if name != "birth_date":
            assert set(column(people, name, canaries=False)) <= set(own.column(name).to_pylist())
    missing = column(people, "postcode").count(None) / 60
    share = own.column("postcode").null_count / own.num_rows
    assert abs(missing - share) < 0.15


def test_a_null_person_is_nobody_of_the_file() -> None:
    own = own_records()
    who = ("given_name", "family_name", "birth_date")
    real = set(zip(*(own.column(name).to_pylist() for name in who), strict=True))
    null = set(zip(*(column(sealed(nulls=100), name, canaries=False) for name in who), strict=True))
    assert len(null) > 90
    assert not {person for person in null if None not in person} & real


def test_no_null_people_are_made_of_two_records() -> None:
    columns = null_columns(
        placed(own_records().slice(0, 2)), shipped_protocol(), 10, 0.5, Draws(key("linkage"))
    )
    assert not any(columns.values())


def test_a_day_that_the_year_lacks_becomes_the_day_before() -> None:
    batch = pa.RecordBatch.from_pydict(
        {name: ["x"] * 4 for name in ("source_id", *shipped_protocol().field_names)}
        | {"birth_date": ["19800229", "19810229", None, "19830229"]}
    )
    columns = null_columns(placed(batch), shipped_protocol(), 40, 0.5, Draws(key("linkage")))
    assert set(columns["birth_date"]) <= {"19800229", "19810228", "19830228", None}


def test_a_slip_changes_one_letter_and_spares_a_single_one() -> None:
    assert mistype("anna", 0.3, 0.1) == "ana"
    assert mistype("anna", 0.0, 0.99) == "znna"
    assert mistype("a", 0.0, 0.99) == "a"
