"""Files of a party's own: whole or not at all, and no killed run's rest is in the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol.output_files import replace_file, whole_file


def test_a_file_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "last_sequence"
    path.with_name(".last_sequence.partial").write_bytes(b"what a killed run left, longer than the next one")
    for text in (b"7\n", b"8\n"):
        replace_file(path, text)
        assert path.read_bytes() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["last_sequence"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "last_sequence"
    replace_file(path, b"7\n")
    path.with_name(
        ".last_sequence.partial"
    ).mkdir()  # root may write anywhere: a folder is in the way of anybody
    with pytest.raises(NightlinkError, match="E-OUTPUT.*Is a directory"):
        replace_file(path, b"8\n")
    assert path.read_bytes() == b"7\n"


def test_a_killed_process_of_the_same_number_is_not_in_the_way(tmp_path: Path) -> None:
    """In a container a command has the same process number each time."""
    path = tmp_path / "links.csv"
    path.with_name(f".links.csv.{os.getpid()}.partial").write_bytes(b"half")
    with whole_file(path) as file:
        file.write(b"all")
    assert path.read_bytes() == b"all"
    assert [entry.name for entry in tmp_path.iterdir()] == ["links.csv"]
