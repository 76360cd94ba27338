"""Parts and manifests that ask for gigabytes are refused by a process that has a quarter of one left (fault 35)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linkage_core.protocol.wire_format import MAX_PART_ROWS
from tests.unit.protocol.test_parquet_footer import COLUMN, PART, Value, footer, replaced, with_footer
from tests.unit.protocol.test_wire_format import zeros

READER = """
import resource, sys
from pathlib import Path
from linkage_core.audit.signatures import signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import open_manifest
from linkage_core.protocol.wire_format import read_part
from tests.reference.tiny_delivery import tiny_part, tiny_protocol

protocol = tiny_protocol()
read_part(tiny_part(20), protocol, 20)  # what a reader needs is loaded before the limit
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    bytearray(512 << 20)
except MemoryError:
    print("the limit holds")
data = Path(sys.argv[1]).read_bytes()
try:
    if sys.argv[2] == "manifest":
        open_manifest(data, signing_key_from_seed(bytes(32)).public_key())
    else:
        read_part(data, protocol, int(sys.argv[2]))
except NightlinkError as error:
    print(error.code)
"""


def claims_a_gigabyte() -> bytes:
    def grown(value: Value) -> Value:
        return Value(value.kind, value.value + 10**9)

    return with_footer(replaced(replaced(footer(), (*COLUMN, 6), grown), (4, 0, 2), grown))


BOMBS = {
    "a million rows in a small file": (lambda: zeros(MAX_PART_ROWS), "20", "E-DLV-FORMAT"),
    "a column that claims a gigabyte": (claims_a_gigabyte, "20", "E-DLV-FORMAT"),
    "a page that is cut off": (lambda: PART[: len(PART) // 2], "20", "E-DLV-FORMAT"),
    "deep JSON": (lambda: b'{"manifest":' * 50_000, "manifest", "E-DLV-MANIFEST"),
    "long JSON": (lambda: b"[" + b"0," * 500_000, "manifest", "E-DLV-MANIFEST"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_by_a_process_with_little_memory(bomb: str, tmp_path: Path) -> None:
    make, rows, code = BOMBS[bomb]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path), rows],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["the limit holds", code], done.stderr
