"""A hospital, a pharmacy and a laboratory: three processes with a file each, a linkage unit, one night, commands alone.

What deployments/README.md says of adding a custodian is done here as it is said there: a name in the protocol, three
settings files, keys by `keygen`, `warehouse install`. No code knows how many there are.
"""

from __future__ import annotations

import csv
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pyarrow as pa
import pytest

from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from sql.servers import PostgresServer
from tests.reference.small_world import raw_table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOYED = CHECKOUT / "deployments"
CUSTODIANS = ("hospital", "pharmacy", "laboratory")
NIGHT = "2026-03-31"
PEOPLE, SAMPLES = 1000, 400
PLACEHOLDERS = ("PUBLIC-KEY", "TRANSFER-PUBLIC-KEY")
KEYS = {"site": "site.key", "signing": "signing.key", "transfer": "transfer.key"}


def nightlink(*arguments: object, **variables: object) -> str:
    """What the command said, on both outputs; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTLINK")}
    ended = subprocess.run(
        [sys.executable, "-m", "flows.command_line", *map(str, arguments)],
        cwd=CHECKOUT,
        env={**environment, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def public_part(told: str) -> str:
    return re.findall(r"\b[0-9a-f]{64}\b", told)[0]


@pytest.fixture
def warehouse() -> Iterator[tuple[PostgresServer, Path]]:
    """A server, and a folder that its user may pass."""
    folder = Path(tempfile.mkdtemp(prefix="nightlink-three-"))
    folder.chmod(0o711)
    server = PostgresServer.create(folder / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False)
    server.start()
    yield server, folder
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def three_registers() -> tuple[dict[str, pa.Table], int, int]:
    """Each custodian's people, how many of them are in hospital and pharmacy, and how many in all three."""
    people = generate_people(PeopleParameters(people_per_side=PEOPLE), seed=33)
    sampled = people.side_a.slice(0, SAMPLES)
    ids = pa.array([f"L{k}" for k in range(SAMPLES)])
    laboratory = sampled.set_column(sampled.column_names.index("rid"), "rid", ids)
    in_all = len(set(sampled["rid"].to_pylist()) & set(people.truth["rid_a"].to_pylist()))
    sides = (people.side_a, people.side_b, laboratory)
    return dict(zip(CUSTODIANS, map(raw_table, sides), strict=True)), people.truth.num_rows, in_all


def write_private(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def write_custodian(
    root: Path, name: str, people: pa.Table, linkage_key: Path, unit_keys: tuple[str, str]
) -> dict[str, str]:
    """A custodian's folder: a file of people, keys of its own, settings; the public parts of its keys."""
    folder = root / name
    (folder / "secrets").mkdir(mode=0o700, parents=True)
    shutil.copy(linkage_key, folder / "secrets" / "linkage.key")
    told = {
        role: nightlink("custodian", "keygen", "--role", role, "--out", folder / "secrets" / file)
        for role, file in KEYS.items()
    }
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(people.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in people.columns), strict=True))
    template = (DEPLOYED / "settings" / "clinic_files.toml").read_text(encoding="utf-8")
    template = re.sub(r"^columns = .*$", "", template, flags=re.MULTILINE)
    for old, new in (
        ('custodian = "hospital"', f'custodian = "{name}"'),
        ('"linkage_protocol.toml"', f'"{root / "protocol.toml"}"'),
        ('exchange = "exchange"', f'exchange = "{root / "exchange"}"'),
        ('"PUBLIC-KEY"', f'"{unit_keys[0]}"'),
        ('"UNIT-SIGNING-KEY"', f'"{unit_keys[1]}"'),
        ('"cp1252"', '"utf-8"'),
        ('delimiter = ";"', 'delimiter = ","'),
        ('["%d/%m/%Y"]', '["%Y%m%d"]'),
        ('phone_region = "GB"', 'phone_region = "US"'),
    ):
        assert old in template
        template = template.replace(old, new)
    write_private(folder / "settings.toml", template)
    return {role: public_part(told[role]) for role in ("signing", "transfer")}


