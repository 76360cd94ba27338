"""Which way imports point: the contracts hold, and each one catches a planted violation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("deployments", "flows", "tasks", "sql", "linkage_core")

PLANTED = [
    ("linkage_core/protocol/wire_format.py", "import flows.command_line", "Imports point downwards"),
    ("linkage_core/helpers.py", "X = 1", "Inside the core"),
    ("linkage_core/audit/merkle_tree.py", "import linkage_core.custodian.normalise", "Inside the core"),
    ("linkage_core/custodian/normalise.py", "import os", "The core is pure"),
    ("linkage_core/linkage_unit/dice_kernels.py", "def f():\n    import prefect", "The core is pure"),
    ("tasks/linkage_unit/block.py", "import tasks.custodian.encode", "cannot reach a custodian's"),
    ("flows/coordinator/coordinate_night.py", "import sql.custodian.source", "cannot reach a custodian's"),
    (
        "tasks/custodian/encode.py",
        "import linkage_core.linkage_unit.dice_kernels",
        "cannot reach the linkage unit's",
    ),
    (
        "tasks/linkage_unit/score.py",
        "import linkage_core.evaluation.linkage_quality",
        "imports the evaluation",
    ),
    ("tasks/custodian/extract.py", "import psycopg2", "Only sql/ imports"),
    ("tasks/linkage_unit/receive.py", "import great_expectations", "Only the expectations"),
]


def _copy_of_the_code(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", folder / ".importlinter")
    return folder


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as main; main()",
            "--no-cache",
        ],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _broken(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.rstrip().endswith("BROKEN")]


def test_all_contracts_hold(tmp_path: Path) -> None:
    outcome = _lint(_copy_of_the_code(tmp_path))
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-1000:]
    assert "0 broken" in outcome.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"), PLANTED, ids=[f"{f}:{n}" for n, (f, _, _) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, line: str, contract: str) -> None:
    target = _copy_of_the_code(tmp_path) / file
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")
    outcome = _lint(tmp_path)
    assert outcome.returncode != 0
    assert any(contract in line for line in _broken(outcome.stdout)), (
        outcome.stdout[-3000:] + outcome.stderr[-500:]
    )
