"""Key files: read for one role, and never repeated in a message."""

import hashlib

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import (
    CUSTODIAN_ROLES,
    KEY_ROLES,
    LINKAGE_UNIT_ROLES,
    KeyRole,
    check_key,
    format_key_file,
    own_role,
    parse_key_file,
    refuse_foreign_key,
    role_in,
)

KEY = hashlib.sha256(b"a key").digest()


def key_file(digits: str, role: str = "linkage") -> str:
    return f'format = "nightlink-key-1"\nrole = "{role}"\nkey = "{digits}"\n'


@pytest.mark.parametrize("role", KEY_ROLES)
def test_a_key_file_reads_back(role: KeyRole) -> None:
    assert parse_key_file(format_key_file(role, KEY), role) == KEY


def test_a_key_file_of_an_epoch_serves_that_epoch() -> None:
    text = format_key_file("linkage", KEY, epoch="2026-b")
    assert parse_key_file(text, "linkage", epoch="2026-b") == parse_key_file(text, "linkage") == KEY
    assert parse_key_file(format_key_file("linkage", KEY), "linkage", epoch="2027") == KEY
    with pytest.raises(NightlinkError, match="E-KEY-EPOCH: found a linkage key of the epoch 2026-b"):
        parse_key_file(text, "linkage", epoch="2027")


@pytest.mark.parametrize("epoch", ["", "-x", "a b", "x" * 41, 'y"'])
def test_an_epoch_that_is_no_name_is_not_written(epoch: str) -> None:
    with pytest.raises(NightlinkError, match="E-KEY-FILE: found an epoch of another form"):
        format_key_file("linkage", KEY, epoch=epoch)


