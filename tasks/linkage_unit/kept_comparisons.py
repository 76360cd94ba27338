"""What the linkage unit keeps of two custodians' compared pairs, so that the next night compares only what changed.

Zone: linkage_unit. ``state_folder/pairs-<a>-<b>.kept``: pairs, patterns of agreement and the state of both custodians'
records that they are of, sealed with AES-256-GCM under a key of the file's own, derived from the linkage unit's. It
spares work and nothing else: it may be of any earlier night, published or not, and without it, or when it does not
open or was made under other rules, all pairs are compared.

Layout: as of :mod:`tasks.linkage_unit.record_store`; the first frame is JSON, then come the arrays it names.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkage_core.linkage_unit.comparison_vectors import near_limits
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.encoded_evidence import mean_fill
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from tasks.linkage_unit.carried_chunks import SIDES, state_of
from tasks.linkage_unit.chunk_files import Chunk, unwritable
from tasks.linkage_unit.chunk_stages import all_pairs, patterns_of_job, plan_of_job
from tasks.linkage_unit.record_store import FRAME_BYTES, Frames
from tasks.linkage_unit.work_folder import Job
from tasks.protocol.stages import announce

MAGIC = b"nightlink-pairs-1\n"
_SALT_BYTES = 32


def keep_comparisons(job: Job, custodians: Sequence[str], key: bytes) -> None:
    """Seal what a job's stages pairs and patterns came to, in place of what was kept of the two custodians.

    A disk that is full costs the next night's savings, not this night.
    """
    if job.spec.by_filters:
        return
    path = comparisons_file(job.state_folder, custodians)
    try:
        _write_sealed(path, made_under(job), _arrays_of(job), key)
    except OSError as error:
        path.unlink(missing_ok=True)
        announce(f"compared pairs are not kept: {unwritable(path.name, error).found}")


def kept_comparisons(job: Job, custodians: Sequence[str], key: bytes) -> Chunk | None:
    """What is kept, as the chunk that the stage carry reads; None where nothing is, or nothing of use."""
    if job.spec.by_filters:
        return None
    try:
        with comparisons_file(job.state_folder, custodians).open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return None
            frames = Frames(file, _cipher(key, file.read(_SALT_BYTES)))
            head = json.loads(frames.read())
            if head["made_under"] != made_under(job):
                return None
            return Chunk({name: _read_array(frames, *told) for name, *told in head["arrays"]}, {})
    except (OSError, InvalidTag):
        return None


def forget_comparisons(state_folder: Path, custodian: str) -> None:
    """Remove what is kept of a custodian's pairs with all others."""
    for path in state_folder.glob("pairs-*.kept"):
        if custodian in path.stem.split("-")[1:]:
            path.unlink(missing_ok=True)


def comparisons_file(state_folder: Path, custodians: Sequence[str]) -> Path:
    """Where it lies; no custodian's name has a hyphen."""
    return state_folder / f"pairs-{custodians[0]}-{custodians[1]}.kept"


def made_under(job: Job) -> str:
    """Digest of all that a comparison depends on beside the two records: kept under another one, it is of no use.

    Of the deliveries' fill only what it comes to: below how many differing bits two filters are near.
    """
    limits = near_limits(job.spec, mean_fill(*(side.aggregates for side in job.sides)))
    rules = [protocol_fingerprint(job.protocol), job.protocol.key_epoch, job.code_version, limits]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()


def _arrays_of(job: Job) -> dict[str, npt.NDArray[np.generic]]:
    partners, index_b, passes = all_pairs(job)
    patterns, plan = patterns_of_job(job), plan_of_job(job)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "partners": partners,
        "index_b": index_b,
        "passes": passes,
        "states": patterns.states,
        "of_pair": patterns.of_pair,
    }
    for side, letter in enumerate(SIDES):
        state, recorded = state_of(job, side)
        arrays[f"standing_{letter}"] = plan.standing[side]
        arrays[f"delivered_{letter}"], arrays[f"digests_{letter}"] = state.pseudonyms, state.digests
        arrays[f"recorded_{letter}"] = recorded
    return arrays


def _write_sealed(path: Path, rules: str, arrays: dict[str, npt.NDArray[np.generic]], key: bytes) -> None:
    partial, salt = path.with_suffix(".partial"), secrets.token_bytes(_SALT_BYTES)
    told = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    try:
        with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(MAGIC + salt)
            frames = Frames(file, _cipher(key, salt))
            frames.write(json.dumps({"made_under": rules, "arrays": told}).encode())
            for array in arrays.values():
                content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                for start in range(0, len(content), FRAME_BYTES):
                    frames.write(content[start : start + FRAME_BYTES].tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_array(frames: Frames, dtype: str, shape: list[int]) -> npt.NDArray[np.generic]:
    array = np.empty(shape, np.dtype(dtype))
    content, place = array.reshape(-1).view(np.uint8), 0
    while place < len(content):
        piece = np.frombuffer(frames.read(), np.uint8)
        content[place : place + len(piece)] = piece
        place += len(piece)
    return array


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(derive_key(key, ("kept-pairs", salt.hex())))
