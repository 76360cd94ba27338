"""Digests of many nights out of one pass, against each night's table by itself."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from linkage_core.linkage_unit.published_rows import PublishedRows
from linkage_core.linkage_unit.table_digest import digest_of_lines

versions_of = st.lists(
    st.tuples(st.binary(max_size=4), st.integers(1, 9), st.none() | st.integers(0, 9)), max_size=30
)


@given(versions_of)
def test_each_night_has_the_digest_of_its_lines(versions: list[tuple[bytes, int, int | None]]) -> None:
    rows = PublishedRows((hashlib.sha256(line).digest(), start, stop) for line, start, stop in versions)
    for fence in range(11):
        lines = [line for line, start, stop in versions if start <= fence and (stop is None or fence < stop)]
        assert rows.digest_at(fence) == (digest_of_lines(lines), len(lines))
