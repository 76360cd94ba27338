"""The hospital loses its database and goes on with a file: the same people, the same links."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from tests.faults.night_world import NightWorld, _all_rows, source_superuser_url
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
FILE_SOURCE = """\
[source]
people_file = "people.csv"
encoding = "utf-16"
delimiter = ";"
columns = { source_id = "Patient Nr", birth_date = "Date of birth" }
deadline_s = 600

[source.format]"""


def _export(world: NightWorld) -> Path:
    """The hospital's people as a spreadsheet would write them, readable for the hospital alone."""
    statement = (ROOT / "sql" / "custodian" / "hospital" / "extract_identifiers.sql").read_text(
        encoding="utf-8"
    )
    declared = re.findall(r"^--\s*returns:(.*)$", statement, re.MULTILINE)
    columns = [name.strip() for name in ",".join(declared).split(",")]
    headers = {"source_id": "Patient Nr", "birth_date": "Date of birth"}
    path = world.folder("hospital") / "people.csv"
    with path.open("w", newline="", encoding="utf-16") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow([headers.get(name, name) for name in columns])
        writer.writerows(_all_rows(source_superuser_url(world.demo, "hospital"), statement))
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(0o600)
    return path


def test_a_night_from_a_file_gives_the_links_of_the_night_from_the_database(night_world: NightWorld) -> None:
    served, night = night_world.served_links(), night_world.next_night()
    settings = night_world.folder("hospital") / "settings.toml"
    text = settings.read_text(encoding="utf-8")
    source = re.search(r"\[source\].*?\[source\.format\]", text, re.DOTALL)
    content = re.search(r"^warehouse_content_url_file.*$", text, re.MULTILINE)
    assert source is not None and content is not None
    people = _export(night_world)
    try:
        with night_world.changed_file(settings, (source[0], FILE_SOURCE), (content[0], "")):
            delivered = night_world.run_party("hospital", night)
            assert delivered.process.returncode == 0, delivered.text
            assert "no content is configured" in delivered.text and "verdict: " in delivered.text
    finally:
        people.unlink()
    whole = night_world.run_night(
        night
    )  # the hospital finds its delivery; the pharmacy and the unit do the rest
    assert whole.process.returncode == 0, whole.text
    assert "already delivered" in whole.text
    assert night_world.served_links() == served
    assert_warehouse_whole(night_world)
