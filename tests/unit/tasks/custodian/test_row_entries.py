"""What a custodian keeps of the rows that it delivered: of those alone, as long as the delivery is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from linkage_core.audit.row_commitments import RowTree, prove_row
from linkage_core.custodian.commit_rows import row_salts
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import manifest_digest
from linkage_core.protocol.record_state import row_digests
from tasks.custodian.erase import purge_deliveries
from tasks.custodian.row_entries import kept_entries, read_entries
from tasks.linkage_unit.receive import receive_deliveries
from tests.reference.small_world import NIGHT, make_world


def test_the_manifest_commits_to_the_rows_of_its_records(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    site, manifest = world.sites["hospital"], world.manifest("hospital")
    entries, tree = read_entries(1, site), RowTree()
    tree.add(entries["leaf"].tobytes())
    received, _ = receive_deliveries(NIGHT, world.unit)

    assert manifest.row_commitments == tree.root.hex() and len(entries) == manifest.rows_in_parts == 150
    assert entries["pseudonym"].tobytes() == received.records.record_pseudonyms.tobytes()
    assert entries["digest"].tobytes() == row_digests(received.records).tobytes(), (
        "of the encoding that arrived"
    )

    sha256 = manifest_digest((world.delivery("hospital") / "manifest.json").read_bytes())
    part = world.encoded["hospital"].parts[0]()
    row = part.rows.slice(7, 1)
    salt = row_salts(row.column("source_id"), site.site_key, site.protocol).tobytes()
    pseudonym = entries["pseudonym"][7].tobytes()
    proven = prove_row(entries, row.to_pylist()[0], salt, pseudonym, manifest, sha256)
    assert proven.proof.rows == 150
    other = part.rows.slice(8, 1).to_pylist()[0]
    with pytest.raises(NightlinkError, match="E-ROW-PROOF.*another row under this id"):
        prove_row(entries, other, salt, pseudonym, manifest, sha256)


def test_it_goes_with_the_delivery_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    site = world.sites["hospital"]
    [path] = (site.settings.state_folder / "rows").iterdir()
    assert path.stat().st_mode & 0o077 == 0 and path.stat().st_size == 64 * 150
    purge_deliveries(site, datetime(2026, 11, 23, tzinfo=UTC))
    assert not path.exists()
    with pytest.raises(NightlinkError, match="E-ROW-PROOF.*nothing readable kept"):
        read_entries(1, site)


def test_what_a_killed_delivery_left_goes_with_the_next(tmp_path: Path) -> None:
    site = make_world(tmp_path).sites["hospital"]
    left = site.settings.state_folder / "rows" / ".000002.rows.1234.partial"
    left.write_bytes(b"half")
    with kept_entries(3, site):
        assert not left.exists()
