"""What is kept of compared pairs: it spares work, is sealed, and never changes a byte of what comes out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.linkage_unit.forgotten_records import pseudonym_texts
from tasks.linkage_unit.block import block_records, night_job
from tasks.linkage_unit.kept_comparisons import (
    comparisons_file,
    forget_comparisons,
    keep_comparisons,
    kept_comparisons,
)
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.resolve import resolve_links
from tasks.linkage_unit.score import score_pairs
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import Job, remove_work
from tests.reference.small_world import (
    CUSTODIANS,
    NIGHT,
    few_people,
    fill_spool,
    make_site,
    make_unit,
    night_folder,
    raw_table,
)
from tests.reference.small_world import deliver_encodings as deliver
from tests.reference.small_world import encode_identifiers as encode
from tests.reference.small_world import normalise_identifiers as normalise
from tests.reference.small_world import validate_identifiers as validate

CHUNK_RECORDS = 40
PEOPLE = few_people(100)
STAGES = ("plan", "pairs", "patterns", "model", "links")


@pytest.fixture(autouse=True)
def _machine_code(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kept-machine-code"))


def deliver_side(folder: Path, side: int, people: pa.Table, night: date) -> None:
    site = make_site(folder, CUSTODIANS[side])
    with night_folder(site.settings.state_folder) as work:
        validated = validate(fill_spool(work, raw_table(people)), night, site, work)
        deliver(encode(normalise(validated, night, site, work), site, work), night, site)


def edited(people: pa.Table) -> pa.Table:
    """Two people with each other's family names, one gone, one more."""
    names = people["last"].to_pylist()
    names[3], names[8] = names[8], names[3]
    table = people.set_column(people.column_names.index("last"), "last", pa.array(names, pa.string()))
    new = table.slice(20, 1)
    new = new.set_column(0, people.column_names[0], pa.array(["NEW-1"], pa.string()))
    return pa.concat_tables([table.slice(0, 12), table.slice(13), new])


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nights: all people, some edited at one side, and the first people again."""
    folder = tmp_path_factory.mktemp("nights")
    nights = [
        (PEOPLE.side_a, PEOPLE.side_b),
        (edited(PEOPLE.side_a), PEOPLE.side_b),
        (PEOPLE.side_a, PEOPLE.side_b),
    ]
    for number, sides in enumerate(nights):
        for side, people in enumerate(sides):
            deliver_side(folder, side, people, NIGHT + timedelta(days=number))
    return folder


def unit_at(folder: Path, state: str) -> LinkageUnit:
    state_folder = folder / state
    shutil.rmtree(state_folder, ignore_errors=True)
    state_folder.mkdir(mode=0o700)
    return make_unit(folder, state_folder=state_folder, chunk_records=CHUNK_RECORDS)


def run(night: int, unit: LinkageUnit, erased: frozenset[str] = frozenset()) -> tuple[Job, dict[str, bytes]]:
    """The night's work, and the chunks that it left, but for those of the hand-over."""
    erased_of = (lambda _, asked: erased & set(asked)) if erased else None
    a, b = receive_deliveries(NIGHT + timedelta(days=night), unit, erased_of)
    pairs = block_records(a, b, unit)
    resolve_links(a, b, pairs, score_pairs(a, b, pairs, unit), unit)
    job = night_job(a, b, unit)
    chunks = {path.name: path.read_bytes() for path in job.folder.glob("*.chunk")}
    return job, {name: content for name, content in chunks.items() if name.startswith(STAGES)}


def test_nights_that_carry_over_leave_the_chunks_of_comparing_everything(
    exchange: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keeping = unit_at(exchange, "keeping")
    for night in (0, 1, 2):
        job, chunks = run(night, keeping)
        keep_comparisons(job, CUSTODIANS, keeping.storage_key)
        remove_work(keeping.settings.state_folder)
        told = capsys.readouterr().err
        assert ("pairs compared anew" in told) == (night > 0)
        assert chunks == run(night, unit_at(exchange, "fresh"))[1]
        capsys.readouterr()
    assert len(chunks) == 3 + 2 * 3


def test_what_is_kept_is_sealed_and_nobody_elses_and_torn_it_is_no_use(exchange: Path) -> None:
    unit = unit_at(exchange, "sealed")
    job, _ = run(0, unit)
    keep_comparisons(job, CUSTODIANS, unit.storage_key)
    path = comparisons_file(job.state_folder, CUSTODIANS)
    content = path.read_bytes()
    kept = kept_comparisons(job, CUSTODIANS, unit.storage_key)
    assert kept is not None and path.stat().st_mode & 0o077 == 0
    for name, array in kept.arrays.items():
        assert array.tobytes()[:16] not in content, name
    assert kept_comparisons(job, CUSTODIANS, bytes(32)) is None
    assert kept_comparisons(replace(job, code_version="other"), CUSTODIANS, unit.storage_key) is None
    for torn in (content[:-3], content[:40], b"", content[:90] + bytes([content[90] ^ 1]) + content[91:]):
        path.write_bytes(torn)
        assert kept_comparisons(job, CUSTODIANS, unit.storage_key) is None
    path.write_bytes(content)
    forget_comparisons(job.state_folder, "laboratory")
    assert path.exists()
    forget_comparisons(job.state_folder, CUSTODIANS[1])
    assert not path.exists()


def test_who_was_erased_since_is_not_carried_over(exchange: Path) -> None:
    keeping = unit_at(exchange, "before-erasure")
    job, _ = run(0, keeping)
    keep_comparisons(job, CUSTODIANS, keeping.storage_key)
    state = receive_deliveries(NIGHT, keeping)[0].records.record_pseudonyms
    remove_work(keeping.settings.state_folder)
    erased = frozenset(pseudonym_texts(state[30:32]))

    _, chunks = run(1, keeping, erased)

    assert chunks == run(1, unit_at(exchange, "fresh"), erased)[1]
    assert chunks != run(1, unit_at(exchange, "fresh"))[1]
