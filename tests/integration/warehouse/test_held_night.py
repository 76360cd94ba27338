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
from tests.reference.small_world import (
    NIGHT,
    encode_people,
    few_people,
    make_site,
    make_unit,
    raw_table,
)

SECOND = NIGHT + timedelta(days=1)
PEOPLE, FEWER = 200, 120


def deliver_both(folder: Path) -> None:
    """Two nights; on the second the pharmacy sends five customers for each three before."""
    people = few_people(PEOPLE)
    for custodian, table, nights in (
        ("hospital", people.side_a, (NIGHT, SECOND)),
        ("pharmacy", people.side_b.slice(0, FEWER), (NIGHT,)),
        ("pharmacy", people.side_b, (SECOND,)),
    ):
        site = make_site(folder, custodian)
        with night_folder(site.settings.state_folder) as working:
            encoded = encode_people(site, raw_table(table), working)
            for night in nights:
                deliver_encodings(encoded, night, site)


@dataclass
class Story:
    """A linkage unit, its custodians' folder and its warehouse."""

    folder: Path
    unit: LinkageUnit
    warehouse: Warehouse

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

    def queue_two_pairs(self) -> dict[int, tuple[str, str]]:
        """So few people leave the queue empty, so two records that are linked to others, and a match, are put there."""
        (a, _), (_, b), match = self.rows(
            "SELECT record_a, record_b FROM linkage.link WHERE valid_to = 'infinity' ORDER BY link_id LIMIT 3"
        )
        evidence = json.dumps([{"field": "birth_date", "level": "exact", "common": "rare", "bits": 9}])
        for ends in ((a, b), match):
            self.rows(
                "INSERT INTO review.pair (project, custodian_a, record_a, custodian_b, record_b, score_band, evidence,"
                f" last_run) VALUES ('{self.unit.protocol.project}', 'hospital', '{ends[0]}', 'pharmacy', '{ends[1]}',"
                f" '0.50-0.55', '{evidence}', '{NIGHT}')"
            )
        rows = self.rows("SELECT pair_id, record_a, record_b FROM review.pair WHERE queued ORDER BY pair_id")
        return {pair: (str(a), str(b)) for pair, a, b in rows}

    def rows(self, query: str) -> list[tuple]:
        return self.warehouse.as_superuser(query)


@pytest.fixture(scope="module")
def story(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("held")
    unit = replace(
        make_unit(folder, most_volume_ratio=1.5),
        warehouse_url=warehouse.urls["linkage_loader"],
    )
    admit_research(warehouse.engine(OWNER), RESEARCHER, [unit.protocol.project])
    patch = pytest.MonkeyPatch()
    patch.setattr(prose, "linkage_unit", lambda: unit)
    told = Story(folder, unit, warehouse)
    deliver_both(folder)
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


def test_a_reviewer_sees_what_agrees_and_neither_values_nor_pseudonyms(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = story.queue_two_pairs()
    assert story.review("alice", "pairs", "--project", story.unit.protocol.project) == 0
    shown = capsys.readouterr().out
    assert all(f"pair {pair}: hospital and pharmacy" in shown for pair in queue)
    assert "birth_date" in shown and not any(record in shown for ends in queue.values() for record in ends)
    linked, last = list(queue)[-2:]
    for person in ("alice", "bob"):
        for pair, verdict in ((linked, "link"), (last, "never")):
            words = ("decide", "--pair", str(pair), "--verdict", verdict, "--reason", "relatives")
            assert story.review(person, *words) == 0
    capsys.readouterr()
    assert story.review("alice", "pairs", "--project", story.unit.protocol.project) == 0
    assert f"pair {linked}:" not in capsys.readouterr().out


def test_a_delivery_unlike_the_last_ones_stops_the_night_until_two_persons_approve(story: Story) -> None:
    served = story.rows("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'")
    with pytest.raises(NightlinkError, match="E-DQ-VOLUME: found pharmacy: records is 197, usually 119"):
        story.link(SECOND)
    assert story.rows(f"SELECT status, failure_code FROM linkage.link_run WHERE run_id = '{SECOND}'") == [
        ("failed", "E-DQ-VOLUME")
    ]
    assert story.rows("SELECT count(*) FROM linkage.link WHERE valid_to = 'infinity'") == served
    assert "Not published" in (story.folder / "reports" / f"{SECOND}.held.html").read_text()

    words = ("approve", "--night", SECOND.isoformat(), "--reason", "source_changed_as_announced")
    assert story.review("alice", *words) == 0
    assert story.review("alice", *words) == 1  # one person is no second one
    assert story.review("bob", *words) == 0
    story.link(SECOND)
    [(event,)] = story.rows(
        "SELECT entry::jsonb -> 'event' FROM audit.event WHERE entry::jsonb -> 'event' ->> 'kind' = 'night_published'"
        f" AND entry::jsonb -> 'event' ->> 'run_id' = '{SECOND}'"
    )
    assert event["approval"]["persons"] == ["alice_reviewer", "bob_reviewer"]
    page = (story.folder / "reports" / f"{SECOND}.html").read_text()
    assert "by approval of alice_reviewer and bob_reviewer" in page


def test_what_reviewers_said_counts_in_the_next_night_and_is_kept(story: Story) -> None:
    found = {
        (str(a), str(b)): (decision, passes)
        for a, b, decision, passes in story.rows(
            "SELECT record_a, record_b, decision, passes_agreed FROM linkage.link WHERE valid_to = 'infinity'"
        )
    }
    said = {
        verdict: (str(a), str(b))
        for a, b, verdict in story.rows(
            "SELECT record_a, record_b, verdict FROM review.decision JOIN review.pair USING (pair_id)"
        )
    }
    assert found[said["link"]][0] == "match" and "known_link" in found[said["link"]][1]
    assert said["never"] not in found
    [(review,)] = story.rows(f"SELECT counts -> 'review' FROM linkage.link_run WHERE run_id = '{SECOND}'")
    assert review == {"decided": 2, "judged_twice": 2, "kappa": 1.0}
    verified = verify_audit(Path(story.url_file("auditor")))
    assert verified.nights.keys() == {NIGHT.isoformat(), SECOND.isoformat()}


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
