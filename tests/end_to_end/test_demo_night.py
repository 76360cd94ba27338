"""The whole demo with its Prefect server and workers: its figures, its silence about names, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.demo.data_folder import PREFIX, demo_folder

CHECKOUT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8",
            "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip


def start_demo(words: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flows.command_line", "demo", "--no-wait", "--count", "300", *options]
    with words.open("wb") as file:
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip


def wait_for(words: Path, text: str, process: subprocess.Popen[bytes], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while text not in words.read_text():
        assert process.poll() is None and time.monotonic() < deadline, words.read_text()
        time.sleep(0.1)


def alive(processes: list[tuple[int, float]]) -> list[int]:
    """Those of the processes, by number and start, that still run."""
    left = []
    for number, started in processes:
        try:
            process = psutil.Process(number)
            if abs(process.create_time() - started) < 0.1 and process.status() != psutil.STATUS_ZOMBIE:
                left.append(number)
        except psutil.NoSuchProcess:
            continue
    return left


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One demo, played, searched and ended; its output must not hold a name either."""
    out = tmp_path_factory.mktemp("watched")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("watched_demo.py")), str(out)],
        cwd=CHECKOUT, env=environment(), capture_output=True, text=True, timeout=420, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    yield {**json.loads((out / "seen.json").read_text()), "output": done.stdout + done.stderr}


def test_the_night_completes_and_is_seen_in_prefect(watched: dict[str, Any]) -> None:
    assert watched["states"] == {"Completed": 4, "Scheduled": watched["states"]["Scheduled"]}
    assert watched["told"]["task_runs"] >= 17
    assert watched["told"]["logs"] > 40
    # A loaded machine's long stages leave their progress beside it.
    progress = {"linkage-progress", "delivery-progress"}
    assert [key for key in watched["artifact_keys"] if key not in progress] == ["linkage-report"]
    assert watched["report_bytes"] > 10_000


def test_planted_names_and_keys_are_in_nothing_that_prefect_or_the_night_left(
    watched: dict[str, Any],
) -> None:
    assert watched["leaks"] == []
    assert watched["leaks_at_the_end"] == []
    assert any(path.startswith("searched/tables/") for path in watched["found_after_planting_in_a_log"])


def test_failing_nights_fail_visibly_in_prefect_with_their_codes(watched: dict[str, Any]) -> None:
    failures = {fault: message for fault, (_, message) in watched["failures"].items()}
    states = watched["states_after_the_failures"]  # a run that is retried ends otherwise
    assert (
        failures["source down"].startswith("E-PARTY-FAILED")
        and "E-SRC-UNAVAILABLE" in failures["source down"]
    )
    assert "E-DQ-REJECTS" in failures["too many rejects"]
    assert "E-KEY-MISMATCH" in failures["other key"]
    assert failures["flow run killed"].startswith("E-PARTY-FAILED")
    assert states["Failed"] >= 7
    assert set(states) | set(watched["states_at_the_end"]) <= {"Completed", "Scheduled", "Failed", "Crashed"}
    assert watched["served_through_all_of_them"]


def test_retry_pressed_in_prefect_ends_the_night_and_changes_nothing_twice(watched: dict[str, Any]) -> None:
    assert watched["retried"] == {"night": "Completed", "custodian": "Completed"}
    assert watched["published_by_the_retry"] == ["published", None]
    assert not watched["changed_by_the_second_retry"]


def test_the_output_holds_no_planted_name(watched: dict[str, Any]) -> None:
    from tests.faults.planted_people import planted_words

    output = watched["output"].casefold()
    assert "hospital" in output
    assert [word for word in planted_words() if word.casefold() in output] == []


def test_the_figures_are_complete_and_the_researchers_answer_is_near_the_truth(
    watched: dict[str, Any],
) -> None:
    figures = watched["figures"]
    assert set(figures) >= {
        "as_of", "custodians", "candidates", "links", "quality", "answer", "answer_period", "audit", "prefect_ui",
        "report", "seconds", "peak_mib", "separation", "estimates",
    }  # fmt: skip
    assert set(figures["custodians"]) == {"hospital", "pharmacy"}
    told = {(row["measure"], row["estimator"]) for row in figures["estimates"]}
    assert told >= {("precision", "null_people"), ("precision", "posteriors"), ("recall", "canary_pairs")}
    output = watched["output"]
    before, beside = (
        output.index("before any truth"),
        output.index("beside the truth that only this demo knows"),
    )
    assert before < beside
    assert figures["quality"]["matches"]["precision"] > 0.95
    assert figures["quality"]["matches"]["recall"] > 0.7
    shown = [row for row in figures["answer"] if not row["suppressed"]]
    assert shown
    for row in shown:
        assert row["discharged_patients"] >= 10
        assert 0 <= row["share_low"] <= row["share"] <= row["share_high"] <= 1
        assert abs(row["share"] - row["true_share"]) < 0.25
    assert all(
        row["share"] is None and row["true_share"] is None for row in figures["answer"] if row["suppressed"]
    )


def test_nothing_is_left_of_a_demo_that_ended(watched: dict[str, Any]) -> None:
    assert len(watched["processes"]) > 7
    assert alive(watched["processes"]) == []
    assert not Path(watched["root"]).exists()


def test_a_demo_that_is_killed_in_mid_night_leaves_no_process_and_the_next_one_clears_its_folder(
    tmp_path: Path,
) -> None:
    demo = start_demo(tmp_path / "words")
    # Past extraction, so that a worker's flow run is at work as well.
    wait_for(tmp_path / "words", "extract content", demo)
    processes = [
        (child.pid, child.create_time()) for child in psutil.Process(demo.pid).children(recursive=True)
    ]
    folder = next(
        Path(word)
        for child, _ in processes
        for word in psutil.Process(child).cmdline()
        if f"/{PREFIX}" in word
    )
    root = next(path for path in (folder, *folder.parents) if path.name.startswith(PREFIX))
    demo.kill()
    demo.wait(10)

    deadline = time.monotonic() + 40
    while alive(processes) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [psutil.Process(number).cmdline() for number in alive(processes)] == []
    assert root.is_dir()
    with demo_folder():
        assert not root.exists()


def test_two_demos_at_the_same_time_both_end_well(tmp_path: Path) -> None:
    names = ("first", "second")
    demos = [start_demo(tmp_path / name, "--json", str(tmp_path / f"{name}.json")) for name in names]

    exit_codes = [demo.wait(400) for demo in demos]

    assert exit_codes == [0, 0], "\n".join((tmp_path / name).read_text()[-1500:] for name in names)
    figures = [json.loads((tmp_path / f"{name}.json").read_text()) for name in names]
    delivered = [{name: c["delivered"] for name, c in each["custodians"].items()} for each in figures]
    assert delivered[0] == delivered[1]
    assert figures[0]["folder"] != figures[1]["folder"]
    assert not any(Path(each["folder"]).exists() for each in figures)
