"""Whose key a file holds: a party's loader refuses every key that another party alone may hold, wherever it lies."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from flows.command_line import main
from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import (
    CUSTODIAN_ROLES,
    KEY_ROLES,
    LINKAGE_UNIT_ROLES,
    KeyRole,
    format_key_file,
)
from linkage_core.protocol.transfer_keys import agreement_public_hex, key_id
from tasks.custodian.settings import custodian_site
from tasks.linkage_unit.settings import linkage_unit

DEPLOYMENTS = Path(__file__).resolve().parents[4] / "deployments"
OWN_FILES: dict[str, dict[str, KeyRole]] = {
    "hospital": {
        "linkage.key": "linkage",
        "site.key": "site",
        "signing.key": "signing",
        "transfer.key": "transfer",
    },
    "linkage_unit": {"encryption.key": "linkage_unit_encryption", "signing.key": "linkage_unit_signing"},
}
URL_FILES = {"hospital": ("source.url", "content.url"), "linkage_unit": ("warehouse.url",)}


def key(role: str) -> bytes:
    return hashlib.sha256(f"wrong hands {role}".encode()).digest()


def write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


def make_party(folder: Path, party: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped example of the party's settings with good secrets, and its environment; the secrets' folder."""
    home = folder / "settings" / party
    secrets = home / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    shutil.copy(DEPLOYMENTS / "linkage_protocol.toml", folder / "settings")
    public = agreement_public_hex(key("somebody"))
    text = (DEPLOYMENTS / "settings" / f"{party}.toml").read_text(encoding="utf-8")
    text = text.replace('"TRANSFER-PUBLIC-KEY"', f'"{public}"').replace('"PUBLIC-KEY"', f'"{public}"')
    text = text.replace('"UNIT-SIGNING-KEY"', f'"{public}"')
    (home / "settings.toml").write_text(text, encoding="utf-8")
    for name, role in OWN_FILES[party].items():
        write_secret(secrets / name, format_key_file(role, key(role)))
    for name in URL_FILES[party]:
        write_secret(secrets / name, "postgresql://nobody:nothing@127.0.0.1/none\n")
    for variable in [name for name in os.environ if name.startswith("NIGHTLINK_")]:
        monkeypatch.delenv(variable)
    zone = "CUSTODIAN" if party == "hospital" else "LINKAGE_UNIT"
    monkeypatch.setenv(f"NIGHTLINK_{zone}_SETTINGS", str(home / "settings.toml"))
    return secrets


def load(party: str) -> object:
    return custodian_site() if party == "hospital" else linkage_unit()


def refusal(party: str) -> NightlinkError:
    with pytest.raises(NightlinkError) as caught:
        load(party)
    for role in KEY_ROLES:
        assert key(role).hex()[:8] not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("party", OWN_FILES)
def test_a_party_starts_with_its_own_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, party: str
) -> None:
    """The positive control of all that follows."""
    secrets = make_party(tmp_path, party, monkeypatch)
    loaded = load(party)
    assert not any(key(role).hex()[:8] in repr(loaded) for role in KEY_ROLES)
    write_secret(secrets / "more.key", format_key_file(*_spare(party)))
    load(party)


def _spare(party: str) -> tuple[KeyRole, bytes]:
    role: KeyRole = "site" if party == "hospital" else "linkage_unit_signing"
    return role, key("spare")


def test_both_ends_print_the_same_key_ids_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {}
    publics = {
        "custodian": public_key_hex(signing_key_from_seed(key("signing"))),
        "transfer": agreement_public_hex(key("transfer")),
        "unit": agreement_public_hex(key("linkage_unit_encryption")),
    }
    for party, command in (
        ("hospital", ["custodian", "verify-key"]),
        ("linkage_unit", ["linkage-unit", "verify-keys"]),
    ):
        secrets = make_party(tmp_path / party, party, monkeypatch)
        settings = secrets.parent / "settings.toml"
        text = settings.read_text()
        if party == "hospital":
            text = text.replace(agreement_public_hex(key("somebody")), publics["unit"])
        else:
            head, tail = text.split("[custodian_transfer_keys]")
            head = head.replace(agreement_public_hex(key("somebody")), publics["custodian"])
            text = (
                head
                + "[custodian_transfer_keys]"
                + tail.replace(agreement_public_hex(key("somebody")), publics["transfer"])
            )
        settings.write_text(text)
        with pytest.raises(SystemExit) as caught:
            main(command)
        assert not caught.value.code
        told[party] = capsys.readouterr().out
    ids = [
        f"signing key id: {key_id(publics['custodian'])}",
        f"transfer key id: {key_id(publics['transfer'])}",
    ]
    ids.append(f"linkage unit's key id: {key_id(publics['unit'])}")
    assert told["hospital"].splitlines()[-3:] == ids
    assert told["linkage_unit"].splitlines()[:4] == ["with hospital:", *ids]
    assert not any(key(role).hex()[:8] in text for role in KEY_ROLES for text in told.values())


