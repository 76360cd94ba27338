"""The passage between two key epochs: whole, signed, of nobody twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage_core.audit.epoch_passage import (
    EpochPassage,
    open_passage,
    passage_header,
    read_pairs,
    seal_passage,
    write_pairs,
)
from linkage_core.audit.signatures import signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import Sealing, describe_part
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE

KEY, OTHER = (signing_key_from_seed(bytes(range(n, n + 32))) for n in (0, 7))
PASSAGE = EpochPassage(
    project="tiny",
    custodian="hospital",
    former_epoch="2026",
    key_epoch="2027",
    code_version="0.1.0",
    sealing=Sealing(transfer_key="00112233445566aa", linkage_unit_key="8899aabbccddee00"),
    pairs=describe_part("pairs.sealed", 2, b"sealed"),
)


def pseudonyms(values: list[bytes]) -> np.ndarray:
    return np.array([np.void(value) for value in values], PSEUDONYM_DTYPE)


def code(call) -> str:  # noqa: ANN001
    with pytest.raises(NightlinkError) as caught:
        call()
    return caught.value.code


def test_a_passage_comes_back_and_is_its_custodians_alone() -> None:
    sealed = seal_passage(PASSAGE, KEY)
    assert open_passage(sealed, KEY.public_key()) == PASSAGE
    assert seal_passage(PASSAGE, KEY) == sealed
    assert code(lambda: open_passage(sealed, OTHER.public_key())) == "E-DLV-SIGNATURE"
    altered = sealed.replace(b'"2026"', b'"2025"')
    assert code(lambda: open_passage(altered, KEY.public_key())) == "E-DLV-SIGNATURE"


@pytest.mark.parametrize(
    "spoil", [lambda s: s[:-1], lambda s: s + b" ", lambda s: b"", lambda s: b"{}" * 60_000]
)
def test_what_is_no_passage_is_refused(spoil) -> None:  # noqa: ANN001
    sealed = spoil(seal_passage(PASSAGE, KEY))
    assert code(lambda: open_passage(sealed, KEY.public_key())) == "E-DLV-MANIFEST"


def test_no_passage_leads_from_an_epoch_to_itself() -> None:
    with pytest.raises(ValueError, match="itself"):
        EpochPassage(**{**PASSAGE.model_dump(), "former_epoch": "2027"})


def test_no_delivery_has_its_place() -> None:
    header = passage_header("tiny", "2027", "hospital")
    assert (header.run_id, header.sequence) == ("epoch-2027", 0)


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)), max_size=8)
)
def test_pairs_come_back_in_order_and_twice_is_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    new, former = ([pair[side] for pair in pairs] for side in (0, 1))
    content = write_pairs(pseudonyms(new), pseudonyms(former))
    if len(set(new)) < len(new) or len(set(former)) < len(former):
        assert code(lambda: read_pairs(content, len(pairs), "hospital")) == "E-DLV-FORMAT"
        return
    read = read_pairs(content, len(pairs), "hospital")
    assert list(zip(*(side.tolist() for side in read), strict=True)) == sorted(pairs)
    assert code(lambda: read_pairs(content + b"x", len(pairs), "hospital")) == "E-DLV-FORMAT"
