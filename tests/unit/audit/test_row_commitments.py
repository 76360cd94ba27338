"""Commitments to rows: the kernel's are the standard library's, and a proof holds for its row and no other."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.audit.merkle_tree import grow_tree, leaf_hash
from linkage_core.audit.row_commitments import (
    RowTree,
    check_row_proof,
    prove_row,
    read_proof,
    row_leaf,
    write_proof,
)
from linkage_core.custodian.commit_rows import row_entries, row_salts
from linkage_core.errors import NightlinkError
from linkage_core.protocol.record_state import state_rows
from tests.reference.tiny_delivery import some_records, tiny_manifest, tiny_protocol

SITE_KEY = bytes(range(32))
FIELDS = tiny_protocol().field_names
TEXT = st.none() | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=30)


def rows_of(values: list[dict[str, str | None]]) -> pa.RecordBatch:
    columns = {name: pa.array([row[name] for row in values], pa.utf8()) for name in ("source_id", *FIELDS)}
    return pa.RecordBatch.from_pydict(columns)


def some_rows(count: int) -> list[dict[str, str | None]]:
    return [
        {"source_id": f"H{n}", **{name: f"{name} of {n}" if (n + len(name)) % 3 else None for name in FIELDS}}
        for n in range(count)
    ]


def committed(rows: list[dict[str, str | None]]):  # noqa: ANN201
    records = some_records(len(rows))
    batch, protocol = rows_of(rows), tiny_protocol()
    entries = row_entries(batch, state_rows(records), SITE_KEY, protocol)
    salts = row_salts(batch.column("source_id"), SITE_KEY, protocol)
    tree = RowTree()
    tree.add(entries["leaf"].tobytes())
    parts = tiny_manifest().parts[0].model_copy(update={"rows": len(rows)})
    manifest = tiny_manifest().model_copy(
        update={"row_commitments": tree.root.hex(), "parts": (parts,), "row_count": len(rows)}
    )
    return entries, salts, manifest


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4095, 4096, 4097, 3 * 4096, 9000])
def test_the_root_is_that_of_rfc_6962_however_leaves_come(size: int) -> None:
    draws = random.Random(size)
    leaves, tree = draws.randbytes(32 * size), RowTree()
    at = 0
    while at < len(leaves):
        more = 32 * draws.randrange(1, 5000)
        tree.add(leaves[at : at + more])
        at += more
    whole, _ = grow_tree(leaf_hash(leaves[at : at + 32]) for at in range(0, len(leaves), 32))
    assert tree.root == whole.root


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(
        st.fixed_dictionaries({"source_id": st.text(min_size=1, max_size=9)} | dict.fromkeys(FIELDS, TEXT))
    )
)
def test_the_kernel_s_leaves_are_the_standard_library_s(rows: list[dict[str, str | None]]) -> None:
    entries, salts, _ = committed(rows)
    for entry, salt, row in zip(entries, salts, rows, strict=True):
        slow = row_leaf(entry["pseudonym"].tobytes(), entry["digest"].tobytes(), salt.tobytes(), row)
        assert slow == entry["leaf"].tobytes()


@pytest.mark.parametrize("index", [0, 5, 36])
def test_a_proof_holds_for_its_row_and_no_other(index: int) -> None:
    rows = some_rows(37)
    entries, salts, manifest = committed(rows)
    order = np.argsort(entries["pseudonym"].view("S16"))
    assert len(order) == 37
    pseudonym = entries["pseudonym"][index].tobytes()
    proven = prove_row(entries, rows[index], salts[index].tobytes(), pseudonym, manifest, "a" * 64)
    proof = read_proof(write_proof(proven.proof))
    check_row_proof(proof, dict(reversed(rows[index].items())), manifest, "a" * 64)

    for name in rows[index]:
        for other in ("", None, f"{rows[index][name]}x"):
            if other != rows[index][name]:
                refused(proof, {**rows[index], name: other}, manifest)
    refused(proof, rows[index - 1], manifest)
    refused(proof, {name: text for name, text in rows[index].items() if name != FIELDS[0]}, manifest)
    refused(proof, {**rows[index], "another": None}, manifest)
    for entry, value in {
        "salt": "0" * 64, "row_digest": "0" * 32, "record_pseudonym": "0" * 32, "index": (index + 1) % 37,
        "rows": 38, "path": proof.path[:-1], "sequence": 5, "manifest_sha256": "b" * 64,
    }.items():  # fmt: skip
        refused(proof.model_copy(update={entry: value}), rows[index], manifest)


def refused(proof, row, manifest) -> None:  # noqa: ANN001
    with pytest.raises(NightlinkError, match="E-ROW-PROOF") as caught:
        check_row_proof(proof, row, manifest, "a" * 64)
    assert not any(value and len(value) > 3 and value in str(caught.value) for value in row.values())


def test_what_cannot_be_proved_is_refused_and_quotes_nothing() -> None:
    rows = some_rows(4)
    entries, salts, manifest = committed(rows)
    pseudonym, salt = entries["pseudonym"][2].tobytes(), salts[2].tobytes()
    corrected = {**rows[2], FIELDS[0]: "corrected since"}
    for row, name, kept in [
        (corrected, pseudonym, entries),
        (rows[2], bytes(16), entries),
        (rows[2], pseudonym, entries[1:]),
    ]:
        with pytest.raises(NightlinkError, match="E-ROW-PROOF") as caught:
            prove_row(kept, row, salt, name, manifest, "a" * 64)
        assert "corrected since" not in str(caught.value)
    with pytest.raises(NightlinkError, match="E-ROW-PROOF"):
        read_proof(b"{}")


def test_nothing_readable_is_in_a_proof_or_in_what_is_kept() -> None:
    rows = some_rows(4)
    entries, salts, manifest = committed(rows)
    proven = prove_row(
        entries, rows[1], salts[1].tobytes(), entries["pseudonym"][1].tobytes(), manifest, "a" * 64
    )
    written = write_proof(proven.proof) + entries.tobytes() + repr(proven).encode()
    assert b"of 1" not in written and b"H1" not in written
    assert b"of 1" in repr(proven.row).encode(), "the control: it is in the row"


def test_equal_rows_of_two_people_and_of_two_custodians_have_different_leaves() -> None:
    row = {"source_id": "H1", **dict.fromkeys(FIELDS, "same")}
    records, protocol = some_records(2), tiny_protocol()
    ours = row_entries(rows_of([row, {**row, "source_id": "H2"}]), state_rows(records), SITE_KEY, protocol)
    theirs = row_entries(rows_of([row, row]), state_rows(records), bytes(range(1, 33)), protocol)
    assert len({leaf.tobytes() for leaf in [*ours["leaf"], *theirs["leaf"]]}) == 4
