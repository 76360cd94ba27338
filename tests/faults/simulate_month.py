"""A month of nights on real servers and processes, people's lives and faults included; I1 to I8 after each.

``python -m tests.faults.simulate_month --people 20000 --nights 30``: births, moves, marriages, corrections and deaths
in both sources every night, an erasure every fifth, two rotations of the key epoch, a fault every third night. Prints a
line a night; at the end the invariants, and a picture of quality and cost. Exit code 1 when an invariant is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import psycopg2

from deployments.demo.parties import CHECKOUT
from deployments.demo.stage_setting import CUSTODIANS, choose_people, set_stage
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.protocol.key_files import parse_key_file
from tasks.protocol.settings_files import read_protocol
from tests.faults.month_faults import MONTH_OF_FAULTS, Fault
from tests.faults.month_people import MonthPeople, people_of_month
from tests.faults.month_picture import draw_month
from tests.faults.night_world import (
    FIRST_NIGHT,
    NightWorld,
    RunningProcess,
    plant_into_sources,
    source_superuser_url,
)
from tests.faults.planted_people import HOSPITAL_ID, PHARMACY_ID, TEN_PEOPLE
from tests.faults.warehouse_whole import assert_warehouse_whole

ERASE_EVERY, FAIL_EVERY = 5, 3
SEED = 20_264
PICTURE = CHECKOUT / "deployments" / "pictures" / "month.svg"


@dataclass
class MonthNight:
    """What one night was, what it cost, and how good its links were; counts only."""

    number: int
    night: str
    epoch: str
    fault: str = ""
    code: str = ""
    changes: dict[str, int] = field(default_factory=dict)
    erased: int = 0
    rotated: bool = False
    wall_s: float = 0.0
    cpu_s: float = 0.0
    delivered_mib: float = 0.0
    links: int = 0
    opened: int = 0
    closed: int = 0
    precision: float = 0.0
    recall: float = 0.0


@dataclass
class Month:
    """The world, its people, and what has to be remembered from night to night."""

    world: NightWorld
    people: MonthPeople
    nights: int
    site_keys: dict[str, bytes]
    erased: list[tuple[str, str]] = field(default_factory=list)
    epochs: int = 1

    @property
    def protocol(self) -> Path:
        """The protocol file that is installed now."""
        return self.world.root / (
            f"protocol_{self.epochs}.toml" if self.epochs > 1 else "linkage_protocol.toml"
        )

    @property
    def rotations(self) -> tuple[int, int]:
        """The numbers of the nights before which the epoch is rotated."""
        return self.nights // 3 + 1, 2 * self.nights // 3 + 1

    def pseudonyms(self, custodian: str, ids: list[str]) -> list[str]:
        """As the warehouse writes them in this epoch."""
        protocol = read_protocol(self.protocol)
        made = record_pseudonyms(
            self.site_keys[custodian], ids, project=protocol.project, epoch=protocol.key_epoch
        )
        return [str(uuid.UUID(bytes=bytes(one))) for one in made]

    def true_links(self) -> set[tuple[str, str]]:
        """The true pairs as pseudonyms."""
        a, b = list(self.people.pairs), list(self.people.pairs.values())
        return set(zip(self.pseudonyms("hospital", a), self.pseudonyms("pharmacy", b), strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the month; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=20_000, help="people at each side")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--json", type=Path, help="the figures of all nights")
    chosen = parser.parse_args(arguments)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        month = set_month(stack, chosen.people, chosen.nights)
        nights = []
        for number in range(1, chosen.nights + 1):
            nights.append(live_night(month, number))
            if chosen.json:
                chosen.json.write_text(json.dumps([asdict(night) for night in nights], indent=1) + "\n")
        told = check_month(month)
    for line in told:
        say(line)
    chosen.picture.write_text(draw_month(nights, chosen.people), encoding="utf-8")
    say(f"picture: {chosen.picture}")
    return 0


def set_month(stack: ExitStack, people_a_side: int, nights: int) -> Month:
    """Servers, two filled sources with planted people among them, warehouse, parties."""
    began = time.time()
    root = Path(tempfile.mkdtemp(prefix="nightlink-month-")).resolve()
    root.chmod(0o711)  # the parties' and servers' users pass through
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    demo = set_stage(root, choose_people(None, people_a_side), FIRST_NIGHT, stack, say)
    plant_into_sources(demo)
    auditor = root / "auditor.url"
    auditor.chmod(0o600)
    world = NightWorld(demo, stack, began)
    stack.callback(world.stop_processes)
    truth = demo.people.truth
    pairs = list(zip(truth["rid_a"].to_pylist(), truth["rid_b"].to_pylist(), strict=True))
    people = people_of_month(
        {name: source_superuser_url(demo, name) for name in CUSTODIANS}, demo.fills, pairs,
        newcomers=max(200, people_a_side * nights // 500), seed=SEED,
    )  # fmt: skip
    people.pairs.update({HOSPITAL_ID.format(n): PHARMACY_ID.format(n) for n in range(len(TEN_PEOPLE))})
    return Month(world, people, nights, {name: demo.keys[name].site for name in CUSTODIANS})


def say(line: str) -> None:
    print(line, flush=True)


# -- one night


def live_night(month: Month, number: int) -> MonthNight:
    """A day of people's lives, then the night; on every third one it fails first, visibly, and is run again."""
    world = month.world
    night = FIRST_NIGHT.isoformat() if number == 1 else world.next_night()
    told = MonthNight(number, night, "")
    if number > 1:
        told.changes = month.people.live_one_day(number, date.fromisoformat(night))
    if number in month.rotations:
        rotate_epoch(month)
        told.rotated = True
    told.epoch = read_protocol(month.protocol).key_epoch
    if number > 1 and number % ERASE_EVERY == 0:
        month.erased.append(month.people.choose_to_erase())
        erase(month, month.erased[-1:])
        told.erased = 2
    if number % FAIL_EVERY == 0:
        fail_first(month, told, MONTH_OF_FAULTS[(number // FAIL_EVERY - 1) % len(MONTH_OF_FAULTS)])
    run_well(month, told)
    weigh(month, told)
    if number % FAIL_EVERY == 0:
        assert_again_changes_nothing(world, night)
    assert_warehouse_whole(world)
    assert_nobody_erased_is_back(month)
    # A delivery is kept until the next one, and of a former epoch not at all.
    for custodian in CUSTODIANS:
        if told.rotated:
            world.run_command(custodian, "custodian", "retire-deliveries")
        world.run_command(custodian, "custodian", "expire-deliveries", "--days", "1")
    say(line_of(told))
    return told


def fail_first(month: Month, told: MonthNight, fault: Fault) -> None:
    """I8: the night under the fault ends badly and says so, and what was served is served."""
    world, served = month.world, month.world.served_links()
    running = fault(world, told.night)
    assert running.process.returncode not in (0, None), f"{fault.__name__}: no failure\n{running.text}"
    assert world.served_links() == served, fault.__name__
    told.fault, told.code = fault.__name__.replace("_", " "), code_of(running)


def code_of(running: RunningProcess) -> str:
    """The last code that the night named; a killed process names none."""
    words = [word.strip(":;.,") for word in running.text.split() if word.startswith("E-")]
    named = [word for word in words if word != "E-PARTY-FAILED"]
    return named[-1] if named else "killed"


def run_well(month: Month, told: MonthNight) -> None:
    """The night as `nightlink run`, to its good end: wall and processor seconds, of all its processes."""
    world, began, cpu = month.world, time.monotonic(), children_cpu_s()
    running = world.start_night(told.night)
    exit_code = running.finish(3600)
    assert exit_code == 0, running.text
    told.wall_s, told.cpu_s = round(time.monotonic() - began, 2), round(children_cpu_s() - cpu, 2)
    assert world.ledger(told.night) == ("published", None)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def weigh(month: Month, told: MonthNight) -> None:
    """Quality of the links that are served now, beside the truth, and what was delivered for them."""
    world = month.world
    rows = world.query(
        "SELECT record_a::text, record_b::text FROM linkage.link WHERE valid_to = 'infinity' AND decision = 'match'"
    )
    links, truth = {(str(a), str(b)) for a, b in rows}, month.true_links()
    right = len(links & truth)
    told.links = len(links)
    told.precision, told.recall = right / max(1, len(links)), right / max(1, len(truth))
    [(opened, closed)] = world.query(
        f"SELECT links_opened, links_closed FROM linkage.link_run WHERE run_id = '{told.night}'"
    )
    told.opened, told.closed = int(str(opened)), int(str(closed))
    newest = [world.deliveries(name, told.night)[-1] for name in CUSTODIANS]
    told.delivered_mib = round(sum(p.stat().st_size for d in newest for p in d.glob("*.sealed")) / 2**20, 2)


def line_of(told: MonthNight) -> str:
    changes = " ".join(f"{kind} {count}" for kind, count in told.changes.items() if count)
    events = [f"{told.fault}: {told.code}"] if told.fault else []
    events += [f"epoch {told.epoch}"] if told.rotated else []
    events += ["erasure"] if told.erased else []
    return (
        f"{told.night}  {told.wall_s:6.1f} s {told.cpu_s:6.1f} s of CPU {told.delivered_mib:7.2f} MiB"
        f"  links {told.links:6d} (+{told.opened} -{told.closed})"
        f"  precision {told.precision:.4f} recall {told.recall:.4f}  [{changes}] {'; '.join(events)}"
    )


# -- the parties' own work between two nights


def rotate_epoch(month: Month) -> None:
    """As the runbook's "Rotation of the epoch": keys, protocol, settings; then the erased are erased again."""
    world, before = month.world, month.protocol
    epoch, month.epochs = f"2026-{month.epochs + 1}", month.epochs + 1
    text = before.read_text()
    month.protocol.write_text(text.replace(f'key_epoch = "{epoch_of(text)}"', f'key_epoch = "{epoch}"'))
    month.protocol.chmod(0o644)
    linkage_key = world.folder("pharmacy") / "secrets" / f"linkage-{epoch}.key"
    made = ["custodian", "keygen", "--epoch", epoch]
    world.run_command("pharmacy", *made, "--role", "linkage", "--out", str(linkage_key))
    install_secret(world, "hospital", f"secrets/linkage-{epoch}.key", linkage_key.read_text())
    world.more_secrets.append(parse_key_file(linkage_key.read_text(), "linkage", epoch=epoch))
    for name in CUSTODIANS:
        site_key = world.folder(name) / "secrets" / f"site-{epoch}.key"
        world.run_command(name, *made, "--role", "site", "--out", str(site_key))
        month.site_keys[name] = parse_key_file(site_key.read_text(), "site", epoch=epoch)
        world.more_secrets.append(month.site_keys[name])
        last = epoch_of(text)
        for role in ("linkage", "site"):
            old = f"secrets/{role}.key" if month.epochs == 2 else f"secrets/{role}-{last}.key"
            change_settings(world, name, f'"{old}"', f'"secrets/{role}-{epoch}.key"')
            (world.folder(name) / old).unlink()
    for name in (*CUSTODIANS, "linkage-unit"):
        change_settings(world, name, f'"{before}"', f'"{month.protocol}"')
    if month.erased:
        erase(month, month.erased)


def epoch_of(protocol_text: str) -> str:
    return protocol_text.split('key_epoch = "')[1].split('"')[0]


def change_settings(world: NightWorld, party: str, old: str, new: str) -> None:
    path = world.folder(party) / "settings.toml"
    text = path.read_text()
    assert old in text, f"{party}: nothing to change"
    with path.open("w") as file:  # owner and mode stay
        file.write(text.replace(old, new))


def install_secret(world: NightWorld, party: str, relative: str, text: str) -> Path:
    """A file that was handed over: the party's own, for its user alone."""
    path, owner = world.folder(party) / relative, world.folder(party).stat()
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


def erase(month: Month, pairs: list[tuple[str, str]]) -> None:
    """As the runbook's "Somebody is to be erased", at both custodians; the people stay in the sources."""
    world = month.world
    for place, name in enumerate(CUSTODIANS):
        ids = install_secret(world, name, "state/ids", "".join(f"{pair[place]}\n" for pair in pairs))
        records = world.folder(name) / "state" / "records"
        records.unlink(missing_ok=True)
        world.run_command(name, "custodian", "erase", str(ids), "--records", str(records))
        handed = install_secret(world, "linkage-unit", "state/records", records.read_text())
        world.run_command("linkage_unit", "retention", "erase", "--custodian", name, "--records", str(handed))
        for path in (ids, records, handed):
            path.unlink()


# -- what must hold


def assert_again_changes_nothing(world: NightWorld, night: str) -> None:
    """I3: the night once more."""
    rows = world.warehouse_digests()
    assert world.run_night(night).process.returncode == 0
    assert world.warehouse_digests() == rows, "I3"


def assert_nobody_erased_is_back(month: Month) -> None:
    """No open link and no membership of anybody who was erased, in this epoch."""
    if not month.erased:
        return
    gone = [
        pseudonym
        for place, name in enumerate(CUSTODIANS)
        for pseudonym in month.pseudonyms(name, [pair[place] for pair in month.erased])
    ]
    connection = psycopg2.connect(month.world.warehouse_superuser_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM linkage.link WHERE record_a::text = ANY(%(gone)s) OR record_b::text = ANY(%(gone)s)",
            {"gone": gone},
        )
        assert cursor.fetchone() == (0,), "an erased record is in the link table"
    connection.close()


def check_month(month: Month) -> list[str]:
    """The invariants at the end of the month, each with what was looked at."""
    world = month.world
    assert_warehouse_whole(world)
    world.stop_processes()
    leaks = world.find_leaks()
    assert leaks == [], leaks[:10]
    [(published,)] = world.query("SELECT count(*) FROM linkage.link_run WHERE status = 'published'")
    verified = world.verify()
    return [
        f"nights published: {published} of {month.nights}, epochs: {month.epochs}, erased: {len(month.erased)} people",
        "I1, I2, I5, I7: hold after every night (tests/faults/warehouse_whole.py)",
        "I3: each night that had failed was run once more after it was published, and changed nothing",
        "I4, I8: every fault left yesterday's links served, to the row, and was seen to have failed",
        f"I5: the audit log verifies, {len(verified.nights)} publications with every link table",
        "I6: no planted name, key or password anywhere outside the sources and the folders of secrets",
    ]


if __name__ == "__main__":
    sys.exit(main())
