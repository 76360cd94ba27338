"""The two sources as the demo makes them: one set of people in two systems' notations."""

from __future__ import annotations

from datetime import date

import psycopg2
import pyarrow as pa
import pytest

from deployments.demo.source_data import fill_hospital, fill_pharmacy
from linkage_core.errors import NightlinkError
from sql.custodian.source import read_extract, source_snapshot, stream_rows
from sql.custodian.source_creation import create_source, extractor_role, fill_tables

PEOPLE = pa.table(
    {
        "rid": ["r1", "r2", "r3", "r4"],
        "first": ["mary-jane", "o\"neil, 'x'\n\\.", "", "zoë"],
        "middle": ["q", "", "", ""],
        "last": ["o'shea", "van der berg", "sr|th", "NULL"],
        "dob": ["19800229", "19800230", "198001", ""],
        "sex": ["female", "M", "?", ""],
        "street": ["12 high st", "", "", ""],
        "zip": ["77379", "773790", "", "ab1 2cd"],
        "phone": ["5551234567", "555-123-4568", "12", ""],
        "email": ["mj@example.org", "", "", ""],
    }
)
DAY = date(2026, 3, 1)


def content(person_id: str, **columns: object) -> pa.Table:
    return pa.table({"person_id": [person_id], **{name: [value] for name, value in columns.items()}})


ADMISSIONS = content("r1", admitted=DAY, discharged=None, diagnosis_code="I21.0")
DISPENSINGS = content("r2", dispensed=DAY, atc_code="C10AA05", quantity=2)


@pytest.fixture
def source(postgres_server):
    """Factory ``source(custodian) -> (superuser's URL, function that extracts a statement's rows)``."""

    def make(custodian: str):
        database = f"{custodian}_data"
        url = create_source(postgres_server.superuser_url(), custodian, "reader", database=database)

        def extract(statement: str) -> list[dict]:
            reader = postgres_server.url(extractor_role(custodian), "reader", database)
            with source_snapshot(reader, 20) as snapshot:
                batches = list(stream_rows(snapshot, read_extract(custodian, statement), 2))
            return [row for batch in batches for row in batch.to_pylist()]

        return url, extract

    return make


def by_person(fill, rows: list[dict]) -> dict[str, dict]:
    owner = {source_id: rid for rid, source_id in fill.source_ids.items()}
    return {owner[row["source_id"]]: row for row in rows if row["source_id"] in owner}


def test_the_hospital_holds_people_as_its_desk_types_them(source):
    url, extract = source("hospital")
    fill = fill_hospital(url, PEOPLE, ADMISSIONS)
    rows = by_person(fill, extract("extract_identifiers"))
    first = rows["r1"]
    assert first["given_name"] in ("Mary-Jane", "MARY-JANE", "mary-jane")
    assert first["family_name"].lower() == "o'shea"
    assert first["birth_date"] == "1980-02-29" and first["sex"] == "F"
    assert first["phone"] == "(555) 123-4567" and first["postcode"] == "77379"
    assert rows["r2"]["given_name"].lower() == "o\"neil, 'x'\n\\."
    assert [rows[rid]["birth_date"] for rid in ("r2", "r3", "r4")] == [None, None, None]
    assert rows["r3"]["sex"] == "?" and rows["r3"]["phone"] == "12" and rows["r3"]["given_name"] is None
    assert rows["r4"]["family_name"].upper() == "NULL" and rows["r4"]["city"] is None
    assert (fill.people_rows, fill.content_rows, fill.impossible_dates) == (4, 1, 2)
    assert extract("extract_admissions") == [
        {"source_id": fill.source_ids["r1"], "admitted": "2026-03-01", "discharged": None}
        | {"diagnosis_code": "I21.0"}
    ]


def test_the_pharmacy_holds_them_in_capitals_dates_as_typed_and_codes_of_its_own(source):
    url, extract = source("pharmacy")
    fill = fill_pharmacy(url, PEOPLE, DISPENSINGS)
    rows = by_person(fill, extract("extract_identifiers"))
    assert rows["r1"]["given_name"] == "MARY-JANE" and rows["r1"]["email"] == "MJ@EXAMPLE.ORG"
    assert rows["r1"]["phone"] == "555.123.4567" and rows["r1"]["street"] == "12 HIGH ST"
    assert [rows[rid]["birth_date"] for rid in ("r1", "r2", "r3", "r4")] == [
        "29/02/1980", "30/02/1980", "198001", None,
    ]  # fmt: skip
    assert [rows[rid]["sex"] for rid in ("r1", "r2", "r3", "r4")] == ["2", "1", "?", None]
    assert rows["r4"]["given_name"] == "ZOË" and rows["r4"]["postcode"] == "AB1 2CD"
    assert extract("extract_dispensings") == [
        {"source_id": fill.source_ids["r2"], "dispensed": "2026-03-01"}
        | {"atc_code": "C10AA05", "quantity": "2"}
    ]


