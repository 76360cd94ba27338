"""A night of changes beside a full one: what the linkage unit's work costs when one record in a hundred changed.

Run: ``python -m tests.benchmarks.bench_incremental [--records 200000] [--changed 0.01] [--folder DIR] [--threads 2]``

Generated people are delivered whole, then edited (four in five of the edits change a record: another family name, given
name, street or birth date; one in ten removes, one in ten adds) and delivered as changes, by the custodians' own
stages. The linkage unit then works at three nights, each a process of its own: the full delivery, with nothing kept;
the changes, with what that night kept; and the same changes with nothing kept. Each runs from the exchange to the link
table as the flow does, and keeps what the flow keeps. The second and the third must end in the same link table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.benchmarks import bench_million
from tests.benchmarks.bench_million import _environment, _stage
from tests.reference import small_world
from tests.reference.small_world import CUSTODIANS, NIGHT, make_site, make_unit

SEED = 11
EDITED_COLUMNS = ("last", "first", "street", "dob")
NIGHTS = (NIGHT, NIGHT + timedelta(days=1))


def main() -> None:
    options = _options()
    if options.part:
        {"deliver": deliver_changes, "link": link}[options.part](options)
        return
    folder = Path(options.folder or Path(tempfile.gettempdir()) / f"nightlink-incremental-{options.records}")
    folder.mkdir(parents=True, exist_ok=True)
    options.folder = str(folder)
    bench_million.prepare(options)
    for side, custodian in enumerate(CUSTODIANS):
        if not list((folder / "exchange" / custodian / NIGHTS[1].isoformat()).glob("*/manifest.json")):
            _run(options, "deliver", "--side", str(side))
    shutil.rmtree(folder / "unit-state", ignore_errors=True)
    full = _linked(options, "full night, nothing kept", 0)
    kept = sum(path.stat().st_size for path in (folder / "unit-state").glob("*.kept")) >> 20
    changes = _linked(options, "night of changes", 1)
    shutil.rmtree(folder / "unit-state")
    scratch = _linked(options, "the same changes, nothing kept", 1)
    assert changes["digest"] == scratch["digest"], "a night of changes ends in other links"
    print(
        f"kept from night to night, sealed: {kept} MiB; the same link table both ways: {changes['digest'][:16]}"
    )
    for what in ("wall_s", "cpu_s"):
        unit = {"wall_s": "wall", "cpu_s": "CPU"}[what]
        print(
            f"{unit}: {changes[what]:.1f} s of {full[what]:.1f} s: {changes[what] / full[what]:.1%} of a full night"
        )


def deliver_changes(options: argparse.Namespace) -> None:
    """One side's edited people; the last delivery counts as received."""
    folder, custodian = Path(options.folder), CUSTODIANS[options.side]
    people = pq.read_table(folder / "people" / f"side_{'ab'[options.side]}.parquet")
    edited = edit_people(people, options.changed, np.random.default_rng([SEED, options.side]))
    site = make_site(folder, custodian)
    night = NIGHTS[1]
    with (
        small_world.night_folder(site.settings.state_folder) as work,
        patch("tasks.custodian.deliver.has_receipt", lambda *_: True),
    ):
        spool = small_world.fill_spool(work, small_world.raw_table(edited), bench_million.BATCH_ROWS)
        validated = small_world.validate_identifiers(spool, night, site, work)
        normalised = small_world.normalise_identifiers(validated, night, site, work)
        small_world.deliver_encodings(small_world.encode_identifiers(normalised, site, work), night, site)


