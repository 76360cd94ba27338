"""What is shipped to deploy: Prefect's file, the runbook's table of codes, and `make` that does nothing twice."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from deployments.demo.stage_setting import CUSTODIANS
from linkage_core.errors import ERROR_CODES
from linkage_core.protocol.linkage_protocol import parse_protocol

ROOT = Path(__file__).resolve().parents[3]
PREFECT_FILE = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = {entry["name"]: entry for entry in PREFECT_FILE["deployments"]}
SCHEDULES = [
    pytest.param(schedule, id=f"{name}-{number}")
    for name, entry in DEPLOYMENTS.items()
    for number, schedule in enumerate(entry["schedules"])
]


def test_the_file_is_for_the_installed_prefect() -> None:
    import prefect

    assert PREFECT_FILE["prefect-version"] == prefect.__version__


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_entrypoint_is_a_flow_and_its_parameters_fit(name: str) -> None:
    from prefect import Flow

    path, _, attribute = DEPLOYMENTS[name]["entrypoint"].partition(":")
    assert (ROOT / path).is_file()
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), attribute)
    assert isinstance(flow, Flow)
    assert flow.persist_result is False and flow.log_prints is False
    given = DEPLOYMENTS[name].get("parameters", {})
    assert set(given) <= set(flow.parameters.properties)
    flow.validate_parameters(given)


def test_the_coordinator_starts_deployments_that_there_are() -> None:
    from flows.coordinator import coordinate_night as module
    from flows.custodian.prefect_flow import encode_and_deliver
    from flows.linkage_unit.prefect_flow import link_and_load

    protocol = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text(encoding="utf-8"))
    default = module.coordinate_night.parameters.properties["custodians"]["default"]
    assert tuple(default) == tuple(protocol.custodians) == CUSTODIANS
    assert {*default, "linkage-unit", "nightly"} == set(DEPLOYMENTS)
    assert (encode_and_deliver.name, link_and_load.name) == ("encode-and-deliver", "link-and-load")
    assert module.coordinate_night.name == "coordinate-night"


def test_each_party_has_a_pool_of_its_own_as_in_the_demo() -> None:
    pools = {name: entry["work_pool"]["name"] for name, entry in DEPLOYMENTS.items()}
    parties = (*CUSTODIANS, "linkage-unit")
    assert {name: pools[name] for name in parties} == {name: name for name in parties}
    assert set(pools.values()) == set(parties), "no pool without a worker"
    assert pools["nightly"] not in CUSTODIANS, "the coordinator runs at no custodian"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_has_a_time_zone_and_keeps_clear_of_changing_clocks(schedule: dict[str, str]) -> None:
    ZoneInfo(schedule["timezone"])
    minute, hour, *days = schedule["cron"].split()
    assert days == ["*", "*", "*"], "every night"
    assert 0 <= int(minute) < 60 and int(hour) in {0, *range(3, 24)}


def test_a_custodian_without_coordinator_delivers_before_the_linkage_unit_begins() -> None:
    begins = {name: entry["schedules"][0]["cron"].split()[1::-1] for name, entry in DEPLOYMENTS.items()}
    as_minutes = {name: 60 * int(hour) + int(minute) for name, (hour, minute) in begins.items()}
    assert max(as_minutes[name] for name in CUSTODIANS) < as_minutes["linkage-unit"]


def test_only_the_coordinator_is_scheduled_unless_somebody_says_so() -> None:
    active = {name for name, entry in DEPLOYMENTS.items() if entry["schedules"][0]["active"]}
    assert active == {"nightly"}


def test_the_runbook_explains_every_code_once_in_the_registrys_words() -> None:
    text = (ROOT / "deployments" / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Error codes\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(E-[A-Z-]+)` \| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    assert [code for code, _, _ in rows] == list(ERROR_CODES)
    assert {code: meaning for code, meaning, _ in rows} == ERROR_CODES
    assert all(advice.endswith(".") for _, _, advice in rows)


def test_every_code_that_the_runbook_names_is_registered() -> None:
    text = (ROOT / "deployments" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(E-[A-Z][A-Z-]+)`", text)) == set(ERROR_CODES)


def _make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(
    not (ROOT / ".venv" / ".done").exists() or Path(sys.prefix) != ROOT / ".venv",
    reason="the tests do not run from an environment that `make setup` made",
)
def test_a_second_setup_does_nothing() -> None:
    stamp = ROOT / ".venv" / ".done"
    sources = [ROOT / "requirements.txt", ROOT / "pyproject.toml"]
    if any(source.stat().st_mtime > stamp.stat().st_mtime for source in sources):
        pytest.skip("the lock file was changed since the set-up, so that there is something to do")
    assert "uv" not in _make("-n", "setup")


def test_a_changed_lock_file_sets_up_again() -> None:
    """The positive control of the test above."""
    assert "pip sync" in _make("-n", "-W", "requirements.txt", "setup")
