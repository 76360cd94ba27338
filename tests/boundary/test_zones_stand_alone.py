"""Each side's machine needs its own side's code only: with the other's folders deleted it still imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "sql", "linkage_core")
FOLDERS = {"custodian": ("custodian",), "linkage_unit": ("linkage_unit", "coordinator")}
# The editable installation would quietly serve the deleted folders from this checkout.
WITHOUT_THE_CHECKOUT = """\
import sys
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""


def _checkout_without(folder: Path, zone: str) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", zone))
    return folder


def _modules_of(zone: str, checkout: Path) -> list[str]:
    """Every module in the zone's folders, wherever they lie."""
    files = [
        path.relative_to(checkout)
        for package in PACKAGES
        for path in sorted((checkout / package).rglob("*.py"))
        if set(FOLDERS[zone]) & set(path.relative_to(checkout).parts[:-1])
    ]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files]


def _run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PYTHONPATH": str(folder),
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_CHECKOUT + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("kept", "deleted"), [("linkage_unit", "custodian"), ("custodian", "linkage_unit")])
def test_a_side_imports_with_the_others_folders_deleted(tmp_path: Path, kept: str, deleted: str) -> None:
    folder = _checkout_without(tmp_path, deleted)
    modules = _modules_of(kept, folder)
    assert any(name.endswith("prefect_flow") for name in modules)
    outcome = _run(folder, f"import {', '.join(modules)}\nprint(flows.__file__)")
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert str(tmp_path) in outcome.stdout, "the copy was imported, not the checkout"


@pytest.mark.parametrize("deleted", ["custodian", "linkage_unit"])
def test_the_deleted_side_is_really_gone(tmp_path: Path, deleted: str) -> None:
    """The positive control of the test above, and what a user of that machine is told."""
    folder = _checkout_without(tmp_path, deleted)
    gone = _run(folder, f"import flows.{deleted}")
    assert gone.returncode != 0
    assert "ModuleNotFoundError" in gone.stderr
    command = deleted.replace("_", "-")
    told = _run(folder, f"from flows.command_line import main; main([{command!r}])")
    assert told.returncode == 2
    assert (
        told.stderr.strip() == f"nightlink {command}: this machine's installation is without that zone's code"
    )


def test_the_custodians_prose_needs_no_prefect() -> None:
    code = (
        "import sys; sys.modules['prefect'] = None; sys.modules['great_expectations'] = None\n"
        "import flows.custodian.encode_and_deliver, flows.custodian.commands"
    )
    outcome = _run(ROOT, code)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
