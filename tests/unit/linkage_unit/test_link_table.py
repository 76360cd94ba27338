"""The link table: order, rows, and a digest that anybody can recompute."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_decisions import decide
from linkage_core.linkage_unit.link_table import (
    LinkTable,
    build_link_table,
    digest_of_link_rows,
    link_table_digest,
    links_as_rows,
    merge_link_rows,
)

PASSES = ("names", "dates", "phones")


def pseudonyms(*numbers: int) -> np.ndarray:
    return np.array([number.to_bytes(16, "big") for number in numbers], "V16")


def small_table(**changed) -> LinkTable:
    columns = {
        "pseudonyms_a": pseudonyms(2**127, 1, 256, 7),
        "pseudonyms_b": pseudonyms(10, 20, 30, 40),
        "scores": np.array([1.0, 0.80, 0.74, 0.5]),
        "passes": np.array([0b101, 0b010, 0b111, 0b001], np.uint32),
    }
    columns |= changed
    return build_link_table(**{"decisions": decisions(columns["scores"]), **columns}, pass_names=PASSES)


def decisions(scores: np.ndarray) -> np.ndarray:
    return decide(scores, scores >= 0.8, possible=0.72)


def hand_row(a: int, b: int, *rest) -> tuple:
    return str(uuid.UUID(int=a)), str(uuid.UUID(int=b)), *rest


ROWS = [
    hand_row(1, 20, "match", "0.80-0.85", ("dates",)),
    hand_row(256, 30, "possible_match", "0.70-0.75", ("names", "dates", "phones")),
    hand_row(2**127, 10, "match", "0.95-1.00", ("names", "phones")),
]
DIGEST = "01871654b9742ad292260cb54294784d240da4a4530473635920c84b813700ca"


def test_rows_ascend_by_pseudonym_and_leave_non_matches_out():
    assert list(links_as_rows(small_table())) == ROWS


def test_the_digest_is_that_of_the_lines_written_out():
    lines = [
        f"{a.replace('-', '')}|{b.replace('-', '')}|{decision}|{band}|{','.join(passes)}\n"
        for a, b, decision, band, passes in ROWS
    ]
    leaves = sorted(hashlib.sha256(line.encode()).digest() for line in lines)
    assert hashlib.sha256(b"".join(leaves)).hexdigest() == DIGEST
    for gone in range(3):  # a link that was erased leaves its leaf
        kept = [row for number, row in enumerate(ROWS) if number != gone]
        assert digest_of_link_rows(kept, [hashlib.sha256(lines[gone].encode()).digest()]) == DIGEST
        assert digest_of_link_rows(kept) != DIGEST
    assert link_table_digest(small_table()) == DIGEST
    assert digest_of_link_rows((*row[:4], list(row[4])) for row in ROWS) == DIGEST


def test_the_order_of_pairs_and_scores_within_a_band_leave_no_trace():
    back = np.array([3, 1, 0, 2])
    table = build_link_table(
        pseudonyms(2**127, 1, 256, 7)[back],
        pseudonyms(10, 20, 30, 40)[back],
        np.array([0.96, 0.84, 0.73, 0.1])[back],
        decisions(np.array([0.96, 0.84, 0.73, 0.1]))[back],
        np.array([0b101, 0b010, 0b111, 0b001], np.uint32)[back],
        pass_names=PASSES,
    )
    assert link_table_digest(table) == DIGEST


@pytest.mark.parametrize("column", range(5))
def test_every_column_of_a_row_is_in_the_digest(column):
    other = [uuid.UUID(int=3), uuid.UUID(int=3), "match", "0.75-0.80", ("names",)][column]
    changed = list(ROWS[1])
    changed[column] = str(other) if column < 2 else "altered" if column == 2 else other
    assert digest_of_link_rows([ROWS[0], tuple(changed), ROWS[2]]) != DIGEST


def test_an_empty_table_has_the_digest_of_nothing():
    empty = small_table(
        pseudonyms_a=pseudonyms(),
        pseudonyms_b=pseudonyms(),
        scores=np.empty(0),
        passes=np.empty(0, np.uint32),
    )
    assert len(empty) == 0
    assert link_table_digest(empty) == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("rows", [ROWS[::-1], [ROWS[0], ROWS[0]]], ids=["descending", "repeated"])
def test_rows_out_of_order_are_refused_by_number(rows):
    with pytest.raises(NightlinkError, match="link row 2 out of order") as refusal:
        digest_of_link_rows(rows)
    assert refusal.value.code == "E-INPUT"


def test_columns_of_another_kind_are_refused():
    with pytest.raises(NightlinkError, match="passes as int64"):
        small_table(passes=np.zeros(4, np.int64))
    with pytest.raises(NightlinkError, match="decision as uint8 of shape"):
        LinkTable(
            pseudonyms(1), pseudonyms(1), np.zeros(2, "u1"), np.zeros(1, "u1"), np.zeros(1, "u4"), PASSES
        )


def test_tables_of_several_pairs_of_custodians_are_one_with_their_names():
    other = build_link_table(
        pseudonyms(5, 300),
        pseudonyms(6, 7),
        np.array([1.0, 0.9]),
        decisions(np.array([1.0, 0.9])),
        np.array([1, 2], np.uint32),
        pass_names=PASSES,
    )
    rows = list(merge_link_rows([(small_table(), "hospital", "pharmacy"), (other, "hospital", "laboratory")]))
    assert [(uuid.UUID(row[0]).int, row[5:]) for row in rows] == [
        (1, ("hospital", "pharmacy")),
        (5, ("hospital", "laboratory")),
        (256, ("hospital", "pharmacy")),
        (300, ("hospital", "laboratory")),
        (2**127, ("hospital", "pharmacy")),
    ]
    line = f"{rows[0][0]}|{rows[0][1]}".replace("-", "") + "|match|0.80-0.85|dates|hospital|pharmacy\n"
    assert digest_of_link_rows(rows[:1]) == hashlib.sha256(hashlib.sha256(line.encode()).digest()).hexdigest()
    assert digest_of_link_rows(rows) != digest_of_link_rows((*row[:5], "hospital", "gp") for row in rows)
