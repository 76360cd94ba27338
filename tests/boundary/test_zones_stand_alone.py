"""Each side's machine needs its own side's code only: with the other's folders deleted it still imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "sql", "linkage_core")
MODULES = {
    "custodian": ["flows.custodian.encode_and_deliver", "flows.custodian.prefect_flow", "flows.custodian.commands"],
    "linkage_unit": [
        "flows.linkage_unit.link_and_load",
        "flows.linkage_unit.prefect_flow",
        "flows.linkage_unit.commands",
        "flows.linkage_unit.audit_commands",
        "flows.linkage_unit.warehouse_commands",
        "flows.coordinator.coordinate_night",
        "flows.coordinator.run_command",
    ],
}


def _checkout_without(folder: Path, zone: str) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", zone))
    return folder


def _import(folder: Path, modules: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}; print(flows.__file__)"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("kept", "deleted"), [("linkage_unit", "custodian"), ("custodian", "linkage_unit")])
def test_a_side_imports_with_the_others_folders_deleted(tmp_path: Path, kept: str, deleted: str) -> None:
    folder = _checkout_without(tmp_path, deleted)
    outcome = _import(folder, MODULES[kept])
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert str(tmp_path) in outcome.stdout, "the copy was imported, not the checkout"


@pytest.mark.parametrize("deleted", ["custodian", "linkage_unit"])
def test_the_deleted_side_is_really_gone(tmp_path: Path, deleted: str) -> None:
    """The positive control of the test above."""
    outcome = _import(_checkout_without(tmp_path, deleted), [MODULES[deleted][0]])
    assert outcome.returncode != 0
    assert "ModuleNotFoundError" in outcome.stderr


def test_the_custodians_prose_needs_no_prefect(tmp_path: Path) -> None:
    code = "import sys; sys.modules['prefect'] = None; import flows.custodian.encode_and_deliver, flows.custodian.commands"
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