@pytest.mark.parametrize("epoch", [f'"{KEY.hex()}"', "7", "[]"])
def test_a_key_pasted_as_its_epoch_is_not_repeated(epoch: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        parse_key_file(key_file(KEY.hex()) + f"epoch = {epoch}\n", "linkage", epoch="2026")
    assert caught.value.code == "E-KEY-EPOCH"
    assert KEY.hex()[:8] not in str(caught.value)


def test_the_roles_of_the_two_sides_are_all_roles_and_none_is_of_both() -> None:
    assert sorted(CUSTODIAN_ROLES + LINKAGE_UNIT_ROLES) == sorted(KEY_ROLES)


@pytest.mark.parametrize("asked", KEY_ROLES)
@pytest.mark.parametrize("found", KEY_ROLES)
def test_a_key_of_another_role_is_refused_and_one_of_another_party_with_a_code_of_its_own(
    asked: KeyRole, found: KeyRole
) -> None:
    text = format_key_file(found, KEY)
    if asked == found:
        assert parse_key_file(text, asked) == KEY
        return
    with pytest.raises(NightlinkError) as caught:
        parse_key_file(text, asked)
    same_party = (asked in CUSTODIAN_ROLES) == (found in CUSTODIAN_ROLES)
    assert caught.value.code == ("E-KEY-FILE" if same_party else "E-ZONE")
    assert found in str(caught.value) and KEY.hex()[:8] not in str(caught.value)


@pytest.mark.parametrize("role", CUSTODIAN_ROLES)
def test_a_key_file_is_known_also_when_it_is_not_well_formed(role: KeyRole) -> None:
    text = format_key_file(role, KEY)
    for spoiled in (
        text,
        text[:-20],
        text + "surplus",
        "\ufeff" + text,
        text.replace(" = ", "="),
        f"# x\n{text}",
    ):
        with pytest.raises(NightlinkError, match="E-ZONE"):
            refuse_foreign_key(spoiled, LINKAGE_UNIT_ROLES)
        refuse_foreign_key(spoiled, CUSTODIAN_ROLES)
    assert role_in("postgresql://role:secret@host/db") is None
    assert role_in('role = "linkage"') is None
    assert role_in(key_file(KEY.hex(), "master")) is None


def test_a_party_makes_keys_of_its_own_roles_only() -> None:
    assert own_role("site", CUSTODIAN_ROLES) == "site"
    for role, words in (("linkage_unit_signing", "of another party"), ("master", "an unknown role")):
        with pytest.raises(NightlinkError, match=f"E-KEY-FILE: found .*{words}"):
            own_role(role, CUSTODIAN_ROLES)


@pytest.mark.parametrize(
    "text",
    [
        key_file(f"  {KEY.hex()}  "),
        key_file(KEY.hex() + "\\n"),
        key_file(KEY.hex().upper()),
        "\n\n" + key_file(KEY.hex()) + "\n \n",
        key_file(KEY.hex()).replace("\n", "\r\n"),
    ],
    ids=["spaces", "newline", "capitals", "blank lines", "carriage returns"],
)
def test_white_space_and_case_do_not_count(text: str) -> None:
    assert parse_key_file(text, "linkage") == KEY


REFUSED = {
    "empty": ("", "missing or surplus entries"),
    "no TOML": (KEY.hex(), "text that is not TOML"),
    "broken string": (f'key = "{KEY.hex()}', "text that is not TOML"),
    "another format": (key_file(KEY.hex()).replace("key-1", "key-2"), "another format"),
    "no role": (f'format = "nightlink-key-1"\nkey = "{KEY.hex()}"', "missing or surplus entries"),
    "surplus entry": (key_file(KEY.hex()) + 'note = "x"', "missing or surplus entries"),
    "another role": (key_file(KEY.hex(), "signing"), "a key of the role signing"),
    "an unknown role": (key_file(KEY.hex(), "master"), "a key of an unknown role"),
    "the key as its role": (key_file(KEY.hex(), KEY.hex()), "a key of an unknown role"),
    "short": (key_file(KEY.hex()[:-2]), "a key of 62 characters"),
    "long": (key_file(KEY.hex() + "00"), "a key of 66 characters"),
    "no key": (key_file(""), "a key of 0 characters"),
    "no hexadecimal": (key_file("g" + KEY.hex()[1:]), "not hexadecimal"),
    "a space within": (key_file(KEY.hex()[:31] + " " + KEY.hex()[32:]), "not hexadecimal"),
    "other digits": (key_file("٣" + KEY.hex()[1:]), "not hexadecimal"),
    "a number": (f'format = "nightlink-key-1"\nrole = "linkage"\nkey = {"1" * 64}', "not text"),
    "zeros": (key_file("00" * 32), "a pattern"),
    "all bytes equal": (key_file("a7" * 32), "a pattern"),
    "counting": (key_file(bytes(range(32)).hex()), "a pattern"),
    "counting down": (key_file(bytes(range(250, 58, -6)).hex()), "a pattern"),
    "the hexadecimal digits": (key_file("0123456789abcdef" * 4), "a pattern"),
    "dead beef": (key_file("deadbeef" * 8), "a pattern"),
    "a placeholder": (key_file("<64 hex digits>"), "a key of 15 characters"),
}


@pytest.mark.parametrize(("text", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_key_file_is_refused_without_showing_it(text: str, found: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        parse_key_file(text, "linkage")
    assert caught.value.code == "E-KEY-FILE"
    assert found in str(caught.value)
    assert KEY.hex()[:8] not in str(caught.value)


def test_an_unknown_role_cannot_be_asked_for_or_written() -> None:
    with pytest.raises(NightlinkError, match="E-KEY-FILE"):
        parse_key_file(key_file(KEY.hex()), "master")  # type: ignore[arg-type]
    with pytest.raises(NightlinkError, match="E-KEY-FILE"):
        format_key_file("master", KEY)  # type: ignore[arg-type]


def test_a_weak_key_is_not_written() -> None:
    with pytest.raises(NightlinkError, match="a key of 16 bytes"):
        format_key_file("site", KEY[:16])


def test_keys_drawn_at_random_pass() -> None:
    for number in range(2000):
        check_key(hashlib.sha256(number.to_bytes(4, "little")).digest())
