"""A small world of real servers, parties and processes, in which nights are run, broken and looked at."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import psutil
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg2 import sql as composed

from deployments.demo.stage_setting import CUSTODIANS, DemoWorld, choose_people, set_stage
from linkage_core.errors import NightlinkError
from linkage_core.protocol.sealed_parts import SealHeader, open_part
from linkage_core.protocol.transfer_keys import secret_at_linkage_unit
from sql.servers import HOST
from tasks.coordinator.party_processes import PARTY_COMMANDS, party_environment
from tasks.coordinator.settings import NightSettings, night_settings
from tasks.linkage_unit.verify_audit import VerifiedAudit, verify_audit
from tasks.protocol.settings_files import read_protocol
from tests.faults.leak_search import LeakSearch, files_below, key_patterns, name_patterns
from tests.faults.planted_people import plant_people, planted_words

CHECKOUT = Path(__file__).parents[2]
FIRST_NIGHT = date(2026, 3, 31)
PEOPLE_A_SIDE = 500
NIGHT_DEADLINE_S = 240.0
SEALED = "null_people = 200\ncanary_pairs = 200"
NONE_SEALED = "null_people = 0\ncanary_pairs = 0"
# Prefect's own work at another demo, or another test's servers: not ours to search, and searched by their own.
_NOT_OURS = ("nightlink-", "bash_jobs", "pytest-of-")


@dataclass
class RunningProcess:
    """A process of a night whose words are read as they come."""

    process: subprocess.Popen[bytes]
    lines: list[tuple[float, str]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._changed:
                self.lines.append((time.monotonic(), line.decode(errors="backslashreplace").rstrip()))
                self._changed.notify_all()

    @property
    def text(self) -> str:
        """All that it said so far, on both outputs."""
        return "\n".join(line for _, line in self.lines)

    def said_at(self, words: str) -> float:
        """When the first line with these words came."""
        return next(moment for moment, line in self.lines if words in line)

    def wait_for(self, words: str, timeout_s: float = 120.0) -> None:
        """Wait for a line with these words; AssertionError when the process ends without."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not any(words in line for _, line in self.lines):
                self._changed.wait(0.05)
                ended = self.process.poll() is not None and not self._reader.is_alive()
                assert not ended or words in self.text, f"ended without {words!r}:\n{self.text}"
                assert time.monotonic() < deadline, f"no {words!r} in {timeout_s} s:\n{self.text}"

    def finish(self, timeout_s: float = NIGHT_DEADLINE_S) -> int:
        """Wait for the end; returns the exit code. AssertionError with its stacks when it does not end in time."""
        try:
            exit_code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended after {timeout_s:.0f} s:\n{self._end_with_stacks()}") from None
        self._reader.join(10)
        return exit_code

    def _end_with_stacks(self) -> str:
        """End it and its children by SIGABRT, on which Python writes where each thread stands; all it said."""
        parent = psutil.Process(self.process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGABRT)
        self._reader.join(10)
        return self.text


