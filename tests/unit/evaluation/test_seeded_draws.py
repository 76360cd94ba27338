from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.seeded_draws import draw_order, draw_positions, draw_weighted, open_stream


def test_a_purpose_has_a_stream_of_its_own():
    assert open_stream(1, "ages").random() == open_stream(1, "ages").random()
    assert open_stream(1, "ages").random() != open_stream(1, "names").random()
    assert open_stream(1, "ages").random() != open_stream(2, "ages").random()


def test_a_negative_seed_is_refused():
    with pytest.raises(NightlinkError, match="E-INPUT"):
        open_stream(-1, "ages")


def test_draws_follow_their_weights_and_never_take_a_weight_of_zero():
    drawn = draw_weighted(open_stream(1, "test"), [0, 1, 0, 3, 0], 10_000)
    counts = np.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    assert counts[3] / 10_000 == pytest.approx(0.75, abs=0.02)


def test_positions_stay_in_range_and_orders_are_orders():
    assert set(draw_positions(open_stream(1, "test"), 3, 1_000).tolist()) == {0, 1, 2}
    assert sorted(draw_order(open_stream(1, "test"), 100)) == list(range(100))