def test_ids_are_the_sources_own_in_a_shuffled_order(source):
    many = pa.table(
        {name: [f"{name}{n}" for n in range(300)] for name in ("rid", "first", "last")}
        | {"dob": ["19800101"] * 300}
    )
    hospital, _ = source("hospital")
    pharmacy, _ = source("pharmacy")
    there = fill_hospital(hospital, many, ADMISSIONS.slice(0, 0)).source_ids
    here = fill_pharmacy(pharmacy, many, DISPENSINGS.slice(0, 0)).source_ids
    assert sorted(there.values()) == [f"H{n:07d}" for n in range(1, 301)]
    assert sorted(here.values()) == [f"P-{n:08d}" for n in range(1, 301)]
    orders = [list(there.values()), sorted(there.values()), ["H" + each[3:] for each in here.values()]]
    assert len({tuple(order) for order in orders}) == 3


def test_planted_rows_arrive_verbatim(source):
    url, extract = source("pharmacy")
    planted = [
        {
            "cust_no": "P-BIG",
            "forename": "x" * 1_000_000,
            "surname": "\u202eRTL\ufeff 👩‍👧",
            "dob": "30/02/2001",
        },
        {"cust_no": "P-EMPTY", "forename": "", "surname": None},
    ]
    fill_pharmacy(url, PEOPLE, DISPENSINGS, plant_rows=planted)
    rows = {row["source_id"]: row for row in extract("extract_identifiers")}
    assert rows["P-BIG"]["given_name"] == "x" * 1_000_000
    assert rows["P-BIG"]["family_name"] == "\u202eRTL\ufeff 👩‍👧"
    assert rows["P-BIG"]["birth_date"] == "30/02/2001"
    assert rows["P-EMPTY"]["given_name"] == "" and rows["P-EMPTY"]["family_name"] is None
    with pytest.raises(NightlinkError, match=r"unknown columns \(given_name\)"):
        fill_pharmacy(url, PEOPLE, DISPENSINGS, plant_rows=[{"cust_no": "P-X", "given_name": "y"}])


def test_a_row_that_the_table_refuses_is_not_quoted_and_nothing_stays(source):
    url, extract = source("hospital")
    with pytest.raises(NightlinkError) as caught:
        fill_hospital(
            url, PEOPLE, ADMISSIONS, plant_rows=[{"patient_id": "H9", "birth_date": "Quetzalcoatlus"}]
        )
    assert caught.value.code == "E-INTERNAL" and "22007" in str(caught.value)
    assert "Quetzalcoatlus" not in str(caught.value)
    assert extract("extract_identifiers") == []


def test_content_of_nobody_is_refused(source):
    url, _ = source("hospital")
    with pytest.raises(NightlinkError, match="1 rows of content of nobody"):
        fill_hospital(url, PEOPLE, content("r9", admitted=DAY, discharged=DAY, diagnosis_code="X"))


def test_only_a_database_of_ours_is_made_anew(source, fresh_database, postgres_server):
    url, _ = source("hospital")
    fill_hospital(url, PEOPLE, ADMISSIONS)
    _, extract = source("hospital")
    assert extract("extract_identifiers") == []
    real = fresh_database("real").rsplit("/", 1)[1]
    with pytest.raises(NightlinkError, match="that the demo did not make"):
        create_source(postgres_server.superuser_url(), "hospital", "reader", database=real)


def test_every_column_of_a_source_is_described(source):
    for custodian in ("hospital", "pharmacy"):
        url, _ = source(custodian)
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
                " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0"
                " AND col_description(attrelid, attnum) IS NULL"
            )
            undescribed = cursor.fetchall()
        connection.close()
        assert undescribed == []


def test_the_extractors_password_travels_as_a_verifier(source, postgres_server):
    source("hospital")
    connection = psycopg2.connect(postgres_server.superuser_url())
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'hospital_extractor'")
        [(stored,)] = cursor.fetchall()
    connection.close()
    assert stored.startswith("SCRAM-SHA-256$")


def test_a_table_without_its_column_is_a_schema_error(source):
    url, _ = source("hospital")
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA"):
        fill_tables(url, {"patient": pa.table({"fax": ["1"]})})
