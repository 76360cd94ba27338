"""The exchange on a real file system: write-once, whole or invisible, and closed to what is no plain file."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol.exchange import (
    MANIFEST_NAME,
    DeliveryFolder,
    complete_deliveries,
    missing_delivery,
    next_sequence,
    open_delivery,
    read_file,
    remove_unfinished,
    write_file,
)

NIGHT = "2026-11-22"


def _deliver(exchange: Path, sequence: int, *, finished: bool = True, run_id: str = NIGHT) -> DeliveryFolder:
    folder = open_delivery(exchange, "hospital", run_id, sequence)
    write_file(folder, "part-0000.sealed", b"part")
    if finished:
        write_file(folder, MANIFEST_NAME, b"manifest")
    return folder


def test_an_exchange_without_deliveries_is_empty(tmp_path: Path) -> None:
    assert complete_deliveries(tmp_path, "hospital", NIGHT) == []
    assert next_sequence(tmp_path, "hospital") == 1
    assert remove_unfinished(tmp_path, "hospital", NIGHT) == 0


def test_a_delivery_without_its_manifest_does_not_exist_but_takes_its_number(tmp_path: Path) -> None:
    _deliver(tmp_path, 1, finished=False)
    assert complete_deliveries(tmp_path, "hospital", NIGHT) == []
    assert next_sequence(tmp_path, "hospital") == 2


def test_deliveries_come_in_order_of_sequence_and_numbers_go_on_over_runs(tmp_path: Path) -> None:
    for sequence in (10, 2, 9):
        _deliver(tmp_path, sequence)
    _deliver(tmp_path, 11, run_id="2026-11-23")
    found = complete_deliveries(tmp_path, "hospital", NIGHT)
    assert [folder.sequence for folder in found] == [2, 9, 10]
    assert next_sequence(tmp_path, "hospital") == 12
    assert complete_deliveries(tmp_path, "pharmacy", NIGHT) == []


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    _deliver(tmp_path, 1)
    with pytest.raises(FileExistsError):
        open_delivery(tmp_path, "hospital", NIGHT, 1)


def test_only_unfinished_deliveries_are_removed(tmp_path: Path) -> None:
    kept = _deliver(tmp_path, 1)
    gone = _deliver(tmp_path, 2, finished=False)
    other_night = _deliver(tmp_path, 3, finished=False, run_id="2026-11-23")
    assert remove_unfinished(tmp_path, "hospital", NIGHT) == 1
    assert kept.path.is_dir() and other_night.path.is_dir() and not gone.path.exists()


def test_a_torn_write_leaves_no_file_under_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_delivery(tmp_path, "hospital", NIGHT, 1)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(NightlinkError, match="E-OUTPUT.*No space"):
        write_file(folder, MANIFEST_NAME, b"manifest")
    assert list(folder.path.iterdir()) == []
    monkeypatch.undo()
    assert complete_deliveries(tmp_path, "hospital", NIGHT) == []
    assert remove_unfinished(tmp_path, "hospital", NIGHT) == 1


def test_modes_let_the_group_read_and_nobody_else(tmp_path: Path) -> None:
    previous = os.umask(0o077)  # as the workers run
    try:
        folder = _deliver(tmp_path, 1)
    finally:
        os.umask(previous)
    for path in (folder.path, folder.path.parent, folder.path.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o2750
    assert stat.S_IMODE((folder.path / MANIFEST_NAME).stat().st_mode) == 0o640
    assert [p.name for p in folder.path.iterdir() if p.name.startswith(".")] == []


def test_a_file_is_read_up_to_its_size_and_not_beyond(tmp_path: Path) -> None:
    folder = _deliver(tmp_path, 1)
    assert read_file(folder, "part-0000.sealed", 4) == b"part"
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST.*4 bytes"):
        read_file(folder, "part-0000.sealed", 3)


def _as_symlink(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"part")
    path.symlink_to(path.parent / "elsewhere")


def _as_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


NO_PLAIN_FILES = {
    "nothing": lambda path: None,
    "symlink": _as_symlink,
    "dangling symlink": lambda path: path.symlink_to("/nonexistent"),
    "symlink to a device": lambda path: path.symlink_to("/dev/zero"),
    "FIFO": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "socket": _as_socket,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_plain_file_is_refused_without_hanging(tmp_path: Path, kind: str) -> None:
    folder = open_delivery(tmp_path, "hospital", NIGHT, 1)
    NO_PLAIN_FILES[kind](folder.path / "part-0000.sealed")
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST"):
        read_file(folder, "part-0000.sealed", 100)


@pytest.mark.timeout(20)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device node")
def test_a_device_is_refused(tmp_path: Path) -> None:
    folder = open_delivery(tmp_path, "hospital", NIGHT, 1)
    try:
        os.mknod(folder.path / "part-0000.sealed", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("this container may make no device nodes")
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST"):
        read_file(folder, "part-0000.sealed", 100)


@pytest.mark.parametrize("name", ["000001x", "1", "0000001", "..", "latest", ".000001"])
def test_folders_of_other_names_are_not_deliveries(tmp_path: Path, name: str) -> None:
    (tmp_path / "hospital" / NIGHT).mkdir(parents=True)
    other = tmp_path / "hospital" / NIGHT / name
    other.mkdir(exist_ok=True)
    (other / MANIFEST_NAME).write_bytes(b"manifest")
    assert complete_deliveries(tmp_path, "hospital", NIGHT) == []


def test_a_linked_folder_is_no_delivery(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MANIFEST_NAME).write_bytes(b"manifest")
    home = tmp_path / "hospital" / NIGHT
    home.mkdir(parents=True)
    (home / "000001").symlink_to(elsewhere, target_is_directory=True)
    assert complete_deliveries(tmp_path, "hospital", NIGHT) == []


def test_a_missing_delivery_may_come_later() -> None:
    error = missing_delivery(NIGHT, ["hospital", "pharmacy"])
    assert (error.code, error.transient) == ("E-DLV-MISSING", True)
    assert "hospital, pharmacy" in str(error) and NIGHT in str(error)
