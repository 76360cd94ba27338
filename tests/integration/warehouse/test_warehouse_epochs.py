"""The first night of a key epoch: entities go on under other pseudonyms, and who was erased stays away."""

from __future__ import annotations

import uuid
from dataclasses import replace

import psycopg2
import pytest

from linkage_core.audit.audit_events import RecordErased, canonical_event
from linkage_core.errors import NightlinkError
from sql.warehouse.epoch_passage import count_carried_holds, stage_passages
from sql.warehouse.erasure import Erasure, erase_record, suppressed_records
from sql.warehouse.ledger import LedgerRun, begin_run
from tests.integration.warehouse.test_warehouse_entities import changes, members
from tests.integration.warehouse.test_warehouse_erasure import erase, hold, retain
from tests.integration.warehouse.warehouse_nights import Nights, day, link


def begin(nights: Nights, number: int, epoch: str = "2027") -> LedgerRun:
    described = replace(nights.describe(f"n{number}", day(number)), key_epoch=epoch)
    return begin_run(nights.warehouse.loader, described)


def fresh(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """A new pseudonym for each record."""
    return {record: str(uuid.uuid4()) for pair in pairs for record in pair}


def passage(pairs: list[tuple[str, str]], new: dict[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, new[record], record)
        for pair in pairs
        for name, record in zip(("hospital", "pharmacy"), pair, strict=True)
    ]


def staged(nights: Nights) -> int:
    [(count,)] = nights.warehouse.as_superuser(
        "SELECT count(*) FROM linkage.epoch_staging JOIN linkage.link_run USING (run_id)"
        f" WHERE project = '{nights.project}'"
    )
    return int(count)


def test_everybody_keeps_their_entity_over_the_epoch_and_nothing_ties_the_two_afterwards(
    nights: Nights,
) -> None:
    links = [link() for _ in range(3)]
    pairs = [(row[0], row[1]) for row in links]
    nights.night("n0", links)
    before, new = members(nights), fresh(pairs)
    run = begin(nights, 1)
    # The second person is linked no more; the third's pharmacy record is another's now.
    rows = [link(a=new[pairs[0][0]], b=new[pairs[0][1]]), link(a=new[pairs[2][0]])]
    assert stage_passages(nights.warehouse.loader, run, passage(pairs, new)) == 6
    assert (
        stage_passages(nights.warehouse.loader, run, passage(pairs, new)) == 6
    )  # again, in place of the first
    nights.publish(run, rows)
    now = members(nights)
    assert now[new[pairs[0][0]]] == now[new[pairs[0][1]]] == before[pairs[0][0]]
    assert now[new[pairs[2][0]]] == now[rows[1][1]] == before[pairs[2][0]]
    assert changes(nights, run) == {(before[pairs[1][0]], "dissolved", None)}
    assert not set(now) & set(before)
    assert staged(nights) == 0


def test_without_a_passage_entities_begin_anew_and_one_of_a_dead_run_is_gone(nights: Nights) -> None:
    pair = link()
    nights.night("n0", [pair])
    before, new = members(nights), fresh([(pair[0], pair[1])])
    dead = begin(nights, 1)
    stage_passages(nights.warehouse.loader, dead, passage([(pair[0], pair[1])], new))
    run = begin(nights, 1)
    assert staged(nights) == 0
    nights.publish(run, [link(a=new[pair[0]], b=new[pair[1]])])
    assert not set(members(nights).values()) & set(before.values())


def test_one_custodians_word_alone_carries_entities(nights: Nights) -> None:
    pair = link()
    nights.night("n0", [pair])
    before, new = members(nights), fresh([(pair[0], pair[1])])
    run = begin(nights, 1)
    stage_passages(nights.warehouse.loader, run, passage([(pair[0], pair[1])], new)[:1])
    nights.publish(run, [link(a=new[pair[0]], b=new[pair[1]])])
    assert set(members(nights).values()) == set(before.values())


def test_who_was_erased_stays_away_in_the_new_epoch(nights: Nights) -> None:
    pair, loader = link(), nights.warehouse.loader
    nights.night("n0", [pair])

    def event(erasure: Erasure) -> str:
        counted = {"links": erasure.links, "members": erasure.members, "content_rows": erasure.content_rows}
        return canonical_event(
            RecordErased(project=nights.project, custodian="hospital", code_version="0.1.0", **counted)
        )

    erase_record(loader, nights.project, "hospital", pair[0], event)
    new = fresh([(pair[0], pair[1])])
    mine, other = new[pair[0]], new[pair[1]]
    assert suppressed_records(loader, "hospital", [mine]) == set()
    run = begin(nights, 1)
    stage_passages(loader, run, passage([(pair[0], pair[1])], new))
    assert suppressed_records(loader, "hospital", [mine, str(uuid.uuid4())]) == {mine}, (
        "before anything is read"
    )
    assert suppressed_records(loader, "pharmacy", [other]) == set()
    nights.publish(run, [])
    assert staged(nights) == 0
    assert suppressed_records(loader, "hospital", [mine]) == {mine}, "and in every later night"


def test_a_hold_goes_on_under_the_new_name_and_one_that_cannot_is_counted(nights: Nights) -> None:
    """Retention, erasure and the rotation with holds in place: what is held is kept under either name."""
    held, gone, free = link(), link(), link()
    pairs = [(row[0], row[1]) for row in (held, free)]
    nights.night("n0", [held, gone, free])
    for row in (held, gone):
        assert hold(nights, row[0])
    new, run = fresh(pairs), begin(nights, 1)
    stage_passages(nights.warehouse.loader, run, passage(pairs, new))
    assert count_carried_holds(nights.warehouse.loader, run) == (2, 1), "whom no custodian carried is told"
    nights.publish(run, [link(a=new[a], b=new[b]) for a, b in pairs])
    for name in (held[0], new[held[0]], gone[0]):
        with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
            erase(nights, "hospital", name)
    # The links of the former epoch ended with it: those of the two that are held stay, and the third's goes.
    assert retain(nights, day(3)).links == 1
    assert erase(nights, "hospital", new[free[0]]).links == 1
    assert hold(nights, new[held[0]], held=False)
    assert erase(nights, "hospital", new[held[0]]).links == 1
    with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
        erase(nights, "hospital", held[0])


def test_without_a_passage_every_hold_is_counted_as_left_behind(nights: Nights) -> None:
    row = link()
    nights.night("n0", [row])
    assert hold(nights, row[0])
    run = begin(nights, 1)
    assert stage_passages(nights.warehouse.loader, run, []) == 0
    assert count_carried_holds(nights.warehouse.loader, run) == (1, 0)
    nights.publish(run, [])


def test_a_pseudonym_cannot_continue_two(nights: Nights) -> None:
    nights.night("n0", [])
    run, record = begin(nights, 1), str(uuid.uuid4())
    twice = [("hospital", str(uuid.uuid4()), record), ("hospital", str(uuid.uuid4()), record)]
    with pytest.raises(Exception, match="E-"):
        stage_passages(nights.warehouse.loader, run, twice, retry_window_s=0.1)
    assert staged(nights) == 0


def test_nobody_but_the_loader_sees_the_pairs(nights: Nights) -> None:
    for role in ("auditor", "researcher"):
        connection = psycopg2.connect(nights.warehouse.urls[role])
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            connection.cursor().execute("SELECT * FROM linkage.epoch_staging")
        connection.close()
