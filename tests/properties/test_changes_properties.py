"""However a custodian's records came, all at once or change by change, they end in the same bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.encode_records import EncodedPart
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.forgotten_records import pseudonym_texts
from linkage_core.protocol.encoded_records import (
    PSEUDONYM_DTYPE,
    EncodedRecords,
    concat_records,
    empty_records,
    pseudonym_order,
    take_records,
)
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.record_state import apply_changes, changed_rows, gone_pseudonyms, state_rows
from tasks.custodian import deliver
from tasks.custodian.delivered_state import STATE_FILE
from tasks.custodian.encode import EncodedDelivery
from tasks.custodian.row_entries import read_entries
from tasks.linkage_unit import current_records as current
from tasks.linkage_unit import receive
from tasks.linkage_unit.record_store import kept_file
from tasks.linkage_unit.work_folder import remove_work
from tasks.protocol.exchange import complete_deliveries
from tests.reference.small_world import make_site, make_unit
from tests.reference.tiny_delivery import same_records, some_aggregates, some_records, tiny_protocol

PROTOCOL = tiny_protocol()
PEOPLE = 12
PART = 5
FIRST = date(2026, 3, 1)
CUSTODIAN = "hospital"


def records_of(versions: dict[int, int], kinds: int = PEOPLE) -> EncodedRecords:
    """Each person in a version of theirs, in the order of pseudonyms; people of one kind look alike."""
    if not versions:
        return empty_records(evidence_of(PROTOCOL))
    drawn = [
        EncodedRecords(
            _pseudonym(person), some_records(1, 100 * (person % kinds) + version, PROTOCOL).evidence
        )
        for person, version in versions.items()
    ]
    together = concat_records(drawn)
    return take_records(together, pseudonym_order(together.record_pseudonyms))


def _pseudonym(person: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(person).bytes(16), PSEUDONYM_DTYPE)


class History:
    """A custodian that delivers night by night, and a linkage unit that sometimes receives."""

    def __init__(self, folder: Path, custodian: str = CUSTODIAN, kinds: int = PEOPLE) -> None:
        self.custodian, self.kinds_of_people = custodian, kinds
        self.site = replace(make_site(folder, custodian), protocol=PROTOCOL)
        self.unit = replace(make_unit(folder), protocol=PROTOCOL)
        self.versions: dict[int, int] = {}
        self.nights: list[EncodedRecords] = []
        self.kinds: list[str] = []

    def deliver(self, edits: list[tuple[int, int]]) -> None:
        """The night's records: a person in another version, or gone at version 0."""
        for person, version in edits:
            self.versions = {k: v for k, v in self.versions.items() if k != person}
            if version:
                self.versions[person] = version
        records = records_of(self.versions, self.kinds_of_people)
        night = FIRST + timedelta(days=len(self.nights))
        self.nights.append(records)
        deliver.deliver_encodings(_encoded(records, self.site), night, self.site)
        self.kinds.append("changes" if self._newest(len(self.nights) - 1).manifest.changes else "all")

    def receive(
        self, night: int, erased: frozenset[str] = frozenset(), *, published: bool = True
    ) -> EncodedRecords:
        """All records as the unit has them after a night's delivery."""
        newest = self._newest(night)
        found = current.current_records(
            newest, partial(receive._open, unit=self.unit), self.unit, lambda _, asked: erased & set(asked)
        )
        copied = concat_records([found.records])
        receive._keep(newest, self.unit)
        if published:
            remove_work(self.unit.settings.state_folder)
        return copied

    def newest(self) -> current.OpenedDelivery:
        """The delivery of the last night."""
        return self._newest(len(self.nights) - 1)

    def begin_chunks(self) -> Path:
        """Chunks of a night at work, from which it would resume."""
        folder = self.unit.settings.state_folder / f"night-{'0' * 32}"
        folder.mkdir()
        return folder

    def _newest(self, night: int) -> current.OpenedDelivery:
        run_id = (FIRST + timedelta(days=night)).isoformat()
        return receive._open(
            complete_deliveries(self.site.settings.exchange, self.custodian, run_id)[-1], self.unit
        )

    @property
    def state_file(self) -> Path:
        return self.site.settings.state_folder / STATE_FILE

    def night_folder(self, night: int) -> Path:
        return self.site.settings.exchange / self.custodian / (FIRST + timedelta(days=night)).isoformat()


