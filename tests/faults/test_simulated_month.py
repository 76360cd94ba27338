"""The simulated month in small: six nights with lives, two rotations, an erasure and two faults end in whole links."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.month_picture import draw_month
from tests.faults.simulate_month import MonthNight, main


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_six_nights_of_a_small_town_end_with_every_invariant_intact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture = tmp_path / "month.json", tmp_path / "month.svg"
    options = ["--people", "400", "--nights", "6", "--json", str(figures), "--picture", str(picture)]
    assert main(options) == 0
    nights = json.loads(figures.read_text())
    assert [night["fault"] for night in nights if night["fault"]] == ["source down", "linkage unit killed"]
    assert [night["epoch"] for night in nights] == ["2026", "2026", "2026-2", "2026-2", "2026-3", "2026-3"]
    assert all(night["precision"] > 0.95 and night["recall"] > 0.9 for night in nights)
    assert "I6: no planted name" in capsys.readouterr().out
    assert picture.read_text().endswith("</svg>\n")


def test_the_picture_is_the_same_for_the_same_nights_and_names_what_failed() -> None:
    nights = [
        MonthNight(number, f"2026-04-{number:02d}", "2026", wall_s=9.0 + number, cpu_s=8.0, delivered_mib=1.5,
                   precision=0.99, recall=0.97, fault="source <down>" if number == 3 else "", code="E-X")
        for number in range(1, 5)
    ]  # fmt: skip
    picture = draw_month(nights, 1000)
    assert picture == draw_month(nights, 1000)
    assert picture.count(">F<title>source &lt;down&gt;: E-X</title>") == 1
    assert "<circle" in picture and "nan" not in picture
