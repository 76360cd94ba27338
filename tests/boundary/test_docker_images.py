"""An image holds its own zone's folders and no other's; the linkage unit's container cannot reach a source.

No image is built here: the COPY lines of each Dockerfile are carried out on a temporary folder, and what they leave
there is looked at and imported.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ZONES = {"custodian", "linkage_unit", "coordinator", "evaluation", "demo"}
IMAGES = {
    "custodian": "flows.custodian.prefect_flow, flows.custodian.commands, flows.command_line",
    "linkage_unit": "flows.linkage_unit.prefect_flow, flows.linkage_unit.commands, flows.linkage_unit.audit_commands,"
    " flows.linkage_unit.warehouse_commands",
    "coordinator": "flows.coordinator.coordinate_night, flows.coordinator.run_command",
}
WORKERS = {"hospital-worker", "pharmacy-worker", "linkage-unit-worker", "coordinator-worker"}
MAY_REACH = {
    "hospital-worker": {"hospital-db", "warehouse-db", "prefect-server"},
    "pharmacy-worker": {"pharmacy-db", "warehouse-db", "prefect-server"},
    "linkage-unit-worker": {"warehouse-db", "prefect-server"},
    "coordinator-worker": {"prefect-server"},
}


def _copy_lines(image: str) -> list[list[str]]:
    """Sources and target of each COPY; a test of the tests: no other instruction may bring files in."""
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    words = [shlex.split(line) for line in text.splitlines() if line.split(" ")[0].isupper()]
    assert not [line for line in words if line[0] == "ADD" or any("--from" in word for word in line)]
    return [line[1:] for line in words if line[0] == "COPY"]


def _carry_out(image: str, folder: Path) -> Path:
    """What the image's working folder would hold, by Docker's rules: a folder's content, not the folder, is copied."""
    for *sources, target in _copy_lines(image):
        for source in sources:
            place = ROOT / source
            assert place.exists(), f"{image}: {source} is missing"
            if place.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(place, folder / target, dirs_exist_ok=True, ignore=ignore)
            else:
                (folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(place, folder / target)
    return folder


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_no_other_zones_folder(tmp_path: Path, image: str) -> None:
    found = {path.name for path in _carry_out(image, tmp_path).rglob("*") if path.is_dir()}
    assert image in found
    assert not found & (ZONES - {image})


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_holds_suffices(tmp_path: Path, image: str) -> None:
    code = f"import {IMAGES[image]}, flows; print(flows.__file__)"
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_carry_out(image, tmp_path),
        env={
            "PYTHONPATH": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "DO_NOT_TRACK": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert str(tmp_path) in outcome.stdout, "the copy was imported, not the checkout"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_rights(image: str) -> None:
    lines = (ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER")][-1].split()[1].startswith("61")


def _compose() -> dict[str, dict[str, dict[str, object]]]:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))


def _networks_of(service: dict[str, object]) -> set[str]:
    return set(service.get("networks", ()))  # type: ignore[call-overload]


@pytest.mark.parametrize("worker", sorted(WORKERS))
def test_a_worker_reaches_what_it_needs_and_nobody_else(worker: str) -> None:
    services = _compose()["services"]
    own = _networks_of(services[worker])
    reached = {name for name, service in services.items() if name != worker and own & _networks_of(service)}
    assert reached == MAY_REACH[worker]


def test_only_the_way_to_the_page_leaves_the_machine() -> None:
    compose = _compose()
    assert [name for name, network in compose["networks"].items() if not network.get("internal")] == [
        "people"
    ]
    assert [name for name, s in compose["services"].items() if "people" in _networks_of(s)] == [
        "prefect-server"
    ]


def test_the_linkage_unit_is_given_no_custodians_file() -> None:
    unit = _compose()["services"]["linkage-unit-worker"]
    volumes = [str(volume) for volume in unit["volumes"]]  # type: ignore[attr-defined]
    assert "secrets" not in unit
    assert not [v for v in volumes if "site/" in v and "linkage_unit" not in v]
    assert all(v.endswith(":ro") for v in volumes if v.startswith("exchange-"))
