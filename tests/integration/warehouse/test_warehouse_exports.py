"""Exports of a research project, read back as other software would read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.linkage_unit.export import FORMATS, export_file
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, link


@pytest.fixture(scope="module")
def exported(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, list, Path]:
    nights = Nights(warehouse, "exported")
    rows = [link("match", "0.95-1.00"), link("match", "0.85-0.90"), link("possible_match", "0.75-0.80")]
    nights.night("n1", rows)
    folder = tmp_path_factory.mktemp("exports")
    url_file = folder / "researcher.url"
    url_file.write_text(warehouse.urls["researcher"])
    url_file.chmod(0o600)
    for name in FORMATS:
        assert export_file(url_file, "exported", name, folder / name) == (folder / name).stat().st_size
    return warehouse, rows, folder


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_link_id_has_the_records_of_each_person(exported: tuple[Warehouse, list, Path]) -> None:
    warehouse, rows, folder = exported
    header, *lines = table(folder / "link-id")
    assert header == ["LINK_ID", "hospital", "pharmacy"]
    assert sorted(line[1:] for line in lines) == sorted(warehouse.outside(*row[:2]) for row in rows[:2])


def test_fhir_has_a_patient_for_each_record(exported: tuple[Warehouse, list, Path]) -> None:
    warehouse, rows, folder = exported
    patients = {p["id"]: p for p in map(json.loads, (folder / "fhir").read_text().splitlines())}
    assert len(patients) == 6
    for row, grade in zip(rows, ("certain", "probable", "possible"), strict=True):
        a, b = warehouse.outside(*row[:2])
        for record, other in ((a, b), (b, a)):
            [told] = patients[record]["link"]
            assert told["other"]["reference"] == f"Patient/{other}"
            assert told["extension"][0]["valueCode"] == grade


def test_omop_joins_its_two_tables(exported: tuple[Warehouse, list, Path]) -> None:
    warehouse, rows, folder = exported
    header, *people = table(folder / "omop-person-map")
    assert header == ["person_id", "source_person_id", "custodian", "record_pseudonym"]
    record_of = {line[1]: line[3] for line in people}
    person_of = {line[1]: line[0] for line in people}
    assert len(record_of) == 4
    assert all(0 <= int(number) < 2**63 for line in people for number in line[:2])
    _, *facts = table(folder / "omop-fact-relationship")
    pairs = {(record_of[fact[1]], record_of[fact[3]]) for fact in facts}
    both = [tuple(warehouse.outside(*row[:2])) for row in rows[:2]]
    assert pairs == {*both, *((b, a) for a, b in both)}
    assert all(person_of[fact[1]] == person_of[fact[3]] for fact in facts)
    assert {(fact[0], fact[2], fact[4]) for fact in facts} == {("56", "56", "0")}


def test_dbt_knows_every_view_and_column_and_when_the_data_are_old(
    exported: tuple[Warehouse, list, Path],
) -> None:
    yaml = pytest.importorskip("yaml")
    warehouse, _, folder = exported
    [source] = yaml.safe_load((folder / "dbt-sources").read_text())["sources"]
    told = {t["name"]: [c["name"] for c in t["columns"]] for t in source["tables"]}
    columns = warehouse.as_superuser(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'research'::regnamespace AND c.relkind = 'v' GROUP BY c.relname"
    )
    assert told == dict(columns)
    runs = next(t for t in source["tables"] if t["name"] == "linkage_run_v1")
    assert runs["loaded_at_field"] in told["linkage_run_v1"]
    assert runs["freshness"]["warn_after"] == {"count": 26, "period": "hour"}
    assert all(c["description"] for t in source["tables"] for c in t["columns"])


def test_another_format_is_refused(exported: tuple[Warehouse, list, Path]) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*format"):
        export_file(exported[2] / "researcher.url", "exported", "xlsx", exported[2] / "none")
    assert not (exported[2] / "none").exists()


def test_a_project_that_is_not_seen_gives_headers_alone(exported: tuple[Warehouse, list, Path]) -> None:
    out = exported[2] / "unseen"
    export_file(exported[2] / "researcher.url", "never_admitted", "omop-person-map", out)
    assert len(table(out)) == 1
