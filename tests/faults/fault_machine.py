"""A machine that drives nights and breaks them, and looks after every step whether the invariants I1 to I8 hold.

Hypothesis chooses the steps: acts of the parties and faults, in any order, over real servers and processes. Whatever
came before, a night in the end is published with the links that an undisturbed night had: the people are the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg2
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.faults.night_world import NightWorld, RunningProcess
from tests.faults.small_disk import small_disk
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.warehouse_whole import RULES

CUSTODIANS = ("hospital", "pharmacy")
CUSTODIANS_STAGES = (
    "extract identifiers", "extract content", "validate identifiers", "normalise identifiers", "encode identifiers",
    "deliver content", "deliver encodings",
)  # fmt: skip
UNITS_STAGES = (
    "enter the run in the ledger", "receive deliveries", "block records", "score pairs", "resolve links", "load links",
    "publish the report",
)  # fmt: skip
ENDS_WITHIN_S = 180.0
"""I8's stated time, on a machine that does other work beside; each party's own deadlines are tested elsewhere."""
DEAD = "no dead run is called running"
FULL = {"exchange": "E-OUTPUT", "state": "E-CHUNK-FILE"}


@dataclass
class FaultRecord:
    """What was tried, how often, what came of it, and which invariants did not hold."""

    tried: Counter[str] = field(default_factory=Counter)
    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    checks: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    published: int = 0

    def table(self) -> str:
        """As Markdown."""
        lines = ["| fault | times | how the party ended |", "|---|---:|---|"]
        for fault, times in sorted(self.tried.items()):
            ends = ", ".join(f"{end} {count}x" for end, count in sorted(self.ends[fault].items()))
            lines.append(f"| {fault} | {times} | {ends} |")
        lines += ["", "| invariant | checked | broken |", "|---|---:|---:|"]
        lines += [
            f"| {name} | {count} | {self.broken[name]} |" for name, count in sorted(self.checks.items())
        ]
        return "\n".join([*lines, "", f"{self.published} nights published"])


class Reader:
    """Somebody who reads the served links all the time, and remembers every version that was seen (I4)."""

    def __init__(self, world: NightWorld) -> None:
        self._url = world.demo.warehouse_urls["researcher"]
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg2.Error):  # the server restarts now and then: read on afterwards
                self._seen.add(version_of(self._url))
            self._stop.wait(0.05)

    def seen(self) -> set[str]:
        """What was seen since the last time that was asked."""
        seen, self._seen = self._seen, set()
        return seen

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(10)


def version_of(url: str) -> str:
    """A hash of all links as they are served, by one statement: one snapshot."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT t::text FROM research.link_current_v1 AS t ORDER BY 1")
            return hashlib.sha256(repr(cursor.fetchall()).encode()).hexdigest()
    finally:
        connection.close()


