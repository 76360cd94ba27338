"""Nights that look wrong stop before publication, two persons let them pass, and reviewers' words come back.

Real deliveries, linked and published in a real warehouse; one story, in the order of its nights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from flows.command_line import main
from flows.linkage_unit import link_and_load as prose
from linkage_core.errors import NightlinkError
from sql.warehouse.login_roles import OWNER, RESEARCHER, admit_research
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.night_folder import night_folder
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import Warehouse
from tests.reference.small_world import NIGHT, encode_people, few_people, make_site, make_unit, raw_table

SECOND, THIRD = NIGHT + timedelta(days=1), NIGHT + timedelta(days=2)


@dataclass
class Story:
    """A linkage unit, its custodians' folder and its warehouse."""

    folder: Path
    unit: LinkageUnit
    warehouse: Warehouse

    def deliver(self, night: date, pharmacy_rows: int = 150) -> None:
        people = few_people()
        for custodian, table in (
            ("hospital", people.side_a),
            ("pharmacy", people.side_b.slice(0, pharmacy_rows)),
        ):
            site = make_site(self.folder, custodian)
            working = night_folder(night, site)
            deliver_encodings(encode_people(site, raw_table(table), working), night, site, working)

    def link(self, night: date) -> None:
        prose.link_and_load(night.isoformat())

    def url_file(self, role: str) -> str:
        path = self.folder / f"{role}.url"
        path.write_text(self.warehouse.urls[role])
        path.chmod(0o600)
        return str(path)

    def review(self, person: str, *words: str) -> int:
        """`nightlink review ...` as a person; the exit code."""
        with pytest.raises(SystemExit) as end:
            main(["review", words[0], "--url-file", self.url_file(f"{person}_reviewer"), *words[1:]])
        return int(end.value.code or 0)

    def rows(self, query: str) -> list[tuple]:
        return self.warehouse.as_superuser(query)


@pytest.fixture(scope="module")
def story(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("held")
    unit = replace(make_unit(folder), warehouse_url=warehouse.urls["linkage_loader"])
    admit_research(warehouse.engine(OWNER), RESEARCHER, [unit.protocol.project])
    patch = pytest.MonkeyPatch()
    patch.setattr(prose, "linkage_unit", lambda: unit)
    told = Story(folder, unit, warehouse)
    told.deliver(NIGHT)
    told.link(NIGHT)
    yield told
    patch.undo()


def test_a_published_night_says_how_good_it_is(story: Story) -> None:
    told = story.warehouse.as_researcher(
        "SELECT measure, method, interval_low <= estimate AND estimate <= interval_high"
        " FROM research.linkage_quality_v1 WHERE method <> 'match_model'"
    )
    assert {(measure, estimator) for measure, estimator, _ in told} >= {
        ("precision", "posteriors"), ("precision", "duplicates"), ("recall", "posteriors"),
    }  # fmt: skip
    assert all(holds is not False for _, _, holds in told)
    page = (story.folder / "reports" / f"{NIGHT.isoformat()}.html").read_text()
    assert "How good the links are" in page and "Who is linked, by subgroup" in page


def test_a_delivery_unlike_the_last_ones_stops_the_night_until_two_persons_approve(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    served = story.rows("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'")
    story.deliver(SECOND, pharmacy_rows=60)
    with pytest.raises(NightlinkError, match="E-DQ-VOLUME.*pharmacy: records is 60, usually"):
        story.link(SECOND)
    assert story.rows(f"SELECT status, failure_code FROM linkage.link_run WHERE run_id = '{SECOND}'") == [
        ("failed", "E-DQ-VOLUME")
    ]
    assert story.rows("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'") == served
    assert "Not published" in (story.folder / "reports" / f"{SECOND}.held.html").read_text()

    words = ("approve", "--night", SECOND.isoformat(), "--reason", "source_changed_as_announced")
    assert story.review("alice", *words) == 0
    assert story.review("alice", *words) == 1  # one person is no second one
    with pytest.raises(NightlinkError, match=r"E-DQ-VOLUME.*so far 1"):
        story.link(SECOND)
    assert story.review("bob", *words) == 0
    story.link(SECOND)
    [(event,)] = story.rows(
        "SELECT event FROM audit.event WHERE event::jsonb ->> 'kind' = 'night_published'"
        f" AND event::jsonb ->> 'run_id' = '{SECOND}'"
    )
    assert json.loads(event)["approval"]["persons"] == ["alice_reviewer", "bob_reviewer"]
    assert (
        "by approval of alice_reviewer and bob_reviewer"
        in (story.folder / "reports" / f"{SECOND}.html").read_text()
    )


def test_a_review_is_blind_counts_the_next_night_and_is_kept(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = story.rows(
        "SELECT pair_id, record_a, record_b, evidence FROM review.pair WHERE queued ORDER BY pair_id"
    )
    assert len(queue) >= 2
    project = story.unit.protocol.project
    assert story.review("alice", "pairs", "--project", project) == 0
    shown = capsys.readouterr().out
    assert f"pair {queue[0][0]}: hospital and pharmacy" in shown
    assert not any(str(record) in shown for row in queue for record in row[1:3])
    (linked, *_), (parted, *_) = queue[:2]
    for person in ("alice", "bob"):
        for pair, verdict in ((linked, "link"), (parted, "never")):
            words = ("decide", "--pair", str(pair), "--verdict", verdict, "--reason", "relatives")
            assert story.review(person, *words) == 0
    story.deliver(THIRD, pharmacy_rows=60)
    story.link(THIRD)
    found = {
        (str(a), str(b)): (decision, passes)
        for a, b, decision, passes in story.rows(
            "SELECT record_a, record_b, decision, passes_agreed FROM linkage.link WHERE valid_to = 'infinity'"
        )
    }
    of_pair = {pair: (str(a), str(b)) for pair, a, b, _ in queue}
    assert found[of_pair[linked]][0] == "match" and "known_link" in found[of_pair[linked]][1]
    assert of_pair[parted] not in found
    [(review,)] = story.rows(f"SELECT counts -> 'review' FROM linkage.link_run WHERE run_id = '{THIRD}'")
    assert review == {"decided": 2, "judged_twice": 2, "kappa": 1.0}
    assert verify_audit(Path(story.url_file("auditor"))).nights.keys() == {
        day.isoformat() for day in (NIGHT, SECOND, THIRD)
    }


def test_nobody_but_a_reviewer_decides_and_nobody_claims_an_approval(story: Story) -> None:
    import psycopg2

    for role in ("linkage_loader", "auditor", "researcher", "hospital_content_loader"):
        for call in ("review.open_pairs('p', 1)", "review.decide_pair(1, 'link', 'relatives', '{}')"):
            connection = psycopg2.connect(story.warehouse.urls[role])
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
                cursor.execute(f"SELECT {call}")
            connection.close()
    connection = psycopg2.connect(story.warehouse.urls["alice_reviewer"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM review.held_nights()")
        assert cursor.fetchone() == (1,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM review.pair")
    connection.close()
