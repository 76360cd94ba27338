"""The linkage unit's night at scale: from deliveries on disk to links on disk, stage by stage.

Run: ``python -m tests.benchmarks.bench_million [--records 1000000] [--folder DIR] [--threads 2] [--join]``

Generated people are delivered through the custodians' own stages first, in processes of their own; what lies in DIR
already is used again. Then receive, block, score and resolve run as the flow runs them, kernels in the child process,
and the links go to a Parquet file. Wall and CPU time are of each stage; memory is sampled over the linkage unit's
processes together, five times a second: what they hold of their own, and that with the mapped pages of columns and
chunks, which the system may drop at any time. ``--join`` runs the exact threshold join of all with all as well, on
the first filter of the deliveries.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.linkage_unit.link_decisions import Decision
from linkage_core.linkage_unit.link_table import LinkTable, link_table_digest
from linkage_core.linkage_unit.threshold_join import stream_similar_pairs
from linkage_core.protocol.linkage_protocol import parse_protocol
from tests.reference import small_world
from tests.reference.small_world import CUSTODIANS, NIGHT, make_site, make_unit

BATCH_ROWS = 50_000
SEED = 7
SAMPLE_S = 0.2
MIB = 1 << 20
STAGES = ("receive", "block", "score", "resolve", "write")


def main() -> None:
    options = _options()
    if options.part:
        {"people": make_people, "deliver": deliver, "link": link, "join": join}[options.part](options)
        return
    folder = Path(options.folder or Path(tempfile.gettempdir()) / f"nightlink-million-{options.records}")
    folder.mkdir(parents=True, exist_ok=True)
    options.folder = str(folder)
    prepare(options)
    rows, result = measured(options, "link")
    print_table(options, rows, result)
    if options.join:
        rows, result = measured(options, "join")
        print(
            f"exact threshold join at {options.threshold}: {result['pairs']:,} pairs in {result['wall_s']:.0f} s wall,"
            f" {result['cpu_s']:.0f} s CPU: {result['rate']:.0f} M pairs/s of CPU; {options.threads} threads"
        )


def prepare(options: argparse.Namespace) -> None:
    """People and both deliveries, where they are not there yet."""
    folder = Path(options.folder)
    if not (folder / "people" / "truth.parquet").exists():
        _part(options, "people")
    for side, custodian in enumerate(CUSTODIANS):
        if not list((folder / "exchange" / custodian).glob("*/*/manifest.json")):
            _part(options, "deliver", "--side", str(side))


def make_people(options: argparse.Namespace) -> None:
    made = generate_people(PeopleParameters(people_per_side=options.records), SEED)
    folder = Path(options.folder) / "people"
    folder.mkdir(exist_ok=True)
    for name in ("side_a", "side_b", "truth"):
        pq.write_table(getattr(made, name), folder / f"{name}.parquet")


def deliver(options: argparse.Namespace) -> None:
    """One side through validate, normalise, encode and deliver, under the protocol that is deployed today."""
    folder, custodian = Path(options.folder), CUSTODIANS[options.side]
    (folder / "protocol.toml").write_bytes(
        (small_world.ROOT / "deployments" / "linkage_protocol.toml").read_bytes()
    )
    people = pq.read_table(folder / "people" / f"side_{'ab'[options.side]}.parquet")
    site = make_site(folder, custodian)
    with small_world.night_folder(site.settings.state_folder) as work:
        spool = small_world.fill_spool(work, small_world.raw_table(people), BATCH_ROWS)
        validated = small_world.validate_identifiers(spool, NIGHT, site, work)
        normalised = small_world.normalise_identifiers(validated, NIGHT, site, work)
        small_world.deliver_encodings(small_world.encode_identifiers(normalised, site, work), NIGHT, site)


def link(options: argparse.Namespace) -> None:
    """Receive to links on disk; a line of JSON for each stage, and one for the result."""
    from tasks.linkage_unit.block import block_records
    from tasks.linkage_unit.receive import receive_deliveries
    from tasks.linkage_unit.resolve import resolve_links
    from tasks.linkage_unit.score import score_pairs
    from tasks.linkage_unit.work_folder import remove_work

    folder = Path(options.folder)
    unit = make_unit(folder)
    unit = replace(unit, protocol=parse_protocol((folder / "protocol.toml").read_text()))
    remove_work(unit.settings.state_folder)
    with _stage("receive"):
        a, b = receive_deliveries(NIGHT, unit)
    with _stage("block"):
        pairs = block_records(a, b, unit)
    with _stage("score"):
        scored = score_pairs(a, b, pairs, unit)
    with _stage("resolve"):
        links = resolve_links(a, b, pairs, scored, unit)
    with _stage("write"):
        write_links(links.table, folder / "links.parquet")
    result = {
        "records": [len(a.records), len(b.records)],
        "pairs": len(pairs),
        "proposals": sum(report.pairs for report in pairs.reports),
        "links": int((links.table.decision == Decision.MATCH).sum()),
        "expected_precision": links.threshold.expected_precision,
        "digest": link_table_digest(links.table),
        "iterations": scored.model.iterations,
        **beside_truth(links.table, folder, unit.protocol.project, unit.protocol.key_epoch),
    }
    remove_work(unit.settings.state_folder)
    print(json.dumps({"result": result}), flush=True)


def write_links(table: LinkTable, path: Path) -> None:
    columns = {
        "pseudonym_a": pa.array([p.tobytes() for p in table.pseudonym_a], pa.binary(16)),
        "pseudonym_b": pa.array([p.tobytes() for p in table.pseudonym_b], pa.binary(16)),
        "decision": table.decision,
        "score_band": table.score_band,
        "passes": table.passes,
    }
    pq.write_table(pa.table(columns), path)


def beside_truth(table: LinkTable, folder: Path, project: str, epoch: str) -> dict[str, float]:
    """Precision and recall of the matches; the truth is looked at here for the first time."""
    truth = pq.read_table(folder / "people" / "truth.parquet")
    sides = [
        record_pseudonyms(
            small_world.key(f"site {custodian}"), truth[f"rid_{side}"].combine_chunks(), project=project, epoch=epoch
        )
        for custodian, side in zip(CUSTODIANS, "ab", strict=True)
    ]  # fmt: skip
    known = dict(zip(map(bytes, sides[0]), map(bytes, sides[1]), strict=True))
    match = table.decision == Decision.MATCH
    right = sum(
        known.get(bytes(a)) == bytes(b)
        for a, b in zip(table.pseudonym_a[match], table.pseudonym_b[match], strict=True)
    )
    return {"precision": right / max(int(match.sum()), 1), "recall": right / max(len(known), 1)}


def join(options: argparse.Namespace) -> None:
    """The exact threshold join of all records with all, on the first filter of the received columns."""
    from tasks.linkage_unit.receive import receive_deliveries

    folder = Path(options.folder)
    unit = replace(make_unit(folder), protocol=parse_protocol((folder / "protocol.toml").read_text()))
    a, b = (d.records.evidence.group_filters[0] for d in receive_deliveries(NIGHT, unit))
    stream = stream_similar_pairs(a[:64], b[:4096], options.threshold, threads=1)
    sum(len(part) for part in stream)  # compiles
    began, cpu = time.perf_counter(), _cpu_seconds()
    found = sum(len(part) for part in stream_similar_pairs(a, b, options.threshold, threads=options.threads))
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    result = {"pairs": found, "wall_s": wall, "cpu_s": cpu, "rate": len(a) * len(b) / cpu / 1e6}
    print(json.dumps({"result": result}), flush=True)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    print(json.dumps({"begin": name}), flush=True)
    began, cpu = time.perf_counter(), _cpu_seconds()
    yield
    taken = {"stage": name, "wall_s": time.perf_counter() - began, "cpu_s": _cpu_seconds() - cpu}
    print(json.dumps(taken), flush=True)


def _cpu_seconds() -> float:
    """User and system time of this process and of its children, those that ended and those that live."""
    books = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    living = (child.cpu_times() for child in psutil.Process().children())
    return sum(b.ru_utime + b.ru_stime for b in books) + sum(times.user + times.system for times in living)


def measured(options: argparse.Namespace, part: str) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Run a part in a process of its own and sample its memory; rows of stages, and the result."""
    process = subprocess.Popen(_command(options, part), env=_environment(options), stdout=subprocess.PIPE)
    peaks: dict[str, list[int]] = {}
    current = ["start"]
    watcher = threading.Thread(target=_watch, args=(process.pid, current, peaks), daemon=True)
    watcher.start()
    rows, result = [], {}
    for line in process.stdout or ():
        told = json.loads(line)
        current[0] = told.get("begin", current[0])
        result = told.get("result", result)
        if "stage" in told:
            rows.append(told)
    if process.wait() != 0:
        raise SystemExit(f"{part} ended with exit code {process.returncode}")
    for row in rows:
        row["own_mib"], row["mapped_mib"] = peaks.get(row["stage"], [0, 0])
    return rows, result