class FaultMachine(RuleBasedStateMachine):
    """Steps of parties and faults; :func:`drive` gives it a world and a record."""

    world: NightWorld
    record: FaultRecord

    def __init__(self) -> None:
        super().__init__()
        self.links = self.world.served_links()
        self.version = version_of(self.world.demo.warehouse_urls["researcher"])
        self.night, self.published = self.world.next_night(), False
        # The history before this one may have ended with a linkage unit that was killed.
        self.unit_died = self.world.query(RULES[DEAD]) != []
        self.reader = Reader(self.world)

    def teardown(self) -> None:
        self.reader.stop()

    # -- what parties do

    @rule()
    def a_whole_night(self) -> None:
        self._open_night()
        with self._step("none: a whole night") as end:
            end(self._ended(self.world.start_night(self.night)))
        assert self.published

    @rule(custodian=st.sampled_from(CUSTODIANS))
    def a_custodian_delivers(self, custodian: str) -> None:
        self._open_night()
        with self._step("none: a delivery") as end:
            end(self._ended(self.world.start_party(custodian, self.night)))
        assert self._delivered(custodian)

    @rule()
    def late_delivery(self) -> None:
        """The linkage unit begins whatever has come: without both deliveries it says so and publishes nothing."""
        self._open_night()
        both = all(map(self._delivered, CUSTODIANS))
        with self._step("none: linked" if both else "late delivery") as end:
            code = end(self._ended(self.world.start_party("linkage_unit", self.night)))
        assert code == ("ended well" if both else "E-DLV-MISSING")

    # -- faults

    @rule(
        custodian=st.sampled_from(CUSTODIANS),
        stage=st.sampled_from(CUSTODIANS_STAGES),
        wait_ms=st.integers(0, 300),
    )
    def custodian_killed(self, custodian: str, stage: str, wait_ms: int) -> None:
        self._open_night()
        delivered = self._delivered(custodian)
        with self._step("custodian killed") as end:
            end(self._killed(custodian, "look for an earlier delivery" if delivered else stage, wait_ms))

    @rule(stage=st.sampled_from(UNITS_STAGES), wait_ms=st.integers(0, 300))
    def linkage_unit_killed(self, stage: str, wait_ms: int) -> None:
        self._open_night(delivered=True)
        with self._step("linkage unit killed") as end:
            end(self._killed("linkage_unit", stage, wait_ms))
            self.unit_died = True

    @rule(said=st.integers(1, 60))
    def connection_dropped(self, said: int) -> None:
        self._open_night(delivered=True)
        path = self.world.folder("linkage-unit") / "secrets" / "warehouse.url"
        url = path.read_text().strip()
        with (
            self._step("connection dropped") as end,
            TcpProxy(url) as proxy,
            self.world.changed_file(path, (url, proxy.url)),
        ):
            proxy.cut_after_sent(said)
            code = end(self._ended(self.world.start_party("linkage_unit", self.night)))
            self.unit_died = code != "ended well"  # with the connection, the failure's entry may be lost too
        assert code in ("ended well", "E-WH-UNAVAILABLE")

    @rule(wait_ms=st.integers(0, 5000))
    def warehouse_restarted(self, wait_ms: int) -> None:
        """As by an immediate shutdown: what was not committed is gone."""
        self._open_night(delivered=True)
        server = self.world.demo.servers["warehouse"]
        with self._step("warehouse restarted") as end:
            unit = self.world.start_party("linkage_unit", self.night)
            unit.wait_for("enter the run in the ledger started")
            time.sleep(wait_ms / 1000)
            os.kill(server.process_id or 0, signal.SIGQUIT)
            while server.is_running():
                time.sleep(0.05)
            server.start()
            code = end(self._ended(unit))
            self.unit_died = code != "ended well"
        assert code in ("ended well", "E-WH-UNAVAILABLE")

    @rule(custodian=st.sampled_from(CUSTODIANS))
    def exchange_full(self, custodian: str) -> None:
        if all(map(self._delivered, CUSTODIANS)) or self._delivered(custodian):
            self.night = self.world.next_night()
        self._open_night()
        with (
            self._step("disk full: exchange") as end,
            small_disk(self.world.root / "exchange" / custodian, 16),
        ):
            code = end(self._ended(self.world.start_party(custodian, self.night)))
        assert code == FULL["exchange"]

    @rule()
    def unit_disk_full(self) -> None:
        self._open_night(delivered=True)
        with (
            self._step("disk full: linkage unit") as end,
            small_disk(self.world.folder("linkage-unit") / "state", 16),
        ):
            code = end(self._ended(self.world.start_party("linkage_unit", self.night)))
        assert code == FULL["state"]

    @rule(custodian=st.sampled_from(CUSTODIANS))
    def duplicate_delivery(self, custodian: str) -> None:
        """Delivered again, nothing comes of it: not a byte in the exchange changes."""
        self._open_night(delivered=True)
        before = self.world.file_digests(self.world.root / "exchange")
        with self._step("duplicate delivery") as end:
            code = end(self._ended(self.world.start_party(custodian, self.night)))
        assert code == "ended well" and self.world.file_digests(self.world.root / "exchange") == before

    @rule(custodian=st.sampled_from(CUSTODIANS))
    def replayed_delivery(self, custodian: str) -> None:
        """Somebody puts a copy of tonight's delivery under the next number: it is refused, never linked."""
        self._open_night(delivered=True)
        newest = self.world.deliveries(custodian, self.night)[-1]
        copy = newest.with_name(f"{int(newest.name) + 1:06d}")
        shutil.copytree(newest, copy)
        for path in (copy, *copy.iterdir()):
            os.chown(path, newest.stat().st_uid, newest.stat().st_gid)
        try:
            with self._step("replayed delivery") as end:
                code = end(self._ended(self.world.start_party("linkage_unit", self.night)))
        finally:
            shutil.rmtree(copy)
        assert code.startswith("E-DLV-")

    @rule()
    def the_same_night_again(self) -> None:
        """A night that is published is run once more (I3)."""
        if self.published:
            rows = self.world.warehouse_digests()
            with self._step("the same night again") as end:
                end(self._ended(self.world.start_night(self.night)))
            self._check("I3", self.world.warehouse_digests() == rows)

    # -- how a step goes

    def _open_night(self, *, delivered: bool = False) -> None:
        if self.published:
            self.night, self.published = self.world.next_night(), False
        for custodian in CUSTODIANS if delivered else ():
            if not self._delivered(custodian):
                running = self.world.run_party(custodian, self.night)
                assert running.process.returncode == 0, running.text

    def _delivered(self, custodian: str) -> bool:
        return any((path / "manifest.json").exists() for path in self.world.deliveries(custodian, self.night))

    @contextmanager
    def _step(self, fault: str) -> Iterator[Callable[[tuple[RunningProcess, str]], str]]:
        """Count the step; at its end look at all invariants."""
        self.reader.seen()
        self.record.tried[fault] += 1
        ended: list[tuple[RunningProcess, str]] = []

        def end(found: tuple[RunningProcess, str]) -> str:
            ended.append(found)
            self.record.ends[fault][found[1]] += 1
            return found[1]

        began = time.monotonic()
        yield end
        [(running, code)] = ended
        self._check("I8", time.monotonic() - began < ENDS_WITHIN_S, running)
        self._look_at_all(code, running)

    def _ended(self, running: RunningProcess) -> tuple[RunningProcess, str]:
        """Let it come to its end: well, or with its code."""
        if running.finish() == 0:
            return running, "ended well"
        return running, running.text.splitlines()[-1].partition(":")[0]

    def _killed(self, party: str, stage: str, wait_ms: int) -> tuple[RunningProcess, str]:
        running = self.world.start_party(party, self.night)
        running.wait_for(f"{stage} started")
        time.sleep(wait_ms / 1000)
        running.process.kill()
        return running, "killed" if running.finish() == -signal.SIGKILL else "had ended"

    # -- what must hold

    def _look_at_all(self, code: str, running: RunningProcess) -> None:
        ledger, before = self.world.ledger(self.night), self.version
        newly = ledger == ("published", None) and not self.published
        self.published = ledger == ("published", None)
        self.record.published += newly
        self.version = version_of(self.world.demo.warehouse_urls["researcher"])
        self._check("I4", self.reader.seen() <= {before, self.version}, running)
        self._check("I7", self.world.served_links() == self.links, running)
        self._check("I8", newly or self.version == before, running)
        if ledger is not None and code.startswith("E-") and not self.published and not self.unit_died:
            self._check("I8", ledger[0] == "failed" or code in ("E-RUN-LOCKED",), running)
        self.unit_died = self.unit_died and not self.published
        for rule_, breaches in RULES.items():
            if not (rule_ == DEAD and self.unit_died):
                name = rule_.partition(":")[0] if rule_[0] == "I" else "I1"
                self._check(name, self.world.query(breaches) == [], running, rule_)
        published = self.world.query("SELECT count(*) FROM linkage.link_run WHERE status = 'published'")
        self._check("I5", [(len(self.world.verify().nights),)] == published)
        self._check("I6", self.world.find_leaks() == [])

    def _check(
        self, invariant: str, holds: bool, running: RunningProcess | None = None, rule_: str = ""
    ) -> None:
        self.record.checks[invariant] += 1
        if not holds:
            self.record.broken[invariant] += 1
        words = running.text if running else ""
        assert holds, f"{invariant} {rule_} of the night {self.night}:\n{words}"


def drive(world: NightWorld, record: FaultRecord, *, examples: int, steps: int) -> FaultRecord:
    """So many histories of so many steps each; AssertionError at the first invariant that does not hold."""
    driven = world

    class Machine(FaultMachine):
        world = driven

    Machine.record = record
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
    return record


if __name__ == "__main__":
    import sys

    from tests.faults.night_world import FIRST_NIGHT, make_night_world

    with ExitStack() as stack:
        made = make_night_world(stack)
        assert made.run_night(FIRST_NIGHT.isoformat()).process.returncode == 0
        kept = FaultRecord()
        try:
            drive(made, kept, examples=int(sys.argv[1]), steps=int(sys.argv[2]))
        finally:
            print(kept.table())
