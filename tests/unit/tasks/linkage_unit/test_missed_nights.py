"""Which nights were missed: by the ledger's word and the exchange's, and nobody else's."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tasks.linkage_unit.missed_nights import _nights_of, compare_nights
from tests.reference.small_world import make_unit

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(6)]


def test_nights_after_the_served_one_for_which_all_delivered_are_ready() -> None:
    delivered = {"hospital": DAYS[:5], "pharmacy": [DAYS[0], DAYS[2], DAYS[3], DAYS[5]]}
    missed = compare_nights(DAYS[1], delivered, DAYS[5])
    assert missed.ready == (DAYS[2], DAYS[3])
    assert missed.lacking == {DAYS[4]: ("pharmacy",), DAYS[5]: ("hospital",)}
    assert compare_nights(DAYS[1], delivered, DAYS[2]).ready == (DAYS[2],)


def test_before_the_first_publication_everything_that_was_delivered_is_missed() -> None:
    assert compare_nights(None, {"a": DAYS, "b": DAYS}, DAYS[3]).ready == tuple(DAYS[:4])
    assert compare_nights(None, {"a": [], "b": []}, DAYS[3]).ready == ()


@given(st.none() | st.sampled_from(DAYS), *[st.sets(st.sampled_from(DAYS))] * 3, st.sampled_from(DAYS))
def test_a_night_is_ready_lacking_or_none(
    served: date | None, a: set[date], b: set[date], c: set[date], until: date
) -> None:
    missed = compare_nights(served, {"a": a, "b": b, "c": c}, until)
    for night in DAYS:
        counts = night <= until and (served is None or night > served)
        without = tuple(name for name, nights in (("a", a), ("b", b), ("c", c)) if night not in nights)
        assert (night in missed.ready) == (counts and not without)
        assert missed.lacking.get(night, ()) == (without if counts and len(without) < 3 else ())
    assert list(missed.ready) == sorted(missed.ready)


def test_a_folder_without_manifest_or_of_no_night_is_no_delivery(tmp_path: Path) -> None:
    unit = make_unit(tmp_path)
    for run, whole in (("2026-03-01", True), ("2026-03-02", False), ("by-hand", True)):
        folder = unit.settings.exchange / "hospital" / run / "000001"
        folder.mkdir(parents=True)
        if whole:
            (folder / "manifest.json").write_text("{}")
    assert _nights_of(unit, "hospital") == {date(2026, 3, 1)}
    assert _nights_of(unit, "pharmacy") == set()
