"""Repeated ids over batches, in little memory."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.repeated_ids import repeated_ids


@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["", " ", "a", "b", "c", "d", "e"])), max_size=40),
    st.integers(1, 9),
    st.integers(1, 500),
)
@settings(max_examples=80, deadline=None)
def test_every_row_but_the_first_of_an_id_is_found(
    ids: list[str | None], size: int, memory_bytes: int
) -> None:
    column = pa.array(ids, pa.utf8())
    batches = [
        pa.RecordBatch.from_pydict({"source_id": column.slice(first, size)})
        for first in range(0, len(ids), size)
    ]
    expected = [k for k, value in enumerate(ids) if value and value.strip() and value in ids[:k]]
    assert repeated_ids(batches, len(ids), memory_bytes).tolist() == expected


def test_ids_that_are_all_null_repeat_nothing() -> None:
    batch = pa.RecordBatch.from_pydict({"source_id": pa.nulls(3)})
    assert repeated_ids([batch, batch], 6).tolist() == []
    assert repeated_ids([], 0).dtype == np.int64
