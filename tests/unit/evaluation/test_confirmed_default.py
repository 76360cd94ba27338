"""`make confirm-default`'s second table runs, on people who do not exist."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.attack_results import FoundResults
from tests.benchmarks.confirmed_default import FIGURES, night_figures


def test_a_night_with_plain_and_with_diffused_filters(tmp_path: Path) -> None:
    found = FoundResults(tmp_path / "found.json")
    for terms in (1, 8):
        rows = night_figures(tmp_path / "generated:200:1", terms, 1, found)
        assert rows.shape == (1, len(FIGURES))
        assert rows[0, FIGURES.index("best_f1")] > 0.9
