"""What the linkage unit deleted of its own encodings, noted until the audit log says it. Zone: linkage_unit."""

from __future__ import annotations

import json
import os
from pathlib import Path

NOTES_NAME = "deleted.jsonl"


def note_deletion(state_folder: Path, custodian: str, manifest_sha256: str, key_epoch: str) -> None:
    """Note that the linkage unit deleted what it kept of a delivery; once it is gone."""
    line = json.dumps([custodian, manifest_sha256, key_epoch]).encode() + b"\n"
    path = state_folder / NOTES_NAME
    with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def noted_deletions(state_folder: Path) -> list[tuple[str, str, str]]:
    """Custodian, manifest digest and key epoch of each note."""
    path = state_folder / NOTES_NAME
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [(name, sha256, epoch) for name, sha256, epoch in map(json.loads, lines)]


def forget_notes(state_folder: Path) -> None:
    """Remove the notes, once they are logged."""
    (state_folder / NOTES_NAME).unlink(missing_ok=True)
