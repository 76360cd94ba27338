"""Files for other software: inert CSV, CODI LINK_ID tables, FHIR patients, dbt sources. Zone: linkage_unit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
SURE_BAND = "0.95-1.00"

MemberRow = tuple[str, str, str]
"""Entity, custodian, record."""
PatientLink = tuple[str, str, str, str, str, str]
"""Custodian and record, the other custodian and record, decision, score band."""
ColumnRow = tuple[str, str, str, str]
"""Name and comment of a view, of its column."""


def unformulated(cell: str) -> str:
    """The cell, with an apostrophe in front where a spreadsheet would run it as a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def csv_line(cells: Sequence[str]) -> bytes:
    """One line of CSV in UTF-8; no cell starts a formula."""
    text = io.StringIO()
    # csv quotes a cell that holds a character of the line's end: with both of them neither can break the line.
    csv.writer(text, lineterminator="\r\n").writerow(unformulated(cell) for cell in cells)
    return text.getvalue().removesuffix("\r\n").encode() + b"\n"


def link_id_table(custodians: Sequence[str], members: Iterable[MemberRow]) -> Iterator[bytes]:
    """CODI's table: LINK_ID, and the record of each custodian, empty where it has none.

    Parameters
    ----------
    custodians : sequence of str
        The columns, in their order.
    members : iterable of MemberRow
        Ascending by entity; of each entity at most one record of a custodian.
    """
    yield csv_line(["LINK_ID", *custodians])
    for entity, rows in groupby(members, key=lambda row: row[0]):
        records = {custodian: record for _, custodian, record in rows}
        yield csv_line([entity, *(records.get(custodian, "") for custodian in custodians)])


def fhir_patients(project: str, links: Iterable[PatientLink]) -> Iterator[bytes]:
    """A FHIR R4 Patient for each linked record, one JSON object a line.

    ``link`` names the other records of the person (``seealso``), each with its match-grade: certain for a match of the
    best band, probable for another match, possible for a possible match. Links ascend by custodian and record, and
    each is there from both sides.
    """
    for (custodian, record), rows in groupby(links, key=lambda row: row[:2]):
        patient = {
            "resourceType": "Patient",
            "id": record,
            "identifier": [{"system": f"urn:nightlink:{project}:{custodian}", "value": record}],
            "link": [
                {
                    "extension": [{"url": MATCH_GRADE, "valueCode": match_grade(decision, band)}],
                    "other": {"reference": f"Patient/{other}"},
                    "type": "seealso",
                }
                for _, _, _, other, decision, band in rows
            ],
        }
        yield json.dumps(patient, separators=(",", ":")).encode() + b"\n"


def match_grade(decision: str, band: str) -> str:
    """FHIR's code for how likely a link is one."""
    if decision != "match":
        return "possible"
    return "certain" if band == SURE_BAND else "probable"


def dbt_sources(database: str, columns: Iterable[ColumnRow]) -> Iterator[bytes]:
    """dbt's sources.yml: every view and column with its comment; the runs' freshness is that of the warehouse.

    A warning after 26 hours without a publication, an error after 50: a night, and two hours of grace. Texts are JSON
    strings, which are YAML too.
    """
    yield b"version: 2\nsources:\n  - name: nightlink\n"
    yield f"    database: {json.dumps(database)}\n    schema: research\n    tables:\n".encode()
    for (view, comment), rows in groupby(columns, key=lambda row: row[:2]):
        yield f"      - name: {view}\n        description: {json.dumps(comment)}\n".encode()
        if view == "linkage_run_v1":
            yield b"        loaded_at_field: published_at\n        freshness:\n"
            yield b"          warn_after: {count: 26, period: hour}\n          error_after: {count: 50, period: hour}\n"
        yield b"        columns:\n"
        for _, _, column, told in rows:
            yield f"          - name: {column}\n            description: {json.dumps(told)}\n".encode()
