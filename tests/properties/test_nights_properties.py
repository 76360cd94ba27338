"""Whatever became of the nights before, tonight's links are those of a linkage unit that begins from nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.errors import NightlinkError
from tasks.linkage_unit import current_records, receive
from tasks.linkage_unit.chunk_stages import candidates_of, compute_chunk, needed, opened, stages_of_pairs
from tasks.linkage_unit.kept_comparisons import comparisons_file, keep_comparisons, kept_comparisons
from tasks.linkage_unit.record_store import kept_file
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import Job, begin_job, job_of, remove_work
from tests.properties.test_changes_properties import PEOPLE, PROTOCOL, History, delivering
from tests.reference.small_world import CUSTODIANS, make_unit

KINDS_OF_PEOPLE = 5
CHUNK_RECORDS = 4


def unit_at(folder: Path, state: str) -> LinkageUnit:
    """A linkage unit of that exchange, with a state folder of its own."""
    state_folder = folder / state
    state_folder.mkdir(mode=0o700, exist_ok=True)
    unit = make_unit(folder, state_folder=state_folder, chunk_records=CHUNK_RECORDS)
    return replace(unit, protocol=PROTOCOL)


def run_night(sides: list[History], unit: LinkageUnit, until: str = "links") -> dict[str, bytes]:
    """Receive, and compute as far as a stage; the chunks that everything afterwards depends on."""
    newest = [receive._open(side.newest().folder, unit) for side in sides]
    for delivery in newest:
        current_records.current_records(delivery, partial(receive._open, unit=unit), unit, None)
        receive._keep(delivery, unit)
    first, second = ((d.manifest, d.manifest_sha256) for d in newest)
    job = job_of(unit.settings.state_folder, PROTOCOL, CHUNK_RECORDS, (first, second))
    begin_job(job)
    _compute(job, unit, until)
    names = ("plan-*", "pairs-*", "patterns-*", "model-*", "links-*")
    return {path.name: path.read_bytes() for name in names for path in job.folder.glob(f"{name}.chunk")}


def _compute(job: Job, unit: LinkageUnit, until: str) -> None:
    opened.cache_clear()
    kept = kept_comparisons(job, CUSTODIANS, unit.storage_key)
    if kept is not None:
        job.write("kept", 0, kept)
        compute_chunk(job.folder, "carry", 0)
    for stage, chunks in [*stages_of_pairs(job), ("patterns", job.chunks), ("model", 1), ("links", 1)]:
        for number in range(chunks):
            compute_chunk(job.folder, stage, number)
        if stage == until:
            return


def publish(sides: list[History], unit: LinkageUnit) -> None:
    """A night to its end: what is kept for the next one is kept, and its working files are gone."""
    run_night(sides, unit)
    newest = [(side.newest().manifest, side.newest().manifest_sha256) for side in sides]
    job = job_of(unit.settings.state_folder, PROTOCOL, CHUNK_RECORDS, (newest[0], newest[1]))
    keep_comparisons(job, CUSTODIANS, unit.storage_key)
    remove_work(unit.settings.state_folder)


EDITS = st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.integers(0, 2)), max_size=4)
STEP = st.sampled_from(
    ["night", "night", "night", "missed", "killed", "first forgets", "second delivers all", "unit forgets records",
     "unit forgets pairs", "pairs are torn", "first is late"]
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(STEP, EDITS, EDITS), min_size=2, max_size=6))
def test_links_of_any_history_are_those_of_beginning_from_nothing(
    steps: list[tuple[str, list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    with delivering() as folder:
        sides = [History(folder, name, KINDS_OF_PEOPLE) for name in CUSTODIANS]
        unit = unit_at(folder, "unit")
        everybody = [(person, 1) for person in range(PEOPLE)]
        for side in sides:
            side.deliver(everybody)
        publish(sides, unit)
        for step, first, second in steps:
            _do(step, sides, unit, (first, second))
        tonight = run_night(sides, unit)
        assert {name.partition("-")[0] for name in tonight} == {"plan", "pairs", "patterns", "model", "links"}
        assert tonight == run_night(sides, unit_at(folder, "fresh"))


def _do(
    step: str,
    sides: list[History],
    unit: LinkageUnit,
    edits: tuple[list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    state_folder = unit.settings.state_folder
    pairs = comparisons_file(state_folder, CUSTODIANS)
    if step == "first forgets":
        sides[0].state_file.unlink(missing_ok=True)
    if step == "second delivers all":
        sides[1].state_file.unlink(missing_ok=True)
    if step == "unit forgets records":
        kept_file(state_folder, CUSTODIANS[0]).unlink(missing_ok=True)
    if step == "unit forgets pairs":
        pairs.unlink(missing_ok=True)
    if step == "pairs are torn" and pairs.exists():
        pairs.write_bytes(pairs.read_bytes()[:-9])
    for side, its in zip(sides, edits, strict=True):
        side.deliver(its)
    if step == "killed":
        run_night(sides, unit, until="patterns")
    elif step == "first is late":
        _late(sides, unit)
    elif step != "missed":
        publish(sides, unit)


def _late(sides: list[History], unit: LinkageUnit) -> None:
    """The first custodian's last delivery arrives after its next one, and in between nothing is linked."""
    late = len(sides[0].nights) - 1
    hidden = sides[0].night_folder(late).rename(unit.settings.state_folder / "on its way")
    try:
        for side in sides:
            side.deliver([])
        run_night(sides, unit, until="patterns")
    except NightlinkError as error:
        assert error.code == "E-DLV-GAP"
    finally:
        hidden.rename(sides[0].night_folder(late))


def test_a_night_of_changes_compares_less_and_the_same_comes_out() -> None:
    with delivering() as folder:
        sides = [History(folder, name, KINDS_OF_PEOPLE) for name in CUSTODIANS]
        unit = unit_at(folder, "unit")
        for side in sides:
            side.deliver([(person, 1) for person in range(PEOPLE)])
        publish(sides, unit)
        sides[0].deliver([(3, 2), (4, 2)])
        sides[1].deliver([(4, 2)])
        assert [side.kinds for side in sides] == [["all", "changes"]] * 2
        tonight = run_night(sides, unit)
        assert tonight == run_night(sides, unit_at(folder, "fresh"))
        newest = [(side.newest().manifest, side.newest().manifest_sha256) for side in sides]
        job = job_of(unit.settings.state_folder, PROTOCOL, CHUNK_RECORDS, (newest[0], newest[1]))
        assert 0 < needed(job, "carry", 0).counts["compared"] < len(candidates_of(job)) // 2
