"""The code version tells what ran: any changed source changes it, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.protocol import code_version as module


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("flows/a.py", "linkage_core/b.py", "sql/c.sql", "tasks/d.j2"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


def _version() -> str:
    return module.code_version.__wrapped__()


def test_this_installation_has_a_version_fit_for_a_manifest() -> None:
    assert re.fullmatch(r"nightlink-0\.1\.0\+[0-9a-f]{12}", module.code_version())


@pytest.mark.parametrize("name", ["flows/a.py", "linkage_core/b.py", "sql/c.sql", "tasks/d.j2"])
def test_a_changed_a_moved_and_a_missing_source_change_it(checkout: Path, name: str) -> None:
    before = _version()
    (checkout / name).write_text("y")
    changed = _version()
    (checkout / name).rename((checkout / name).with_stem("moved"))
    moved = _version()
    (checkout / name).with_stem("moved").unlink()
    assert len({before, changed, moved, _version()}) == 4


def test_what_is_no_source_does_not_count(checkout: Path) -> None:
    before = _version()
    (checkout / "flows" / "a.pyc").write_text("compiled")
    (checkout / "flows" / "README.md").write_text("words")
    (checkout / "tests").mkdir()
    (checkout / "tests" / "t.py").write_text("test")
    assert _version() == before