def edit_people(people: pa.Table, share: float, generator: np.random.Generator) -> pa.Table:
    """Edit so many of the rows: a value of another row's in .8 of them, .1 gone, .1 new under another id."""
    rows = generator.permutation(len(people))[: round(len(people) * share)]
    changed, gone, copied = np.split(rows, [int(0.8 * len(rows)), int(0.9 * len(rows))])
    columns = {name: people[name].to_pylist() for name in people.column_names}
    for k, row in enumerate(changed.tolist()):
        values = columns[EDITED_COLUMNS[k % len(EDITED_COLUMNS)]]
        values[row] = values[int(generator.integers(len(people)))]
    table = pa.table({name: pa.array(values, people[name].type) for name, values in columns.items()})
    new = {name: [columns[name][row] for row in copied.tolist()] for name in columns}
    identity = people.column_names[0]
    new[identity] = [f"N{k:07d}" for k in range(len(copied))]
    new["first"] = [columns["first"][int(generator.integers(len(people)))] for _ in copied]
    stays = np.ones(len(people), np.bool_)
    stays[gone] = False
    added = pa.table({name: pa.array(values, people[name].type) for name, values in new.items()})
    return pa.concat_tables([table.filter(pa.array(stays)), added])


def link(options: argparse.Namespace) -> None:
    """Receive to link table, and what is kept for the next night; lines of JSON."""
    from tasks.linkage_unit.block import block_records
    from tasks.linkage_unit.keep import keep_compared_pairs
    from tasks.linkage_unit.linked_custodians import LinkedCustodians
    from tasks.linkage_unit.receive import receive_deliveries
    from tasks.linkage_unit.resolve import resolve_links
    from tasks.linkage_unit.run_chunks import one_chunk_process
    from tasks.linkage_unit.score import score_pairs
    from tasks.linkage_unit.work_folder import remove_work

    folder, night = Path(options.folder), NIGHTS[options.night]
    unit = make_unit(folder)
    unit = replace(unit, protocol=parse_protocol((folder / "protocol.toml").read_text()))
    unit.settings.state_folder.mkdir(exist_ok=True)
    with _stage("receive"):
        a, b = receive_deliveries(night, unit)
    with one_chunk_process():
        with _stage("block"):
            pairs = block_records(a, b, unit)
        with _stage("score"):
            scored = score_pairs(a, b, pairs, unit)
        with _stage("resolve"):
            links = resolve_links(a, b, pairs, scored, unit)
    with _stage("keep"):
        keep_compared_pairs([LinkedCustodians(a, b, pairs, scored, links)], unit)
    remove_work(unit.settings.state_folder)
    result = {
        "pairs": len(pairs),
        "links": len(links.table),
        "digest": bench_million.link_table_digest(links.table),
    }
    print(json.dumps({"result": result}), flush=True)


def _linked(options: argparse.Namespace, name: str, night: int) -> dict[str, float]:
    """One night in a process of its own; prints its stages, gives their sums and the result."""
    command = [*_command(options, "link"), "--night", str(night)]
    done = subprocess.run(command, env=_environment(options), stdout=subprocess.PIPE, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    stages = [line for line in told if "stage" in line]
    result = dict(next(line["result"] for line in told if "result" in line))
    print(f"\n{name}: {result['pairs']:,} pairs, {result['links']:,} links; load {os.getloadavg()[0]:.1f}")
    print("| stage | wall s | CPU s |\n|---|---|---|")
    for row in stages:
        print(f"| {row['stage']} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} |")
    for what in ("wall_s", "cpu_s"):
        result[what] = sum(row[what] for row in stages)
    print(f"| all | {result['wall_s']:.1f} | {result['cpu_s']:.1f} |", flush=True)
    return result


def _run(options: argparse.Namespace, part: str, *more: str) -> None:
    subprocess.run([*_command(options, part), *more], env=_environment(options), check=True)


def _command(options: argparse.Namespace, part: str) -> list[str]:
    told = ["--records", str(options.records), "--folder", options.folder, "--threads", str(options.threads)]
    module = "tests.benchmarks.bench_incremental"
    return [sys.executable, "-m", module, *told, "--changed", str(options.changed), "--part", part]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=200_000, help="people on each side")
    parser.add_argument("--changed", type=float, default=0.01, help="share of the records that is edited")
    parser.add_argument("--folder", help="people and deliveries; by default below the temporary folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=0.8, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=["deliver", "link"], help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--night", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
