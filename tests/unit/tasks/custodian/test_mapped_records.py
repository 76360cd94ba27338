"""Records in mapped files: what went in comes out, and looked-at pages do not stay in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from linkage_core.protocol.encoded_records import take_records
from linkage_core.protocol.evidence_spec import evidence_of
from tasks.custodian import mapped_records
from tasks.custodian.mapped_records import MappedRecords, ReleasingFile
from tasks.protocol.output_files import whole_file
from tests.reference.tiny_delivery import same_records, some_records, tiny_protocol

ROWS = 40_000


def _mapped(folder: Path, rows: int) -> MappedRecords:
    records = some_records(rows)
    mapped = MappedRecords(evidence_of(tiny_protocol()), rows, folder)
    for first in range(0, rows, 15_000):
        mapped.append(take_records(records, slice(first, first + 15_000)))
    return mapped


def _resident_file_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_what_went_in_comes_out_in_order(tmp_path: Path, rows: int) -> None:
    assert same_records(_mapped(tmp_path, rows).records, some_records(rows))


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages are read from /proc")
def test_pages_that_were_passed_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_records, "_PASSED_BYTES", 1 << 12)
    mapped = _mapped(tmp_path, ROWS)
    evidence = mapped.records.evidence
    arrays = [mapped.records.record_pseudonyms, evidence.tokens, *evidence.group_filters]
    size_kib = sum(array.nbytes for array in arrays) // 1024
    before = _resident_file_kib()
    contents = [array.tobytes() for array in arrays]
    assert _resident_file_kib() - before > 0.8 * size_kib, "positive control: reading makes them resident"
    with whole_file(tmp_path / "out") as file:
        sink = ReleasingFile(file, mapped)
        for content in contents:
            sink.write(content)
        assert sink.tell() == sum(map(len, contents)) and not sink.closed
    assert _resident_file_kib() - before < 0.2 * size_kib
    assert (tmp_path / "out").read_bytes() == b"".join(contents)