PAIRS = [
    (party, name, role)
    for party, foreign in (("hospital", LINKAGE_UNIT_ROLES), ("linkage_unit", CUSTODIAN_ROLES))
    for name in (*OWN_FILES[party], *URL_FILES[party], "beside.key", ".hidden")
    for role in foreign
]


@pytest.mark.parametrize(("party", "name", "role"), PAIRS)
def test_a_key_that_another_party_alone_may_hold_is_refused_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, party: str, name: str, role: KeyRole
) -> None:
    secrets = make_party(tmp_path, party, monkeypatch)
    write_secret(secrets / name, format_key_file(role, key(role)))
    error = refusal(party)
    assert error.code == "E-ZONE"
    assert f"a key of the role {role}" in error.found


@pytest.mark.parametrize("own", OWN_FILES["hospital"])
@pytest.mark.parametrize("role", CUSTODIAN_ROLES)
def test_a_custodians_key_serves_its_own_role_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, role: KeyRole
) -> None:
    secrets = make_party(tmp_path, "hospital", monkeypatch)
    write_secret(secrets / own, format_key_file(role, key(role)))
    if OWN_FILES["hospital"][own] == role:
        load("hospital")
    else:
        assert refusal("hospital").code == "E-KEY-FILE"


@pytest.mark.parametrize("role", [role for role in LINKAGE_UNIT_ROLES if role != "linkage_unit_encryption"])
def test_the_units_key_serves_its_own_role_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: KeyRole
) -> None:
    secrets = make_party(tmp_path, "linkage_unit", monkeypatch)
    write_secret(secrets / "encryption.key", format_key_file(role, key(role)))
    assert refusal("linkage_unit").code == "E-KEY-FILE"


@pytest.mark.parametrize("party", OWN_FILES)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660])
def test_a_key_that_others_can_read_or_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, party: str, mode: int
) -> None:
    secrets = make_party(tmp_path, party, monkeypatch)
    for name in OWN_FILES[party]:
        (secrets / name).chmod(mode)
        error = refusal(party)
        assert error.code == "E-KEY-FILE" and f"permissions {mode:04o}" in error.found
        (secrets / name).chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("party", OWN_FILES)
def test_a_key_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, party: str
) -> None:
    secrets = make_party(tmp_path, party, monkeypatch)
    for name in OWN_FILES[party]:
        os.chown(secrets / name, 61_077, 61_077)
        assert "another user" in refusal(party).found
        os.chown(secrets / name, 0, 0)


@pytest.mark.parametrize("party", OWN_FILES)
def test_a_key_behind_a_link_or_a_pipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, party: str
) -> None:
    secrets = make_party(tmp_path, party, monkeypatch)
    name = next(iter(OWN_FILES[party]))
    (secrets / name).rename(tmp_path / "elsewhere.key")
    (secrets / name).symlink_to(tmp_path / "elsewhere.key")
    assert refusal(party).code == "E-KEY-FILE"
    (secrets / name).unlink()
    os.mkfifo(secrets / name, 0o600)
    assert refusal(party).code == "E-KEY-FILE"


@pytest.mark.parametrize("name", ["linkage.key", "site.key"])
def test_a_key_of_another_epoch_is_refused_and_one_of_this_epoch_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    secrets = make_party(tmp_path, "hospital", monkeypatch)
    role = OWN_FILES["hospital"][name]
    write_secret(secrets / name, format_key_file(role, key(role), epoch="2026"))
    load("hospital")
    write_secret(secrets / name, format_key_file(role, key(role), epoch="2025"))
    error = refusal("hospital")
    assert error.code == "E-KEY-EPOCH"
    assert error.found == f"a {role} key of the epoch 2025"
