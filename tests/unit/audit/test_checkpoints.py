"""Checkpoints as signed notes: the format's own known answer, and nothing but what was signed is read."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from linkage_core.audit.checkpoints import (
    MAX_NOTE_BYTES,
    Checkpoint,
    key_id,
    log_origin,
    open_checkpoint,
    sign_checkpoint,
    signature_line,
)
from linkage_core.errors import NightlinkError
from tests.reference.tiny_delivery import OTHER_KEY, SIGNING_KEY

CHECKPOINT = Checkpoint("nightlink/tiny", 42, bytes(range(32)), datetime(2026, 3, 31, 2, 3, 4, tzinfo=UTC))
NOTE = sign_checkpoint(CHECKPOINT, SIGNING_KEY)
PUBLIC = SIGNING_KEY.public_key()


def test_the_known_answer_of_the_note_format() -> None:
    """The example of golang.org/x/mod/sumdb/note, from which C2SP's signed note comes."""
    secret = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
    signing_key = Ed25519PrivateKey.from_private_bytes(secret[1:])
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    assert key_id("PeterNeumann", signing_key.public_key()).hex() == "c74f20a3"
    assert signature_line("PeterNeumann", text, signing_key) == (
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZ"
        "InNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )


def test_a_checkpoint_reads_as_it_was_signed() -> None:
    assert open_checkpoint(NOTE, PUBLIC, log_origin("tiny")) == CHECKPOINT
    root = base64.b64encode(bytes(range(32))).decode()
    assert NOTE.startswith(f"nightlink/tiny\n42\n{root}\ntime 2026-03-31T02:03:04Z\n\n\u2014 nightlink/tiny ")


def test_lines_of_cosigning_witnesses_are_passed_over() -> None:
    text, _, ours = NOTE.rpartition("\n\n")
    cosigned = f"{text}\n\n\u2014 witness.example AAAA\n{ours}"
    assert open_checkpoint(cosigned, PUBLIC, "nightlink/tiny") == CHECKPOINT


@pytest.mark.parametrize(
    "note",
    [
        "",
        "x" * (MAX_NOTE_BYTES + 1),
        NOTE.replace("\n42\n", "\n43\n"),
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("time 2026", "time 2027"),
        NOTE.replace("02:03:04Z", "02:03:61Z"),
        NOTE.replace("nightlink/tiny", "nightlink/other"),
        NOTE.rpartition("\n\n")[0] + "\n\n",
        NOTE.rpartition("\n\n")[0],
        NOTE.replace("\u2014 nightlink/tiny ", "\u2014 nightlink/tiny !"),
        NOTE.replace("\u2014", "-"),
        sign_checkpoint(CHECKPOINT, OTHER_KEY),
        sign_checkpoint(Checkpoint("nightlink/other", 42, CHECKPOINT.root, CHECKPOINT.at), SIGNING_KEY),
    ],
)
def test_other_notes_are_refused(note: str) -> None:
    with pytest.raises(NightlinkError, match="E-AUDIT-RECEIPT"):
        open_checkpoint(note, PUBLIC, "nightlink/tiny")


def signed_text(text: str) -> str:
    return f"{text}\n{signature_line('nightlink/tiny', text, SIGNING_KEY)}"


def test_signed_nonsense_is_refused_all_the_same() -> None:
    root = base64.b64encode(bytes(32)).decode()
    for text in (
        f"nightlink/tiny\n1\n{root}\ntime 2026-02-30T00:00:00Z\n",
        f"nightlink/tiny\n1\n{root[:-2]}B=\ntime 2026-02-03T00:00:00Z\n",
        f"nightlink/tiny\n1\n{root}\n",
    ):
        with pytest.raises(NightlinkError, match="E-AUDIT-RECEIPT"):
            open_checkpoint(signed_text(text), PUBLIC, "nightlink/tiny")


@pytest.mark.parametrize(
    "wrong",
    [
        Checkpoint("nightlink/a\n9", 42, bytes(32), CHECKPOINT.at),
        Checkpoint("nightlink/tiny", -1, bytes(32), CHECKPOINT.at),
        Checkpoint("nightlink/tiny", 42, bytes(31), CHECKPOINT.at),
    ],
)
def test_what_could_not_be_read_is_not_signed(wrong: Checkpoint) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT"):
        sign_checkpoint(wrong, SIGNING_KEY)
