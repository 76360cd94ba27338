"""How far a command is: a bar on a terminal, plain lines elsewhere, counts only."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.custodian import edge_progress
from tasks.custodian.edge_progress import SECONDS_A_LINE, progress

ROOT = Path(__file__).resolve().parents[4]
SLOW_FILE = (
    "import time\nfrom tasks.custodian.edge_progress import progress\n"
    "with progress('encoding', 1000) as tell:\n"
    "    for step in (1, 2):\n        tell(step * 50_000, step * 400)\n        time.sleep(0.3)\n"
)


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    told, now = io.StringIO(), [100.0]
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setattr(edge_progress.time, "monotonic", lambda: now[0])
    with progress("encoding", 1000) as tell:
        for rows in (10, 20, 30):
            now[0] += SECONDS_A_LINE * 0.6
            tell(rows, rows)
    assert told.getvalue() == "encoding: 20 rows\n", "a line each few seconds, and none for a short run"


def test_a_bar_on_a_terminal() -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_FILE],
        cwd=ROOT,
        stderr=child,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert process.wait(60) == 0
    text = shown.decode("utf-8")
    assert "encoding: 100000 rows" in text and "80%" in text and "\u2501" in text, text
