"""A custodian's night needs as much memory for four times the people, and less than a GiB."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.synthetic_people_files import write_people
from tests.reference.file_site import NIGHT, file_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PEOPLE = 30_000
ALLOWANCE_MIB = 96
"""What may grow: 16 bytes of digest a row against repeated ids, 8 bytes a value and field in the survey, both bounded
at 128 MiB, and the Python objects of the rows that are rejected."""

_PEAK = re.compile(r"finished in .* peak ([0-9]+) MiB")


def _peak_mib(root: Path, people: int) -> int:
    root.mkdir()
    write_people(root / "people.csv", None, None, people=people, seed=7)
    settings = file_site(root, root / "people.csv")
    command = [sys.executable, "-m", "flows.command_line", "custodian", "deliver"]
    done = subprocess.run(
        [*command, "--as-of", NIGHT, "--settings", str(settings)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    delivered = re.search(r"records delivered: ([0-9]+)", done.stdout + done.stderr)
    assert delivered is not None and int(delivered[1]) > 0.9 * people
    return max(int(found) for found in _PEAK.findall(done.stdout + done.stderr))


def test_four_times_the_people_need_no_more_memory(tmp_path: Path) -> None:
    few, many = (_peak_mib(tmp_path / str(people), people) for people in (PEOPLE, 4 * PEOPLE))
    assert many < 1024
    assert many <= few + ALLOWANCE_MIB, f"{few} MiB for {PEOPLE} people, {many} for {4 * PEOPLE}"
