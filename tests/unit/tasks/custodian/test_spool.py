"""Working files: what lies on disk cannot be read, and what was altered is not believed."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.errors import NightlinkError
from tasks.custodian.spool import RecordSpool

PLANTED = "Zaphod Beeblebrox"


def _batch(first: int = 0) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"source_id": [f"{first}", f"{first + 1}"], "given_name": [PLANTED, None]}
    )


def _spool(folder: Path, batches: int = 2) -> RecordSpool:
    spool = RecordSpool(folder / "identifiers.spool")
    for number in range(batches):
        spool.write(_batch(2 * number))
    return spool


def test_batches_come_back_in_order_and_as_often_as_wanted(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    for _ in range(2):
        assert [batch.to_pydict() for batch in spool] == [_batch(0).to_pydict(), _batch(2).to_pydict()]
    assert spool.rows == 4
    assert PLANTED not in repr(spool)


def test_an_empty_spool_and_an_empty_batch(tmp_path: Path) -> None:
    spool = RecordSpool(tmp_path / "x.spool")
    assert list(spool) == []
    spool.write(_batch().slice(0, 0))
    assert spool.rows == 0
    assert sum(batch.num_rows for batch in spool) == 0


def test_nothing_readable_lies_on_disk_and_only_the_owner_may_look(tmp_path: Path) -> None:
    _spool(tmp_path)
    path = tmp_path / "identifiers.spool"
    data = path.read_bytes()
    for text in ("Zaphod", "Beeblebrox", "given_name", "source_id", "ARROW"):
        assert text.encode() not in data and text.encode("utf-16-le") not in data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_batch_is_sealed_differently_each_time(tmp_path: Path) -> None:
    spool = RecordSpool(tmp_path / "a.spool")
    spool.write(_batch())
    once = (tmp_path / "a.spool").read_bytes()
    spool.write(_batch())
    again = (tmp_path / "a.spool").read_bytes()[len(once) :]
    other = RecordSpool(tmp_path / "b.spool")
    other.write(_batch())
    assert len({once, again, (tmp_path / "b.spool").read_bytes()}) == 3


def test_a_spool_is_made_once(tmp_path: Path) -> None:
    _spool(tmp_path)
    with pytest.raises(FileExistsError):
        RecordSpool(tmp_path / "identifiers.spool")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 300, -1, -200])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    spool, path = _spool(tmp_path), tmp_path / "identifiers.spool"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(NightlinkError, match="E-SPOOL"):
        list(spool)


def test_any_flipped_bit_is_refused(tmp_path: Path) -> None:
    spool, path = _spool(tmp_path, batches=1), tmp_path / "identifiers.spool"
    data = path.read_bytes()
    # The eight bytes of the length, and places all over the sealed batch, its tag included.
    for position in [*range(8), *range(8, len(data), 61), *range(len(data) - 16, len(data))]:
        for bit in (0, 7):
            altered = bytearray(data)
            altered[position] ^= 1 << bit
            path.write_bytes(altered)
            with pytest.raises(NightlinkError, match="E-SPOOL"):
                list(spool)


def test_batches_that_changed_places_are_refused(tmp_path: Path) -> None:
    spool, path = RecordSpool(tmp_path / "identifiers.spool"), tmp_path / "identifiers.spool"
    spool.write(_batch(0))
    size = path.stat().st_size
    spool.write(_batch(0))
    data = path.read_bytes()
    path.write_bytes(data[size:] + data[:size])
    with pytest.raises(NightlinkError, match="E-SPOOL"):
        list(spool)


def test_a_file_that_is_gone_or_cannot_be_written_is_a_coded_error(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    spool.discard()
    spool.discard()
    with pytest.raises(NightlinkError, match="E-SPOOL"):
        list(spool)
    (tmp_path / "identifiers.spool").mkdir()
    with pytest.raises(NightlinkError, match="E-SPOOL.*Is a directory"):
        spool.write(_batch())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_coded_error(tmp_path: Path) -> None:
    spool = RecordSpool(tmp_path / "x.spool")
    (tmp_path / "x.spool").unlink()
    (tmp_path / "x.spool").symlink_to("/dev/full")
    with pytest.raises(NightlinkError, match="E-SPOOL.*No space left on device"):
        spool.write(_batch())
