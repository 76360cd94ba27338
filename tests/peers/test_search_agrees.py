"""The threshold join finds anonlink's pairs at anonlink's similarities; the nearest are faiss's at its distances."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.linkage_unit.distance_bounds import BoundShape
from linkage_core.linkage_unit.nearest_neighbours import find_nearest
from linkage_core.linkage_unit.threshold_join import find_similar_pairs
from tests.benchmarks.generated_filters import filters_of_people
from tests.benchmarks.peer_races import PEER_PYTHON, run_peer

pytestmark = pytest.mark.skipif(
    not PEER_PYTHON.exists(), reason="the peers' environment is not there; `make peers` makes it"
)


@pytest.fixture(scope="module")
def people() -> tuple[np.ndarray, np.ndarray]:
    """Generated people, and among them filters of all ones, all zeros and one constant."""
    a, b = filters_of_people(4000, seed=8)
    words = a.shape[1]
    hubs = np.repeat(np.array([2**64 - 1, 0, 0x00FF00FF00FF00FF], np.uint64), words).reshape(3, words)
    return np.concatenate([a[:1500], hubs]), np.concatenate([b, hubs, hubs])


@pytest.mark.parametrize("threshold", [0.5, 2 / 3, 0.7, 0.8, 0.9, 1.0])
def test_pairs_and_similarities_are_anonlinks_to_the_bit(people, tmp_path, threshold):
    theirs = run_peer("anonlink", tmp_path, *people, threshold)[1]
    order = np.lexsort((theirs["index_b"], theirs["index_a"]))
    assert len(order) > 0
    for shape in (None, BoundShape(8, 5), BoundShape(16, 16)):
        ours = find_similar_pairs(*people, threshold, shape=shape)
        for name in ("index_a", "index_b", "similarity"):
            assert np.array_equal(getattr(ours, name), theirs[name][order])


@pytest.mark.parametrize("k", [1, 100])
def test_distances_are_those_of_faisss_flat_index(people, tmp_path, k):
    theirs = run_peer("faiss", tmp_path, *people, k)[1]
    ours = find_nearest(*people, k, measure="hamming")
    assert np.array_equal(ours.similarity, theirs["distance"])
