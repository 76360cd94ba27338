"""A seed's people and care, to the byte. A change here changes every figure that was measured on them.

`vectors/synthetic_people.json` was written by `python tests/golden/test_synthetic_people_vectors.py`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest

from linkage_core.evaluation.synthetic_care import generate_care
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people, people_digest

VECTORS = Path(__file__).parent / "vectors" / "synthetic_people.json"
CASES = [(500, 1), (500, 20260630), (3_000, 1)]


def compute_vector(people_per_side: int, seed: int) -> dict[str, object]:
    people = generate_people(PeopleParameters(people_per_side=people_per_side), seed)
    ids = (people.side_a["rid"].to_pylist(), people.side_b["rid"].to_pylist())
    care = generate_care(*ids, people.truth, date(2026, 6, 30), seed)
    rows = [care.admissions.to_pylist(), care.dispensings.to_pylist()]
    return {
        "people_per_side": people_per_side,
        "seed": seed,
        "people_sha256": people_digest(people),
        "care_sha256": hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest(),
        "first_record": people.side_a.slice(0, 1).to_pylist()[0],
    }


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text()))
def test_people_and_care_are_those_of_the_vector(vector):
    assert compute_vector(vector["people_per_side"], vector["seed"]) == vector


if __name__ == "__main__":
    VECTORS.write_text(json.dumps([compute_vector(*case) for case in CASES], indent=2) + "\n")
