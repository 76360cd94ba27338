"""What witnesses keep of an audit log: checkpoints, receipts, or a custodian's folder of them. Zone: protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from linkage_core.audit.checkpoints import Checkpoint, open_checkpoint
from linkage_core.audit.log_check import Witnessed
from linkage_core.audit.receipts import MAX_RECEIPT_BYTES, log_fork, open_receipt
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from tasks.protocol.bounded_files import read_bounded


def read_witnessed(paths: Iterable[Path], linkage_unit_key: str) -> Witnessed:
    """Checkpoints and receipts as one table of sizes and roots, and of entries' leaves.

    Parameters
    ----------
    paths : iterable of Path
        A checkpoint (a signed note), a receipt, or a folder of these; a custodian's ``state/witness`` is one.
    linkage_unit_key : str
        The linkage unit's public signing key, 64 hex digits, from somebody other than the database.

    Raises
    ------
    NightlinkError
        E-AUDIT-RECEIPT for a file that the linkage unit did not sign. E-AUDIT-FORK for two signed roots of one size:
        then two logs exist, and no database is needed to prove it.
    """
    public_key = public_key_from_hex(linkage_unit_key)
    roots: dict[int, bytes] = {}
    leaves: dict[int, tuple[bytes, str]] = {}
    for path in _files(paths):
        data = read_bounded(path, MAX_RECEIPT_BYTES)
        if data.startswith(b"{"):
            opened = open_receipt(data, public_key)
            receipt = opened.receipt
            leaves[receipt.entry] = (bytes.fromhex(receipt.entry_leaf), f"night {receipt.run_id}")
            checkpoint = opened.checkpoint
        else:
            note = data.decode("utf-8", "replace")
            checkpoint = open_checkpoint(note, public_key, note.partition("\n")[0])
        _add(roots, checkpoint)
    return Witnessed(roots, leaves)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        # What a custodian refused is kept beside what it took, as evidence, and is no witness.
        kept = sorted(entry for entry in path.iterdir() if entry.name[:1].isdigit())
        if not kept:
            raise NightlinkError(
                "E-INPUT",
                found=f"no receipt in {path}",
                expected="a folder of receipts, such as a custodian's state/witness",
                remedy="Ask a custodian for its newest receipt.",
            )
        yield from kept


def _add(roots: dict[int, bytes], checkpoint: Checkpoint) -> None:
    if roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
        raise log_fork(checkpoint.size, checkpoint.size)
