"""One file a chunk of work: its arrays, what they were made from, and a digest over all of it. Zone: linkage_unit.

A file is written under another name and moved, so that it is there whole or not at all; a file that is torn, altered
or made from something else counts as absent, and its chunk is computed again.

Layout: :data:`MAGIC`; eight bytes, little-endian: the length of the JSON that follows; the JSON; each array from a
multiple of 64 bytes on; the BLAKE2b-256 of everything before.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

MAGIC = b"nightlink-chunk-1\n"
_ALIGNMENT = 64
_DIGEST_BYTES = 32
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Chunk:
    """What one chunk of work came to."""

    arrays: Arrays
    counts: dict[str, Any]
    """Anything JSON holds."""


def write_chunk(path: Path, made_from: str, chunk: Chunk) -> None:
    """Write a chunk, for nobody but this user; E-CHUNK-FILE when it cannot be written.

    Parameters
    ----------
    made_from : str
        Digest of all that the chunk depends on; :func:`read_chunk` asks for the same.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in chunk.arrays.items()}
    head = {
        "made_from": made_from,
        "counts": chunk.counts,
        "arrays": [[name, array.dtype.str, array.shape] for name, array in arrays.items()],
    }
    text = json.dumps(head, sort_keys=True).encode()
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            digest, place = hashlib.blake2b(digest_size=_DIGEST_BYTES), 0
            for part in (MAGIC, len(text).to_bytes(8, "little"), text, *arrays.values()):
                data = part if isinstance(part, bytes) else part.reshape(-1).view(np.uint8).data
                gap = bytes(-place % _ALIGNMENT) if not isinstance(part, bytes) else b""
                for piece in (gap, data):
                    file.write(piece)
                    digest.update(piece)
                    place += len(piece)
            file.write(digest.digest())
        partial.rename(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise unwritable(path.name, error) from None


def read_chunk(path: Path, made_from: str) -> Chunk | None:
    """The chunk at ``path``, its arrays mapped from the file; None when it is absent, altered or of other inputs."""
    try:
        content = np.memmap(path, np.uint8, "r").view(np.ndarray)
    except (OSError, ValueError):  # mapping an empty file is a ValueError
        return None
    if not _is_whole(content):
        return None
    start = len(MAGIC) + 8
    place = start + int.from_bytes(content[len(MAGIC) : start].tobytes(), "little")
    head = json.loads(content[start:place].tobytes())
    if head["made_from"] != made_from:
        return None
    arrays = {}
    for name, dtype, shape in head["arrays"]:
        place += -place % _ALIGNMENT
        length = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        arrays[name] = content[place : place + length].view(dtype).reshape(shape)
        place += length
    return Chunk(arrays, head["counts"])


def _is_whole(content: npt.NDArray[np.uint8]) -> bool:
    if content[: len(MAGIC)].tobytes() != MAGIC:
        return False
    told = content[-_DIGEST_BYTES:].tobytes()
    found = hashlib.blake2b(content[:-_DIGEST_BYTES].data, digest_size=_DIGEST_BYTES).digest()
    return found == told


def unwritable(what: str, error: OSError) -> NightlinkError:
    """The error for a working file that cannot be written."""
    return NightlinkError(
        "E-CHUNK-FILE",
        found=f"{what} cannot be written ({error.strerror})",
        expected="a state_folder of the linkage unit's own, with room for the night's work",
        remedy="Make room there, or name another state_folder; the night resumes where it stopped.",
        transient=True,
    )
