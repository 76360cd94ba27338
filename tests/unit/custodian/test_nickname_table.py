"""The nickname table: what it says, and that another one is refused."""

import pytest

from linkage_core.custodian.nickname_table import NICKNAME_FILES, load_formal_names
from linkage_core.errors import ProtocolError
from linkage_core.protocol.linkage_protocol import NicknameTableSpec
from tests.golden.make_encoder_vectors import PROTOCOL

SPEC = PROTOCOL.nickname_table


@pytest.mark.parametrize(
    ("nickname", "formal_name"),
    [("bob", "robert"), ("bill", "william"), ("liz", "elizabeth"), ("kate", "katherine"), ("jack", "john"),
     ("peggy", "margaret"), ("tony", "anthony")],
)  # fmt: skip
def test_a_nickname_stands_for_a_formal_name(nickname: str, formal_name: str) -> None:
    assert load_formal_names(SPEC)[nickname] == formal_name


def test_a_formal_name_stands_for_itself() -> None:
    table = load_formal_names(SPEC)
    assert not set(table) & set(table.values())
    assert all(
        name.isascii() and name.isalpha() and name.islower() for pair in table.items() for name in pair
    )


def test_no_table_without_an_entry() -> None:
    assert load_formal_names(None) == {}


def test_another_digest_is_refused() -> None:
    with pytest.raises(ProtocolError, match="E-PROTOCOL: found nickname_table.sha256 = '000"):
        load_formal_names(NicknameTableSpec(version="us_1", sha256="0" * 64))


def test_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError, match="found nickname_table.version = 'uk_7'; expected one of us_1"):
        load_formal_names(NicknameTableSpec(version="uk_7", sha256="0" * 64))


def test_the_golden_protocol_names_a_table_that_is_here() -> None:
    assert SPEC is not None and SPEC.version in NICKNAME_FILES