def _watch(pid: int, current: list[str], peaks: dict[str, list[int]]) -> None:
    top = psutil.Process(pid)
    while True:
        try:
            family = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        memory = [_memory(process.pid) for process in family]
        kept = peaks.setdefault(current[0], [0, 0])
        for n in (0, 1):
            kept[n] = max(kept[n], sum(each[n] for each in memory) // MIB)
        time.sleep(SAMPLE_S)


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of the process's own, and its whole resident size."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.endswith(" kB")}
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0), sizes.get("VmRSS", 0)


def print_table(options: argparse.Namespace, rows: list[dict[str, float]], result: dict[str, float]) -> None:
    print(
        f"\n{result['records'][0]:,} x {result['records'][1]:,} records, {options.threads} threads, ", end=""
    )
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    print("| stage | wall s | CPU s | own memory, MiB | with mapped pages, MiB |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['stage']} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} | {row['own_mib']:,} |"
            f" {row['mapped_mib']:,} |"
        )
    wall, cpu = (sum(row[name] for row in rows) for name in ("wall_s", "cpu_s"))
    own, mapped = (max(row[name] for row in rows) for name in ("own_mib", "mapped_mib"))
    print(f"| all | {wall:.1f} | {cpu:.1f} | {own:,} | {mapped:,} |")
    print(
        f"pairs {result['pairs']:,}, links {result['links']:,}, model iterations {result['iterations']}; "
        f"precision {result['precision']:.4f} (the night's own estimate {result['expected_precision']:.4f}), "
        f"recall {result['recall']:.4f}; links' digest {result['digest'][:16]}",
        flush=True,
    )


def _part(options: argparse.Namespace, part: str, *more: str) -> None:
    subprocess.run([*_command(options, part), *more], env=_environment(options), check=True)


def _command(options: argparse.Namespace, part: str) -> list[str]:
    told = ["--records", str(options.records), "--folder", options.folder, "--threads", str(options.threads)]
    return [
        sys.executable, "-m", "tests.benchmarks.bench_million", *told, "--threshold", str(options.threshold),
        "--part", part,
    ]  # fmt: skip


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """Machine code is kept from run to run, as a party's is; the linkage unit has so many threads."""
    cache = Path(options.folder).parent / "nightlink-million-numba"
    return {**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(options.threads)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="people on each side")
    parser.add_argument(
        "--folder", help="people, deliveries and links; by default below the temporary folder"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--join", action="store_true", help="the exact threshold join as well")
    parser.add_argument("--threshold", type=float, default=0.8, help="of the join")
    parser.add_argument("--part", choices=["people", "deliver", "link", "join"], help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
