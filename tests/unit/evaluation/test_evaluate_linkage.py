"""The whole evaluation on a few hundred people whose truth is known."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.evaluation.evaluate_linkage import evaluate
from linkage_core.protocol.linkage_protocol import parse_protocol

ROOT = Path(__file__).resolve().parents[3]
PROTOCOL = parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text())
KEY, OTHER_KEY = (sha256(name).digest() for name in (b"one key", b"another key"))


def people(count, seed):
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))

    def names(distinct):
        pool = ["".join(generator.choice(letters, 7)) for _ in range(distinct)]
        return [pool[i] for i in generator.integers(0, distinct, count)]

    births = generator.integers(0, 25_000, count)
    dates = np.datetime64("1940-01-01") + births.astype("timedelta64[D]")
    return {
        "given_name": names(80),
        "family_name": names(200),
        "birth_date": [str(date).replace("-", "") for date in dates],
        "sex": [("f", "m")[s] for s in generator.integers(0, 2, count)],
        "postcode": [f"{10_000 + z}" for z in generator.integers(0, 30, count)],
    }


def batch(columns, rows, prefix):
    texts = {name: pa.array([values[r] for r in rows], pa.utf8()) for name, values in columns.items()}
    return pa.RecordBatch.from_pydict({"source_id": pa.array([f"{prefix}{r}" for r in rows])} | texts)


@pytest.fixture(scope="module")
def sides():
    everybody = people(500, seed=3)
    rows_a, rows_b = np.arange(350), np.arange(499, 149, -1)
    truth = np.arange(150, 350), 499 - np.arange(150, 350)
    return batch(everybody, rows_a, "a"), batch(everybody, rows_b, "b"), truth


def test_equal_records_are_linked_and_strangers_are_not(sides):
    figures = evaluate(*sides, KEY, PROTOCOL, clock=lambda: 0.0)
    assert figures.candidate_recall == 1.0 and figures.ap > 0.999
    assert figures.output_precision > 0.99 and figures.output_recall > 0.99
    assert figures.expected_matches == pytest.approx(200, rel=0.05)
    assert set(figures.seconds) == {"normalise", "encode", "block", "score", "resolve"}


def test_neither_the_key_nor_the_order_of_columns_changes_a_figure(sides):
    first = evaluate(*sides, KEY, PROTOCOL, clock=lambda: 0.0)
    turned = [side.select(side.schema.names[::-1]) for side in sides[:2]]
    second = evaluate(*turned, sides[2], OTHER_KEY, PROTOCOL, clock=lambda: 0.0)
    assert (second.ap, second.output_f1, second.pairs_scored) == (
        first.ap,
        first.output_f1,
        first.pairs_scored,
    )


def test_sides_without_a_common_person_give_no_links():
    everybody = people(600, seed=4)
    none = np.empty(0, np.intp)
    figures = evaluate(
        batch(everybody, range(300), "a"),
        batch(everybody, range(300, 600), "b"),
        (none, none),
        KEY,
        PROTOCOL,
        clock=lambda: 0.0,
    )
    assert figures.output_recall == 0.0 and figures.expected_matches < 10
