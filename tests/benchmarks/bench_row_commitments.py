"""What commitments to rows cost a custodian's night: `python -m tests.benchmarks.bench_row_commitments [ROWS]`."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import pyarrow as pa

from linkage_core.audit.row_commitments import RowTree
from linkage_core.custodian.commit_rows import row_entries
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE
from linkage_core.protocol.record_state import ROW_DIGEST_DTYPE, StateRows
from tests.reference.small_world import few_people, raw_table, shipped_protocol

PART_ROWS = 8192
KEY = bytes(range(32))


def main(count: int) -> None:
    """Make entries and root of generated people, part by part as a delivery does; print CPU seconds a million."""
    protocol = shipped_protocol()
    people = raw_table(few_people(PART_ROWS).side_a).combine_chunks()
    names = ["source_id", *(name for name in protocol.field_names if name in people.column_names)]
    rows = pa.RecordBatch.from_arrays([people[name].chunk(0) for name in names], names=names)
    draws = np.random.default_rng(1)
    state = StateRows(
        np.frombuffer(draws.bytes(16 * len(people)), PSEUDONYM_DTYPE),
        np.frombuffer(draws.bytes(16 * len(people)), ROW_DIGEST_DTYPE),
    )
    row_entries(rows, state, KEY, protocol)  # compiles
    tree, began, done = RowTree(), time.process_time(), 0
    made = 0.0
    while done < count:
        start = time.process_time()
        entries = row_entries(rows, state, KEY, protocol)
        made += time.process_time() - start
        tree.add(entries["leaf"].tobytes())
        done += len(entries)
    seconds = (time.process_time() - began) / done * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{seconds:.2f} CPU seconds a million rows (leaves {made / done * 1e6:.2f}), peak {peak:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
