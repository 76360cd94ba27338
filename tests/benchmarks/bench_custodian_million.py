"""A custodian's whole night at scale: seconds by stage and peak memory of the real flow, in a process of its own.

`python -m tests.benchmarks.bench_custodian_million [--people N] [--cores N] [--work FOLDER]`. People of the
project's generator go by COPY into an embedded PostgreSQL; then `nightlink custodian deliver` runs as it does at
night, with the shipped protocol and settings: read, validated (great-expectations too), normalised, encoded,
signed and written to an exchange on disk. A small night before it compiles the kernels, which a custodian does
once for each version of the code. A script, not a timed test.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deployments.demo.parties import (
    SystemUser,
    copy_protocol,
    draw_keys,
    make_party,
    write_custodian,
)
from deployments.demo.source_data import fill_hospital
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.protocol.transfer_keys import agreement_public_hex
from sql.custodian.source_creation import create_source
from sql.servers import PostgresServer
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse
from tasks.coordinator.party_processes import party_environment
from tasks.coordinator.settings import PartySettings

SEED = 20_261
NIGHT = "2026-03-31"
SMALL_NIGHT_PEOPLE = 2_000
PEOPLE_A_POSTCODE = 8_000
_FINISHED = re.compile(r"(.+) finished in ([0-9.]+) s, ([0-9.]+) s of CPU, peak ([0-9]+) MiB")
_ADMISSIONS = pa.schema(
    [(name, pa.string()) for name in ("person_id", "admitted", "discharged", "diagnosis_code")]
)


@dataclass(frozen=True)
class Night:
    """What one run of the custodian's command took."""

    stages: list[tuple[str, float, float, int]]
    wall_s: float
    user_s: float
    system_s: float
    peak_mib: int
    delivered_bytes: int


def make_people(count: int, folder: Path) -> pa.Table:
    """One side of the generator's people; kept in the folder, since a million take half a minute to make."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"people-{count}.parquet"
    if not file.exists():
        postcodes = max(3, count // PEOPLE_A_POSTCODE)
        parameters = PeopleParameters(people_per_side=count, overlap_share=1.0, postcodes=postcodes)
        pq.write_table(generate_people(parameters, SEED).side_a, file)
    return pq.read_table(file)


@contextmanager
def custodian_world(people: pa.Table) -> Iterator[PartySettings]:
    """A server with a filled source and a warehouse for content, and the hospital's own folder."""
    root = Path(tempfile.mkdtemp(prefix="nightlink-bench-"))
    root.chmod(0o711)
    server = PostgresServer.create(root / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False)
    try:
        server.start()
        password, roles = secrets.token_urlsafe(16), [*FIXED_ROLES, content_role("hospital")]
        url = create_source(server.superuser_url(), "hospital", password, database="hospital")
        fill_hospital(url, people, _ADMISSIONS.empty_table())
        warehouse = install_warehouse(
            server.superuser_url(),
            "warehouse",
            {role: secrets.token_urlsafe(16) for role in roles},
            {"hospital": ["admission"]},
            {},
        )
        party = make_party(root, "hospital", SystemUser(None))
        (root / "exchange" / "hospital").mkdir(parents=True)
        write_custodian(
            party,
            draw_keys(secrets.token_bytes(32)),
            protocol=copy_protocol(root),
            exchange=root / "exchange",
            source_url=server.url("hospital_extractor", password, "hospital"),
            content_url=warehouse[content_role("hospital")],
            linkage_unit_public_key=agreement_public_hex(secrets.token_bytes(32)),
            linkage_unit_signing_key=secrets.token_hex(32),
            must_not_read=[],
        )
        yield PartySettings(
            name="hospital", zone="custodian", settings_file=party.settings_file, home=party.home
        )
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def run_night(party: PartySettings, numba_cache: Path, cores: int) -> Night:
    """`nightlink custodian deliver`, in a process of its own on so many cores."""
    environment = {**party_environment(party), "NUMBA_CACHE_DIR": str(numba_cache)}
    command = [sys.executable, "-m", "flows.command_line", "custodian", "deliver", "--as-of", NIGHT]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, range(cores))), *command],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"bench_custodian_million: the night failed\n{done.stdout}{done.stderr}")
    found = [match for line in done.stderr.splitlines() if (match := _FINISHED.search(line))]
    exchange = party.settings_file.parents[1] / "exchange"
    return Night(
        [(match[1], float(match[2]), float(match[3]), int(match[4])) for match in found],
        wall,
        after.ru_utime - before.ru_utime,
        after.ru_stime - before.ru_stime,
        max(int(match[4]) for match in found),
        sum(file.stat().st_size for file in exchange.rglob("*") if file.is_file()),
    )


def report(count: int, cores: int, night: Night) -> None:
    print(f"{count:,} people, {cores} cores, load of the machine {os.getloadavg()[0]:.1f}")
    for name, seconds, cpu, peak in night.stages:
        print(f"  {name:28} {seconds:7.2f} s, CPU {cpu:7.2f} s, peak so far {peak:5d} MiB")
    print(f"  {'whole command':28} {night.wall_s:7.2f} s wall (target 60 for a million on two cores)")
    print(f"  {'CPU':28} {night.user_s:7.2f} s user, {night.system_s:.2f} s system (PostgreSQL's own apart)")
    print(f"  {'peak memory':28} {night.peak_mib:7d} MiB (target below 1024)")
    print(f"  {'delivered':28} {night.delivered_bytes / 2**20:7.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()), help="where made people are kept"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightlink-bench-numba-") as cache:
        with custodian_world(make_people(SMALL_NIGHT_PEOPLE, asked.work)) as party:
            run_night(party, Path(cache), asked.cores)
        with custodian_world(make_people(asked.people, asked.work)) as party:
            report(asked.people, asked.cores, run_night(party, Path(cache), asked.cores))


if __name__ == "__main__":
    main()