def write_linkage_unit(
    folder: Path, root: Path, keys: dict[str, dict[str, str]], warehouse_url: Path
) -> Path:
    template = (DEPLOYED / "settings" / "linkage_unit.toml").read_text(encoding="utf-8")
    shutil.copy(warehouse_url, folder / "secrets" / "warehouse.url")
    for old, new in (
        ('"../linkage_protocol.toml"', f'"{root / "protocol.toml"}"'),
        ('"/srv/nightlink/exchange"', f'"{root / "exchange"}"'),
        *((f'\n{name} = "{word}"', "") for name in CUSTODIANS[:2] for word in PLACEHOLDERS),
    ):
        assert old in template
        template = template.replace(old, new)
    for entry, role in (("custodian_public_keys", "signing"), ("custodian_transfer_keys", "transfer")):
        listed = "\n".join(f'{name} = "{keys[name][role]}"' for name in CUSTODIANS)
        template = re.sub(rf"^\[{entry}\].*$", f"[{entry}]\n{listed}", template, flags=re.MULTILINE)
    return write_private(folder / "settings.toml", template)


def test_three_custodians_link_by_configuration_alone(warehouse) -> None:  # noqa: ANN001
    server, root = warehouse
    registers, in_two, in_all = three_registers()
    protocol = (DEPLOYED / "linkage_protocol.toml").read_text(encoding="utf-8")
    named = 'custodians = ["hospital", "pharmacy", "laboratory"]'
    (root / "protocol.toml").write_text(protocol.replace('custodians = ["hospital", "pharmacy"]', named))
    admin = write_private(root / "admin" / "admin.url", server.superuser_url() + "\n")
    nightlink(
        "warehouse", "install", "--admin-url-file", admin, "--secrets", root / "roles", "--database", "three",
        "--content", "laboratory=admission",
    )  # fmt: skip
    unit = root / "unit"
    (unit / "secrets").mkdir(mode=0o700, parents=True)
    encryption_key, signing_key = (
        public_part(
            nightlink("linkage-unit", "keygen", "--role", role, "--out", unit / "secrets" / f"{role}.key")
        )
        for role in ("encryption", "signing")
    )
    unit_keys = (encryption_key, signing_key)
    linkage_key = root / "agreed" / "linkage.key"
    linkage_key.parent.mkdir(mode=0o700)
    nightlink("custodian", "keygen", "--role", "linkage", "--out", linkage_key)
    keys = {name: write_custodian(root, name, registers[name], linkage_key, unit_keys) for name in CUSTODIANS}
    settings = write_linkage_unit(unit, root, keys, root / "roles" / "linkage_loader.url")
    for name in CUSTODIANS:
        nightlink("custodian", "deliver", "--settings", root / name / "settings.toml", "--as-of", NIGHT)
    told = nightlink("linkage-unit", "link", "--as-of", NIGHT, NIGHTLINK_LINKAGE_UNIT_SETTINGS=settings)
    assert told.count("candidate pairs: ") == 3 and "entities: " in told
    for name in CUSTODIANS:
        nightlink("custodian", "receipts", "--settings", root / name / "settings.toml")
        nightlink(
            "audit", "verify", "--url-file", root / "roles" / "auditor.url", "--linkage-unit-key", signing_key,
            "--from", root / name / "state" / "witness",
        )  # fmt: skip
    with psycopg2.connect(server.superuser_url("three")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT custodian_a, custodian_b, count(*) FROM linkage.link WHERE decision = 'match' GROUP BY 1, 2"
        )
        matches = {(a, b): count for a, b, count in cursor.fetchall()}
    expected = {
        ("hospital", "pharmacy"): in_two,
        ("hospital", "laboratory"): SAMPLES,
        ("pharmacy", "laboratory"): in_all,
    }
    assert matches.keys() == expected.keys()
    for two, count in expected.items():
        assert 0.9 * count < matches[two] < 1.03 * count, two
    researcher = (root / "roles" / "researcher.url").read_text().strip()
    with psycopg2.connect(researcher) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT members, count(*) FROM (SELECT count(*) AS members FROM research.entity_member_v1"
            " GROUP BY entity_id) AS of_entity GROUP BY 1"
        )
        by_size = dict(cursor.fetchall())
    assert set(by_size) <= {1, 2, 3} and 0.85 * in_all < by_size[3] < 1.03 * in_all