@dataclass
class NightWorld:
    """The demo's stage with planted people and without Prefect; tests break it and put it back."""

    demo: DemoWorld
    stack: ExitStack
    began: float
    last_night: date = FIRST_NIGHT
    more_secrets: list[bytes] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _processes: list[RunningProcess] = field(default_factory=list)
    _searches: dict[str, LeakSearch] = field(default_factory=dict)

    # -- nights

    @property
    def root(self) -> Path:
        return self.demo.folder

    @property
    def settings(self) -> NightSettings:
        return night_settings(self.demo.night_file)

    def next_night(self) -> str:
        """A date after all that were handed out: nights are published in the order of their days."""
        self.last_night += timedelta(days=1)
        return self.last_night.isoformat()

    def demo_night(self) -> str:
        """The night that is served now."""
        [(night,)] = self.query("SELECT head_run FROM linkage.project")
        return str(night)

    def start_night(self, night: str) -> RunningProcess:
        """`nightlink run` for the night, in a process of its own."""
        command = [sys.executable, "-m", "flows.command_line", "run", "--as-of", night]
        command += ["--parties", str(self.demo.night_file)]
        return self._start(command, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, CHECKOUT)

    def run_night(self, night: str) -> RunningProcess:
        """`nightlink run` to its end."""
        running = self.start_night(night)
        running.finish()
        return running

    def start_party(self, name: str, night: str, extra: Mapping[str, str] | None = None) -> RunningProcess:
        """One party's own command for the night, in its own environment (and ``extra``) and as its own user."""
        party = next(party for party in self.settings.parties if party.name == name)
        return self.start_command(name, [*PARTY_COMMANDS[party.zone], "--as-of", night], extra)

    def start_command(
        self, name: str, words: Sequence[str], extra: Mapping[str, str] | None = None
    ) -> RunningProcess:
        """`nightlink WORDS` as a party would run it."""
        party = next(party for party in self.settings.parties if party.name == name)
        user = (
            {"user": party.user, "group": party.user, "extra_groups": list(party.groups)}
            if party.user
            else {}
        )
        command = [sys.executable, "-m", "flows.command_line", *words]
        return self._start(command, {**party_environment(party), **(extra or {})}, party.home, user)

    def run_party(self, name: str, night: str, extra: Mapping[str, str] | None = None) -> RunningProcess:
        """One party's own command to its end."""
        running = self.start_party(name, night, extra)
        running.finish()
        return running

    def run_command(self, name: str, *words: str) -> str:
        """`nightlink WORDS` as a party would run it, to its good end; what it said."""
        running = self.start_command(name, words)
        assert running.finish() == 0, running.text
        return running.text

    def _start(
        self,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        user: Mapping[str, object] | None = None,
    ) -> RunningProcess:
        process = subprocess.Popen(
            command, env={**environment, "PYTHONFAULTHANDLER": "1"}, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, umask=0o077, **(user or {}),
        )  # fmt: skip
        running = RunningProcess(process)
        self._processes.append(running)
        return running

    def party_process(self, running: RunningProcess, name: str) -> psutil.Process:
        """The party's process of a running `nightlink run`."""
        party = next(party for party in self.settings.parties if party.name == name)
        wanted = set(PARTY_COMMANDS[party.zone])
        for child in psutil.Process(running.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                told = child.environ().values()
                if wanted <= set(child.cmdline()) and str(party.settings_file) in told:
                    return child
        raise AssertionError(f"no process of {name}:\n{running.text}")

    # -- breaking things, and putting them back

    @contextmanager
    def changed_file(self, path: Path, *changes: tuple[str, str]) -> Iterator[None]:
        """A text file with words exchanged, its owner and mode kept; as it was when the block ends."""
        before = path.read_text(encoding="utf-8")
        after = before
        for old, new in changes:
            assert old in after, f"nothing to change in {path.name}"
            after = after.replace(old, new)
        _overwrite(path, after.encode())
        try:
            yield
        finally:
            _overwrite(path, before.encode())

    def changed_settings(self, name: str, *changes: tuple[str, str]) -> object:
        """A party's settings with words exchanged, for the length of a block."""
        return self.changed_file(self.folder(name) / "settings.toml", *changes)

    def folder(self, name: str) -> Path:
        """A party's folder."""
        return self.demo.parties[name].folder

    def deliveries(self, custodian: str, night: str) -> list[Path]:
        """The folders of the custodian's deliveries for the night, in order."""
        return sorted((self.root / "exchange" / custodian / night).glob("[0-9]*"))

    # -- looking at the warehouse

    def query(self, statement: str, role: str = "") -> list[tuple[object, ...]]:
        """Rows of one statement in the warehouse, by default as its superuser."""
        url = self.demo.warehouse_urls[role] if role else self.warehouse_superuser_url
        connection = psycopg2.connect(url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    @property
    def warehouse_superuser_url(self) -> str:
        """The warehouse's database, as its server's superuser."""
        database = self.demo.warehouse_urls["auditor"].rpartition("/")[2]
        return self.demo.servers["warehouse"].superuser_url(database)

    def served_links(self) -> list[tuple[object, ...]]:
        """What a researcher is served now, each link with the run that opened it."""
        served = "SELECT t::text FROM research.link_current_v1 AS t ORDER BY 1"
        return self.query(served, "researcher")

    def ledger(self, night: str) -> tuple[str, str | None] | None:
        """Status and failure code of the night's run, None where it never began."""
        rows = self.query(f"SELECT status, failure_code FROM linkage.link_run WHERE run_id = '{night}'")
        return (str(rows[0][0]), rows[0][1]) if rows else None  # type: ignore[return-value]

    def served_pairs(self) -> set[tuple[object, ...]]:
        """Pairs of records that are served now, whatever their band and the run that opened them."""
        return set(
            self.query(
                "SELECT record_a::text, record_b::text, decision FROM linkage.link WHERE valid_to = 'infinity'"
            )
        )

    def warehouse_digests(self) -> dict[str, str]:
        """SHA-256 of all rows of every table, time stamps included."""
        tables = self.query(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n"
            " ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        )
        digests = {}
        for (table,) in tables:
            rows = self.query(f"SELECT t::text FROM {table} AS t ORDER BY 1")
            digests[str(table)] = hashlib.sha256(repr(rows).encode()).hexdigest()
        return digests

    def file_digests(self, *places: Path) -> dict[str, str]:
        """SHA-256 of every file below the places."""
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files_below(places)}

    def verify(self) -> VerifiedAudit:
        """What `nightlink audit verify` verifies, in this process."""
        return verify_audit(self.root / "auditor.url")

    # -- what must not be found

    def find_leaks(self) -> list[object]:
        """Planted words outside the two sources, and keys and passwords outside the folders of secrets."""
        scratch = self.root / "searched"
        shutil.rmtree(scratch, ignore_errors=True)
        self._dump_warehouse(scratch / "tables")
        self._unpack_parts(scratch / "parts")
        self._write_transcripts(scratch / "transcripts")
        sources = [self.root / f"pg_{name}" / "pg" for name in CUSTODIANS]
        secrets = [self.folder(name) / "secrets" for name in (*CUSTODIANS, "linkage-unit", "prefect")]
        places = [self.root, *_recent_files(self.began)]
        names = self._search("names").find(files_below(places, leave_out=sources))
        # What the demo hands to its own user: for looking around, readable for nobody else.
        handed_out = [path for path in self.root.glob("*.url") if path.stat().st_mode & 0o077 == 0]
        keys = self._search("keys").find(files_below(places, leave_out=[*secrets, *handed_out]))
        return [*names, *keys]

    def _search(self, what: str) -> LeakSearch:
        if what not in self._searches:
            patterns = name_patterns(planted_words()) if what == "names" else key_patterns(self._secrets())
            search = LeakSearch(patterns)
            with tempfile.TemporaryDirectory(prefix="nightlink-control-") as folder:
                search.check(Path(folder))
            self._searches[what] = search
        return self._searches[what]

    def _secrets(self) -> list[bytes]:
        keys = [key for k in self.demo.keys.values() for key in (k.linkage, k.site, k.signing, k.transfer)]
        shared = [
            secret_at_linkage_unit(self.demo.encryption_key, k.transfer_public).secret
            for k in self.demo.keys.values()
        ]
        urls = [path.read_text() for path in self.root.glob("*/secrets/*.url")]
        urls += [*self.demo.warehouse_urls.values(), self.demo.prefect_database_url]
        passwords = [url.partition("://")[2].partition("@")[0].partition(":")[2].encode() for url in urls]
        return [
            *keys,
            *self.more_secrets,
            self.demo.encryption_key,
            self.demo.unit_signing_key,
            *shared,
            *passwords,
            *(s.superuser_password.encode() for s in self.demo.servers.values()),
        ]

    def _dump_warehouse(self, folder: Path) -> None:
        """Every row of every table of every database of the warehouse's server, and its statistics, as text."""
        folder.mkdir(parents=True)
        server = self.demo.servers["warehouse"]
        if not server.is_running():
            return
        for (database,) in _all_rows(
            server.superuser_url(), "SELECT datname FROM pg_database WHERE datallowconn"
        ):
            dump_database(server.superuser_url(str(database)), folder / f"{database}.txt")
        # What is in memory only must come to the disk to be found there.
        connection = psycopg2.connect(server.superuser_url())
        connection.autocommit = True
        connection.cursor().execute("CHECKPOINT")
        connection.close()

    def opened_parts(self, delivery: Path) -> list[bytes]:
        """The Parquet parts of a delivery's folder, as its custodian's keys and the linkage unit's open them."""
        custodian, run_id, sequence = delivery.parts[-3:]
        secret = secret_at_linkage_unit(self.demo.encryption_key, self.demo.keys[custodian].transfer_public)
        project, epoch = self._project_and_epoch(delivery)
        header = SealHeader(project, epoch, custodian, run_id, int(sequence))
        parts = sorted(delivery.glob("*.sealed"))
        return [open_part(part.read_bytes(), part.name, header, secret) for part in parts]

    def _project_and_epoch(self, delivery: Path) -> tuple[str, str]:
        """As its manifest says; an unfinished delivery has none, and is of the protocol's."""
        with suppress(OSError, ValueError, KeyError):
            manifest = json.loads((delivery / "manifest.json").read_bytes())["manifest"]
            return str(manifest["project"]), str(manifest["key_epoch"])
        protocol = read_protocol(self.root / "linkage_protocol.toml")
        return protocol.project, protocol.key_epoch

    def _unpack_parts(self, folder: Path) -> None:
        """Opened parts as plain bytes: neither seal nor compression must hide anything from the search."""
        folder.mkdir(parents=True)
        parts = sorted((self.root / "exchange").glob("*/*/*/part-*"))
        for delivery in sorted({part.parent for part in parts}):
            with suppress(NightlinkError):  # altered on purpose
                self._unpack_delivery(delivery, folder / "-".join(delivery.parts[-3:]))

    def _unpack_delivery(self, delivery: Path, place: Path) -> None:
        for number, part in enumerate(self.opened_parts(delivery)):
            with (
                suppress(pa.ArrowException, OSError),
                pa.OSFile(f"{place}-{number}.arrow", "wb") as sink,
            ):
                table = pq.read_table(pa.BufferReader(part))
                with pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)

    def _write_transcripts(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for number, running in enumerate(self._processes):
            (folder / f"{number:03d}.txt").write_text(running.text, encoding="utf-8")

    def stop_processes(self) -> None:
        """End what a failed test left running."""
        for running in self._processes:
            if running.process.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    for child in psutil.Process(running.process.pid).children(recursive=True):
                        _kill(child.pid)
                _kill(running.process.pid)
                running.process.wait(20)


def make_night_world(stack: ExitStack) -> NightWorld:
    """Servers, sources with planted people, warehouse, parties; the first night is not run yet."""
    began = time.time()
    root = Path(tempfile.mkdtemp(prefix="nightlink-faults-")).resolve()
    root.chmod(0o711)  # the parties' and servers' users pass through
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    demo = set_stage(root, choose_people(None, PEOPLE_A_SIDE), FIRST_NIGHT, stack, lambda line: None)
    plant_into_sources(demo)
    for name in CUSTODIANS:  # other people who do not exist each night: nights could not be compared
        settings = demo.parties[name].folder / "settings.toml"
        _overwrite(settings, settings.read_text().replace(SEALED, NONE_SEALED).encode())
    url_file = root / "auditor.url"
    url_file.write_text(demo.warehouse_urls["auditor"])
    url_file.chmod(0o600)
    world = NightWorld(demo, stack, began)
    stack.callback(world.stop_processes)
    return world


def plant_into_sources(demo: DemoWorld) -> None:
    """The planted people into both sources of a stage that is set."""
    plant_people(*(source_superuser_url(demo, name) for name in CUSTODIANS))


def source_superuser_url(demo: DemoWorld, name: str) -> str:
    extractor = (demo.parties[name].folder / "secrets" / "source.url").read_text().strip()
    return demo.servers[name].superuser_url(extractor.rpartition("/")[2])


def dump_database(url: str, target: Path) -> None:
    """Append all tables, views of statistics and comments of one database to a text file."""
    tables = _all_rows(
        url,
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE (c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema'))"
        " OR (n.nspname = 'pg_catalog' AND c.relname IN"
        " ('pg_statistic', 'pg_description', 'pg_shdescription', 'pg_db_role_setting', 'pg_largeobject'))",
    )
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor, target.open("ab") as file:
        for schema, table in tables:
            name = composed.Identifier(str(schema), str(table))
            cursor.copy_expert(
                composed.SQL("COPY (SELECT t::text FROM {} AS t) TO STDOUT").format(name), file
            )
        cursor.copy_expert("COPY (SELECT a::text FROM pg_stat_activity AS a) TO STDOUT", file)
    connection.close()


@contextmanager
def locked_links(world: NightWorld) -> Iterator[None]:
    """Readers may read, and nobody can write links: a publication waits in the middle of its transaction."""
    connection = psycopg2.connect(world.warehouse_superuser_url)
    try:
        connection.cursor().execute("LOCK TABLE linkage.link IN SHARE ROW EXCLUSIVE MODE")
        yield
    finally:
        with suppress(psycopg2.Error):
            connection.close()


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port of this machine that takes connections and never answers; yields its number."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


def _all_rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def _recent_files(began: float) -> Sequence[Path]:
    """Files of the machine's temporary folders that were written since the world began."""
    shared = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
    tops = [entry for place in dict.fromkeys(shared) if place.is_dir() for entry in place.iterdir()]
    ours = [entry for entry in tops if not entry.name.startswith(_NOT_OURS)]
    recent = []
    for path in files_below(ours):
        with suppress(OSError):
            if max(path.lstat().st_mtime, path.lstat().st_ctime) >= began and path.lstat().st_size < 1 << 28:
                recent.append(path)
    return recent


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