def _encoded(records: EncodedRecords, site: object) -> EncodedDelivery:
    rows = len(records)
    ids = [name.tobytes().hex() for name in records.record_pseudonyms]
    people = pa.RecordBatch.from_pydict({"source_id": pa.array(ids, pa.utf8())})
    parts = [
        partial(EncodedPart, take_records(records, slice(start, start + PART)), (), people.slice(start, PART))
        for start in range(0, rows, PART)
    ]
    validated = SimpleNamespace(extracted=rows, rejected=0, rejected_by_rule={})
    normalised = SimpleNamespace(validated=validated, expectations=[])
    keys = derive_custodian_keys(site.linkage_key, PROTOCOL)
    return EncodedDelivery(rows, parts, None, keys.key_check_value, normalised)


@contextmanager
def delivering() -> Iterator[Path]:
    """A folder for custodians whose parts are small, and whose last deliveries were all received."""
    folder = Path(tempfile.mkdtemp(prefix="changes-"))
    aggregates = patch.object(
        deliver, "aggregates_of", lambda encoded, *_: some_aggregates(encoded.rows, PROTOCOL)
    )
    receipts = patch.object(deliver, "has_receipt", lambda *_: True)
    try:
        with aggregates, receipts, patch.object(deliver, "PART_ROWS", PART):
            yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def history() -> Iterator[History]:
    with delivering() as folder:
        yield History(folder)


