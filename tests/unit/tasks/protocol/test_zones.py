"""Each zone's process refuses an environment or a file that it must not see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol.zones import (
    CREDENTIAL_VARIABLES,
    SETTINGS_VARIABLE,
    refuse_foreign_environment,
    refuse_readable,
)

PLAIN = {"PATH": "/usr/bin", "HOME": "/home/x", "PREFECT_API_URL": "http://127.0.0.1:4200/api"}


@pytest.mark.parametrize("zone", SETTINGS_VARIABLE)
def test_a_zone_may_see_its_own_settings_and_a_plain_environment(zone: str) -> None:
    refuse_foreign_environment(zone, PLAIN)
    refuse_foreign_environment(zone, {**PLAIN, SETTINGS_VARIABLE[zone]: "/etc/x.toml"})


@pytest.mark.parametrize("zone", SETTINGS_VARIABLE)
@pytest.mark.parametrize("other", SETTINGS_VARIABLE)
def test_a_zone_may_not_see_anothers_settings(zone: str, other: str) -> None:
    if zone == other:
        return
    with pytest.raises(NightlinkError, match="E-ZONE") as caught:
        refuse_foreign_environment(zone, {**PLAIN, SETTINGS_VARIABLE[other]: "/secret/path"})
    assert SETTINGS_VARIABLE[other] in str(caught.value)
    assert "/secret/path" not in str(caught.value)


@pytest.mark.parametrize("variable", [*CREDENTIAL_VARIABLES, "NIGHTLINK_LINKAGE_KEY"])
def test_no_zone_may_see_a_credential(variable: str) -> None:
    for zone in SETTINGS_VARIABLE:
        with pytest.raises(NightlinkError, match="E-ZONE") as caught:
            refuse_foreign_environment(zone, {**PLAIN, variable: "s3cret"})
        assert variable in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_readable_file_of_another_party_is_refused_and_an_absent_one_is_not(tmp_path: Path) -> None:
    there = tmp_path / "linkage.key"
    refuse_readable("linkage_unit", [there])
    there.write_text("key")
    with pytest.raises(NightlinkError, match=r"E-ZONE.*linkage\.key is readable"):
        refuse_readable("linkage_unit", [tmp_path / "absent", there])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_file_that_the_system_keeps_closed_is_accepted() -> None:
    """A process of another user asks about a file of root's with mode 0600: out of reach, so it may start."""
    code = (
        "import os\nfrom pathlib import Path\nfrom tasks.protocol.zones import refuse_readable\n"
        "import tempfile\n"
        "path = Path(tempfile.mkstemp()[1])\nos.setgroups([]); os.setresgid(61999, 61999, 61999)\n"
        "os.setresuid(61999, 61999, 61999)\nrefuse_readable('linkage_unit', [path])\nprint(path)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-500:]
    Path(outcome.stdout.strip()).unlink()
