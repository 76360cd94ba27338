"""Set the stage: three servers, two filled sources, the warehouse, the parties and their secrets."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.demo.own_servers import OwnServer
from deployments.demo.parties import (
    CustodianKeys,
    Party,
    choose_users,
    copy_protocol,
    draw_keys,
    make_exchange,
    make_party,
    write_custodian,
    write_linkage_unit,
    write_night,
    write_url,
)
from deployments.demo.source_data import (
    People,
    SourceFill,
    fill_hospital,
    fill_pharmacy,
    load_people,
    people_from_tables,
)
from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.evaluation.synthetic_care import Care, generate_care
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.protocol.transfer_keys import agreement_public_hex
from sql.custodian.source_creation import create_source
from sql.owned_databases import create_owned_database, drop_database
from sql.servers import PostgresServer
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse
from tasks.coordinator.settings import PartySettings

CUSTODIANS = ("hospital", "pharmacy")
SEED = 20_261
SECRETS_OF_OTHERS = {
    "custodian": ("linkage.key", "site.key", "signing.key", "transfer.key", "source.url"),
    "linkage_unit": ("encryption.key", "signing.key", "warehouse.url"),
}
"""What of a party's secrets the others' settings forbid them to be able to read."""
_SERVER_USER_NUMBERS = {"hospital": 61011, "pharmacy": 61012, "warehouse": 61013}
Announce = Callable[[str], None]
Server = PostgresServer | OwnServer


@dataclass(frozen=True, repr=False)
class DemoWorld:
    """Everything that the demo made, the truth included; only the demo holds all of it."""

    folder: Path
    people: People
    care: Care
    fills: dict[str, SourceFill]
    keys: dict[str, CustodianKeys]
    encryption_key: bytes
    unit_signing_key: bytes
    parties: dict[str, Party]
    servers: dict[str, Server]
    warehouse_urls: dict[str, str]
    prefect_database_url: str
    night_file: Path
    separation: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def party_names(self) -> tuple[str, ...]:
        """The parties that have a worker."""
        return (*CUSTODIANS, "linkage-unit")

    def party_settings(self, name: str) -> PartySettings:
        """How to start the party's process."""
        party = self.parties[name]
        zone = "custodian" if name in CUSTODIANS else "linkage_unit"
        return PartySettings(
            name=name.replace("-", "_"),
            zone=zone,
            settings_file=party.settings_file,
            home=party.home,
            user=party.user.number,
            groups=party.user.groups,
        )


def choose_people(folder: Path | None, count: int) -> People:
    """The people of a folder laid out like ../shared/data, else the project's own generator's."""
    if folder is not None:
        return load_people(folder)
    made = generate_people(PeopleParameters(people_per_side=count), SEED)
    return people_from_tables(made.side_a, made.side_b, made.truth)


def choose_night(people: People) -> date:
    """The night's date: 31 March 2026, or later where the people are of a later time than that.

    A birth after the night breaks a rule, as it should; a set of people simulated for 2030 needs a night of its
    own time. The newest 0.5% of the dates do not count: they are slips of the key.
    """
    dates = pc.drop_null(pa.chunked_array([*people.hospital["dob"].chunks, *people.pharmacy["dob"].chunks]))
    years = np.sort(
        pc.utf8_slice_codeunits(dates.filter(pc.match_substring_regex(dates, "^[12][0-9]{7}$")), 0, 4)
    )
    newest = int(years[int(0.995 * (len(years) - 1))]) if len(years) else 0
    return date(max(2026, newest + 1), 3, 31)


def set_stage(
    root: Path,
    people: People,
    as_of: date,
    stack: ExitStack,
    announce: Announce,
    own_servers: Mapping[str, OwnServer] = MappingProxyType({}),
) -> DemoWorld:
    """Build the world; the servers stop when ``stack`` closes."""
    (root / "logs").mkdir(mode=0o700)
    servers: dict[str, Server] = {
        name: own_servers.get(name) or _start_server(root, name, stack) for name in (*CUSTODIANS, "warehouse")
    }
    announce("PostgreSQL: " + ", ".join(f"{name} on port {server.port}" for name, server in servers.items()))
    users, separation = choose_users()
    announce(f"separation: {separation}")
    parties = {name: make_party(root, name, user) for name, user in users.items()}
    linkage_key, encryption_key, unit_signing_key = (secrets.token_bytes(32) for _ in range(3))
    care = generate_care(
        people.hospital["rid"].to_pylist(), people.pharmacy["rid"].to_pylist(), people.truth, as_of, SEED
    )
    source_urls, fills = _fill_sources(servers, people, care, stack)
    announce(
        ", ".join(
            f"{name}: {fill.people_rows:,} people, {fill.content_rows:,} rows of content"
            for name, fill in fills.items()
        )
    )
    warehouse_urls = _install_warehouse(servers["warehouse"], stack)
    prefect_url = _create_prefect_database(servers["warehouse"], stack)
    keys = {name: draw_keys(linkage_key) for name in CUSTODIANS}
    _write_parties(root, parties, keys, encryption_key, unit_signing_key, source_urls, warehouse_urls)
    for role in ("researcher", "auditor"):
        write_url(root / f"{role}.url", warehouse_urls[role])
    night_file = write_night(root, [parties[name] for name in CUSTODIANS], parties["linkage-unit"])
    return DemoWorld(
        root, people, care, fills, keys, encryption_key, unit_signing_key, parties, servers, warehouse_urls,
        prefect_url, night_file, separation,
    )  # fmt: skip


