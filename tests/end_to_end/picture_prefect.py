"""Pictures of Prefect's pages for the READMEs, from a night that published and one that failed.

``python -m tests.end_to_end.picture_prefect deployments/pictures``: the demo's night, then one in which the pharmacy's
rows break too many rules, then Chromium looks at both.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from deployments.demo import command, stage_setting
from deployments.demo.data_folder import demo_folder
from tasks.linkage_unit.report import ARTIFACT_KEY
from tests.end_to_end.watched_demo import post, run_failing_night
from tests.faults.night_world import NightWorld

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
COUNT = 500
SETTLED_S = 8
"""The pages ask for their data after they have loaded, and again when a run has ended."""


def main(folder: Path) -> None:
    """Play the nights and take the pictures."""
    began, worlds = time.time(), []
    set_stage = stage_setting.set_stage

    def set_stage_and_keep(*arguments: Any, **named: Any) -> stage_setting.DemoWorld:
        worlds.append(set_stage(*arguments, **named))
        return worlds[-1]

    stage_setting.set_stage = set_stage_and_keep
    with demo_folder() as root, ExitStack() as stack:
        figures = command.play_night(root, stack, None, COUNT, None, 900.0)
        world = NightWorld(worlds[-1], stack, began)
        world.last_night = date.fromisoformat(figures["as_of"])
        with world.changed_settings("pharmacy", ("max_reject_share = 0.05", "max_reject_share = 0.0")):
            print(run_failing_night(world)[1])
        take_pictures(figures["prefect_ui"], figures["as_of"], world.last_night.isoformat(), folder)


def take_pictures(ui: str, good: str, bad: str, folder: Path) -> None:
    """A picture of each page, named as the READMEs name them."""
    runs = {run["name"]: run["id"] for run in post(f"{ui}/api/flow_runs/filter", {"limit": 200})}
    [artifact] = (a for a in post(f"{ui}/api/artifacts/filter", {"limit": 200}) if a["key"] == ARTIFACT_KEY)
    pages = {
        "prefect_night": f"/runs/flow-run/{runs[f'night {good}']}",
        "prefect_hospital": f"/runs/flow-run/{runs[f'hospital {good}']}",
        "prefect_linkage_unit": f"/runs/flow-run/{runs[f'linkage-unit {good}']}",
        "prefect_failed_night": f"/runs/flow-run/{runs[f'night {bad}']}",
        "prefect_failed_pharmacy": f"/runs/flow-run/{runs[f'pharmacy {bad}']}",
        "prefect_artifact": f"/artifacts/artifact/{artifact['id']}",
        "prefect_automations": "/automations",
    }
    print(json.dumps(pages, indent=1))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for name, path in pages.items():
            look_at(page, ui + path)
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


def look_at(page: Page, url: str) -> None:
    """Open a page and wait until it has drawn what it asked for."""
    page.goto(url, wait_until="domcontentloaded", timeout=60_000)
    page.wait_for_timeout(SETTLED_S * 1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