EDITS = st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.integers(0, 3)), max_size=5)
STEP = st.sampled_from(
    ["deliver", "deliver", "receive", "receive", "custodian forgets", "killed before it remembered",
     "unit forgets", "what is kept is torn", "base late"]
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(STEP, EDITS), min_size=3, max_size=9))
def test_any_history_ends_in_the_bytes_of_its_last_night(
    steps: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    with history() as h:
        h.deliver([(person, 1) for person in range(PEOPLE)])
        for step, edits in steps:
            _do(h, step, edits)
        last = len(h.nights) - 1
        assert same_records(h.receive(last), h.nights[last])
        assert same_records(h.receive(last), h.nights[last])  # once more is a no-op


def _do(h: History, step: str, edits: list[tuple[int, int]]) -> None:
    last = len(h.nights) - 1
    kept = kept_file(h.unit.settings.state_folder, CUSTODIAN)
    if step == "deliver":
        h.deliver(edits)
    elif step == "receive":
        assert same_records(h.receive(last), h.nights[last])
    elif step == "custodian forgets":
        h.state_file.unlink(missing_ok=True)
    elif step == "killed before it remembered":
        before = h.state_file.read_bytes() if h.state_file.exists() else None
        h.deliver(edits)
        h.state_file.unlink() if before is None else h.state_file.write_bytes(before)
    elif step == "unit forgets":
        kept.unlink(missing_ok=True)
    elif step == "what is kept is torn" and kept.exists():
        kept.write_bytes(kept.read_bytes()[:-7])
    elif step == "base late":
        _late(h, last, edits)


def _late(h: History, last: int, edits: list[tuple[int, int]]) -> None:
    """The night before arrives after the night that builds on it, which is refused until then or is not needed."""
    h.deliver(edits)
    hidden = h.night_folder(last).rename(h.night_folder(last).parents[2] / "on its way")
    try:
        assert same_records(h.receive(last + 1), h.nights[last + 1])
    except NightlinkError as error:
        assert error.code == "E-DLV-GAP" and error.transient
        assert h.kinds[last + 1] == "changes"
    finally:
        hidden.rename(h.night_folder(last))


def test_a_night_of_few_changes_brings_only_those() -> None:
    with history() as h:
        h.deliver([(person, 1) for person in range(PEOPLE)])
        h.deliver([(3, 2), (4, 0)])
        h.deliver([])
        assert h.kinds == ["all", "changes", "changes"]
        manifests = [h._newest(night).manifest for night in range(3)]
        assert [m.rows_in_parts for m in manifests] == [PEOPLE, 1, 0]
        assert [m.row_count for m in manifests] == [PEOPLE, PEOPLE - 1, PEOPLE - 1]
        kept = [read_entries(m.sequence, h.site) for m in manifests]
        assert [len(entries) for entries in kept] == [PEOPLE, 1, 0], "commitments to what was brought"
        assert kept[1]["digest"][0].tobytes() not in kept[0]["digest"].tobytes()
        assert len({m.row_commitments for m in manifests}) == 3
        assert manifests[1].changes.gone.rows == 1 and manifests[2].changes.gone is None
        assert manifests[1].state_digest == manifests[2].state_digest != manifests[0].state_digest
        for night in range(3):
            assert same_records(h.receive(night), h.nights[night])


def _codes_of_older(h: History) -> None:
    with pytest.raises(NightlinkError, match="E-DLV-STALE"):
        h.receive(0)


def test_an_older_delivery_than_what_was_applied_is_refused() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        h.deliver([(1, 2)])
        h.receive(1)
        _codes_of_older(h)


def test_another_delivery_under_a_number_that_was_applied_is_refused() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        h.receive(0)
        shutil.rmtree(h.night_folder(0))
        (h.site.settings.state_folder / "last_sequence").unlink()
        h.nights.clear()
        h.deliver([(1, 2)])
        with pytest.raises(NightlinkError, match="E-DLV-EQUIVOCATION"):
            h.receive(0)


def test_changes_since_a_delivery_whose_parts_were_deleted_are_a_gap() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        h.deliver([(1, 2)])
        (next(h.night_folder(0).iterdir()) / "deletion.json").write_text("{}")
        with pytest.raises(NightlinkError, match=r"E-DLV-GAP.*delivered\.state"):
            h.receive(1)
        h.deliver([(1, 3)])  # the custodian builds on the night before, which lies there
        assert h.kinds == ["all", "changes", "changes"]


def test_after_another_base_was_deleted_a_custodian_delivers_everything_by_itself() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        (next(h.night_folder(0).iterdir()) / "deletion.json").write_text("{}")
        h.deliver([(1, 2)])
        assert h.kinds == ["all", "all"]


def test_without_a_receipt_of_the_last_delivery_everything_is_delivered() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        with patch.object(deliver, "has_receipt", lambda *_: False):
            h.deliver([(1, 2)])
        h.deliver([(1, 3)])
        assert h.kinds == ["all", "all", "changes"]
        assert same_records(h.receive(2), h.nights[2])


@pytest.mark.parametrize("kept_is_torn", [False, True])
def test_who_is_erased_between_nights_of_changes_is_not_resumed_from(kept_is_torn: bool) -> None:
    stays, other = 7, 4
    erased = frozenset(pseudonym_texts(_pseudonym(stays)))
    with history() as h:
        h.deliver([(person, 1) for person in range(PEOPLE)])
        h.receive(0)
        h.deliver([(3, 2)])
        h.receive(1)
        h.deliver([(other, 2)])
        assert h.kinds == ["all", "changes", "changes"]
        whole = h.receive(2, published=False)  # begun before anybody was erased, and interrupted
        chunks = h.begin_chunks()
        kept = kept_file(h.unit.settings.state_folder, CUSTODIAN)
        if kept_is_torn:
            kept.write_bytes(kept.read_bytes()[:-7])

        left = h.receive(2, erased, published=False)

        assert not chunks.exists()
        texts = pseudonym_texts(whole.record_pseudonyms)
        row = texts.index(*erased)
        assert not erased & set(pseudonym_texts(left.record_pseudonyms))
        evidence = left.evidence
        for column in (evidence.tokens, *evidence.group_filters, evidence.rarity, evidence.sex):
            assert not np.any(column[row])
        others = np.flatnonzero(np.arange(len(whole)) != row)
        assert same_records(take_records(left, others), take_records(whole, others))

        chunks = h.begin_chunks()
        assert same_records(h.receive(2, erased, published=False), left)
        assert chunks.exists(), "nobody was erased since: the night resumes"

        h.deliver([(other, 3)])
        again = h.receive(3, erased)  # the erased one stays in a night of changes
        assert not erased & set(pseudonym_texts(again.record_pseudonyms))


def test_records_of_a_former_epoch_are_deleted_when_a_new_one_begins() -> None:
    with history() as h:
        h.deliver([(1, 1)])
        h.receive(0)
        rotated = PROTOCOL.model_copy(update={"key_epoch": "2027-test"})
        kept = kept_file(h.unit.settings.state_folder, CUSTODIAN)
        before = kept.read_bytes()
        h.site, h.unit = replace(h.site, protocol=rotated), replace(h.unit, protocol=rotated)
        h.deliver([(2, 1)])
        assert h.kinds == ["all", "all"]
        assert same_records(h.receive(1), h.nights[1])
        assert kept.read_bytes() != before


@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 3)),
    st.dictionaries(st.integers(0, 9), st.integers(1, 3)),
)
def test_differences_applied_are_the_next_state(before: dict[int, int], after: dict[int, int]) -> None:
    old, new = records_of(before), records_of(after)
    was, now = state_rows(old), state_rows(new)
    changed = np.flatnonzero(changed_rows(now, was))
    people = sorted(after, key=lambda person: _pseudonym(person).tobytes())
    assert [people[row] for row in changed] == [p for p in people if before.get(p) != after[p]]
    gone = gone_pseudonyms(now, was)
    assert {bytes(p) for p in gone} == {_pseudonym(p).tobytes() for p in set(before) - set(after)}
    source = apply_changes(was.pseudonyms, now.pseudonyms[changed], gone)
    assert same_records(take_records(concat_records([old, take_records(new, changed)]), source), new)
