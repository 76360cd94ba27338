"""Files for other software: no cell is run, and each line is what the other software reads."""

from __future__ import annotations

import csv
import io
import json

import pytest

from linkage_core.linkage_unit.table_files import csv_line, fhir_patients, link_id_table, match_grade


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_no_cell_starts_a_formula(start: str) -> None:
    cell = f"{start}cmd|' /C calc'!A0"
    [read] = next(csv.reader(io.StringIO(csv_line([cell]).decode(), newline="")))
    assert read == f"'{cell}"
    assert csv_line([f"a{start}b"]).decode().lstrip('"').startswith("a")


def test_a_line_for_each_entity_with_a_column_a_custodian() -> None:
    members = [("e1", "hospital", "h1"), ("e1", "=pharmacy", "p1"), ("e2", "=pharmacy", "p2")]
    lines = b"".join(link_id_table(["hospital", "=pharmacy"], members)).decode()
    assert lines == "LINK_ID,hospital,'=pharmacy\ne1,h1,p1\ne2,,p2\n"


def test_a_patient_names_the_others_with_their_grade() -> None:
    links = [
        ("hospital", "h1", "laboratory", "l1", "possible_match", "0.75-0.80"),
        ("hospital", "h1", "pharmacy", "p1", "match", "0.95-1.00"),
        ("pharmacy", "p1", "hospital", "h1", "match", "0.95-1.00"),
    ]
    first, second = [json.loads(line) for line in fhir_patients("project", links)]
    assert (first["resourceType"], first["id"]) == ("Patient", "h1")
    assert first["identifier"] == [{"system": "urn:nightlink:project:hospital", "value": "h1"}]
    assert [(link["other"]["reference"], link["type"]) for link in first["link"]] == [
        ("Patient/l1", "seealso"),
        ("Patient/p1", "seealso"),
    ]
    assert [link["extension"][0]["valueCode"] for link in first["link"]] == ["possible", "certain"]
    assert second["link"][0]["other"] == {"reference": "Patient/h1"}
    assert match_grade("match", "0.85-0.90") == "probable"
