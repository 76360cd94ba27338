"""Export: links and entities of a research project as files for other software. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.table_files import csv_line, dbt_sources, fhir_patients, link_id_table
from sql.engine import Connection, make_engine
from sql.warehouse.exports import research_snapshot, stream_rows
from tasks.protocol.output_files import whole_file
from tasks.protocol.settings_files import read_secret

DEADLINE_S = 3600.0
_PERSON_MAP = ["person_id", "source_person_id", "custodian", "record_pseudonym"]
_FACTS = ["domain_concept_id_1", "fact_id_1", "domain_concept_id_2", "fact_id_2", "relationship_concept_id"]


def _link_id(connection: Connection, project: str) -> Iterator[bytes]:
    custodians = [name for (name,) in stream_rows(connection, "custodians", project=project)]
    return link_id_table(custodians, stream_rows(connection, "members", project=project))  # type: ignore[arg-type]


def _fhir(connection: Connection, project: str) -> Iterator[bytes]:
    return fhir_patients(project, stream_rows(connection, "patient_links", project=project))  # type: ignore[arg-type]


def _person_map(connection: Connection, project: str) -> Iterator[bytes]:
    yield csv_line(_PERSON_MAP)
    yield from map(csv_line, stream_rows(connection, "omop_person_map", project=project))


def _fact_relationship(connection: Connection, project: str) -> Iterator[bytes]:
    yield csv_line(_FACTS)
    yield from map(csv_line, stream_rows(connection, "omop_fact_relationship", project=project))


def _dbt(connection: Connection, project: str) -> Iterator[bytes]:
    [(database,)] = stream_rows(connection, "database")
    return dbt_sources(database, stream_rows(connection, "columns"))  # type: ignore[arg-type]


FORMATS: dict[str, Callable[[Connection, str], Iterator[bytes]]] = {
    "link-id": _link_id,
    "fhir": _fhir,
    "omop-person-map": _person_map,
    "omop-fact-relationship": _fact_relationship,
    "dbt-sources": _dbt,
}


def export_file(url_file: Path, project: str, file_format: str, out: Path) -> int:
    """Write one file, whole or not at all, readable for its owner alone; returns its bytes.

    Raises
    ------
    NightlinkError
        E-INPUT for an unknown format; E-OUTPUT; E-WH-UNAVAILABLE; E-WH-SCHEMA for a role that may not read.
    """
    if file_format not in FORMATS:
        raise NightlinkError(
            "E-INPUT",
            found="an unknown format",
            expected=f"one of {', '.join(FORMATS)}",
            remedy="Correct the format.",
        )
    engine = make_engine(read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink-export")
    with whole_file(out) as file, research_snapshot(engine) as connection:
        for line in FORMATS[file_format](connection, project):
            file.write(line)
    return file.bytes