def _install_warehouse(server: Server, stack: ExitStack) -> dict[str, str]:
    roles, database = [*FIXED_ROLES, *map(content_role, CUSTODIANS)], _demo_database("warehouse")
    stack.callback(_drop_quietly, server, database)
    return install_warehouse(
        server.superuser_url(),
        database,
        {role: secrets.token_urlsafe(24) for role in roles},
        {"hospital": ["admission"], "pharmacy": ["dispensing"]},
        {"researcher": ["discharge_followup"]},
    )


def _create_prefect_database(server: Server, stack: ExitStack) -> str:
    database = _demo_database("prefect")
    stack.callback(_drop_quietly, server, database, database)
    return create_owned_database(server.superuser_url(), database, secrets.token_urlsafe(24))


def _demo_database(purpose: str) -> str:
    """A name that no other demo on the same server has."""
    return f"nightlink_demo_{purpose}_{secrets.token_hex(4)}"


def _drop_quietly(server: Server, database: str, role: str | None = None) -> None:
    # On an embedded server the data folder goes anyway; on a user's own, nothing of the demo is to stay.
    if isinstance(server, OwnServer):
        with suppress(NightlinkError):
            drop_database(server.superuser_url(), database, role)


def _start_server(root: Path, name: str, stack: ExitStack) -> PostgresServer:
    owner = _SERVER_USER_NUMBERS[name] if os.geteuid() == 0 else None
    server = PostgresServer.create(
        root / f"pg_{name}", superuser_password=secrets.token_urlsafe(24), owner=owner
    )
    stack.callback(server.stop)
    return server.start()


def _fill_sources(
    servers: dict[str, Server], people: People, care: Care, stack: ExitStack
) -> tuple[dict[str, str], dict[str, SourceFill]]:
    urls, fills = {}, {}
    for name in CUSTODIANS:
        password = secrets.token_urlsafe(24)
        database = _demo_database(name)
        stack.callback(_drop_quietly, servers[name], database)
        url = create_source(servers[name].superuser_url(), name, password, database=database)
        urls[name] = servers[name].url(f"{name}_extractor", password, database)
        if name == "hospital":
            fills[name] = fill_hospital(url, people.hospital, care.admissions)
        else:
            fills[name] = fill_pharmacy(url, people.pharmacy, care.dispensings)
    return urls, fills


def _write_parties(
    root: Path,
    parties: dict[str, Party],
    keys: dict[str, CustodianKeys],
    encryption_key: bytes,
    unit_signing_key: bytes,
    source_urls: dict[str, str],
    warehouse_urls: dict[str, str],
) -> None:
    custodians, unit = [parties[name] for name in CUSTODIANS], parties["linkage-unit"]
    protocol, exchange = copy_protocol(root), make_exchange(root, custodians, unit)
    separate = unit.user.number is not None
    secret_files = {
        name: [parties[name].folder / "secrets" / file for file in SECRETS_OF_OTHERS["custodian"]]
        for name in CUSTODIANS
    }
    units = [unit.folder / "secrets" / file for file in SECRETS_OF_OTHERS["linkage_unit"]]
    for party in custodians:
        others = [path for name, paths in secret_files.items() if name != party.name for path in paths]
        write_custodian(
            party,
            keys[party.name],
            protocol=protocol,
            exchange=exchange,
            source_url=source_urls[party.name],
            content_url=warehouse_urls[content_role(party.name)],
            linkage_unit_public_key=agreement_public_hex(encryption_key),
            linkage_unit_signing_key=public_key_hex(signing_key_from_seed(unit_signing_key)),
            must_not_read=[*others, *units] if separate else [],
        )
    write_linkage_unit(
        unit,
        encryption_key,
        unit_signing_key,
        keys,
        protocol=protocol,
        exchange=exchange,
        warehouse_url=warehouse_urls["linkage_loader"],
        must_not_read=[path for paths in secret_files.values() for path in paths] if separate else [],
    )
