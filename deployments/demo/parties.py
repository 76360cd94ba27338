"""The demo's parties: users, folders, keys, secrets and settings, each readable for its own party alone."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.protocol.key_files import format_key_file
from linkage_core.protocol.transfer_keys import agreement_public_hex
from tasks.protocol.exchange import RECEIPTS_FOLDER
from tasks.protocol.settings_files import read_protocol

CHECKOUT = Path(__file__).resolve().parents[2]
# Numbers that no distribution hands out; the demo needs no entry in /etc/passwd and leaves none.
_USER_NUMBERS = {"hospital": 61001, "pharmacy": 61002, "linkage-unit": 61003, "prefect": 61004}
# A group for each custodian's part of the exchange: the custodian, who writes it, and the linkage unit, who reads.
_EXCHANGE_GROUPS = {"hospital": 61021, "pharmacy": 61022}


@dataclass(frozen=True)
class SystemUser:
    """An operating-system user by number; None is whoever runs the demo."""

    number: int | None
    groups: tuple[int, ...] = ()

    def popen_arguments(self) -> dict[str, Any]:
        """What :class:`subprocess.Popen` needs to become this user."""
        if self.number is None:
            return {}
        return {"user": self.number, "group": self.number, "extra_groups": list(self.groups)}

    def own(self, path: Path, mode: int, group: int | None = None) -> None:
        """Give ``path`` to this user (and a group), with ``mode``."""
        if self.number is not None:
            os.chown(path, self.number, self.number if group is None else group)
        path.chmod(mode)


@dataclass(frozen=True)
class Party:
    """One party of the night."""

    name: str
    user: SystemUser
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.toml"


def choose_users() -> tuple[dict[str, SystemUser], str]:
    """A user for each party where this machine allows it, and a sentence that says what was chosen."""
    nobody = {name: SystemUser(None) for name in _USER_NUMBERS}
    if os.geteuid() != 0:
        return nobody, "one operating-system user for all parties (only root can give each its own)"
    if not _may_run_our_code(_USER_NUMBERS["hospital"]):
        return (
            nobody,
            f"one operating-system user for all parties ({sys.prefix} or its Python is closed to others)",
        )
    users = {name: SystemUser(number, _groups_of(name)) for name, number in _USER_NUMBERS.items()}
    return users, f"an operating-system user for each party ({', '.join(map(str, _USER_NUMBERS.values()))})"


def _groups_of(name: str) -> tuple[int, ...]:
    if name == "linkage-unit":
        return tuple(_EXCHANGE_GROUPS.values())
    return (_EXCHANGE_GROUPS[name],) if name in _EXCHANGE_GROUPS else ()


def _may_run_our_code(user: int) -> bool:
    probe = [sys.executable, "-c", "import flows.command_line, prefect"]
    try:
        outcome = subprocess.run(
            probe,
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
            env={
                "HOME": "/nonexistent",
                "PREFECT_HOME": "/nonexistent",
                "PYTHONDONTWRITEBYTECODE": "1",
            },  # noqa: S108
            capture_output=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return outcome.returncode == 0


def make_party(root: Path, name: str, user: SystemUser) -> Party:
    """The party's folders: only its own user may look inside."""
    party = Party(name, user, root / name.replace("-", "_"))
    for path in (party.folder, party.home, party.folder / "secrets", party.folder / "state"):
        path.mkdir()
        user.own(path, 0o700)
    return party


def write_private(party: Party, relative: str, text: str) -> Path:
    """A file that only the party's user can read."""
    path = party.folder / relative
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    party.user.own(path, 0o600)
    return path


def make_exchange(root: Path, custodians: list[Party], linkage_unit: Party) -> Path:
    """The exchange: each custodian writes its own folder, the linkage unit reads both, nobody else anything.

    The linkage unit writes a folder of receipts for each custodian, which that one reads.
    """
    exchange = root / "exchange"
    exchange.mkdir()
    exchange.chmod(0o711)
    for party in custodians:
        folder = exchange / party.name
        folder.mkdir()
        party.user.own(folder, 0o2750, _EXCHANGE_GROUPS[party.name])
    receipts = exchange / RECEIPTS_FOLDER
    receipts.mkdir()
    linkage_unit.user.own(receipts, 0o711)
    for party in custodians:
        (receipts / party.name).mkdir()
        linkage_unit.user.own(receipts / party.name, 0o2750, _EXCHANGE_GROUPS[party.name])
    return exchange


def copy_protocol(root: Path) -> Path:
    """The protocol file, readable for all: it holds no secret."""
    target = root / "linkage_protocol.toml"
    shutil.copyfile(CHECKOUT / "deployments" / "linkage_protocol.toml", target)
    target.chmod(0o644)
    return target


@dataclass(frozen=True, repr=False)
class CustodianKeys:
    """What the demo drew for one custodian; the evaluation needs the site key to know records again."""

    linkage: bytes
    site: bytes
    signing: bytes
    transfer: bytes

    @property
    def public(self) -> str:
        return public_key_hex(signing_key_from_seed(self.signing))

    @property
    def transfer_public(self) -> str:
        return agreement_public_hex(self.transfer)


def draw_keys(linkage: bytes) -> CustodianKeys:
    """Fresh random keys of its own beside the shared linkage key."""
    return CustodianKeys(linkage, *(secrets.token_bytes(32) for _ in range(3)))


def write_custodian(
    party: Party,
    keys: CustodianKeys,
    *,
    protocol: Path,
    exchange: Path,
    source_url: str,
    content_url: str,
    linkage_unit_public_key: str,
    linkage_unit_signing_key: str,
    must_not_read: list[Path],
) -> None:
    """Secrets and settings of one custodian."""
    epoch = read_protocol(protocol).key_epoch
    write_private(party, "secrets/linkage.key", format_key_file("linkage", keys.linkage, epoch=epoch))
    write_private(party, "secrets/site.key", format_key_file("site", keys.site, epoch=epoch))
    write_private(party, "secrets/signing.key", format_key_file("signing", keys.signing))
    write_private(party, "secrets/transfer.key", format_key_file("transfer", keys.transfer))
    write_private(party, "secrets/source.url", source_url + "\n")
    write_private(party, "secrets/content.url", content_url + "\n")
    template = (CHECKOUT / "deployments" / "settings" / f"{party.name}.toml").read_text(encoding="utf-8")
    template = template.replace('"PUBLIC-KEY"', f'"{linkage_unit_public_key}"')
    template = template.replace('"UNIT-SIGNING-KEY"', f'"{linkage_unit_signing_key}"')
    write_private(party, "settings.toml", _filled(template, protocol, exchange, must_not_read))


def write_linkage_unit(
    party: Party,
    encryption_key: bytes,
    signing_key: bytes,
    custodian_keys: dict[str, CustodianKeys],
    *,
    protocol: Path,
    exchange: Path,
    warehouse_url: str,
    must_not_read: list[Path],
) -> None:
    """Secrets and settings of the linkage unit: custodians' public keys alone, no source."""
    key_file = format_key_file("linkage_unit_encryption", encryption_key)
    write_private(party, "secrets/encryption.key", key_file)
    write_private(party, "secrets/signing.key", format_key_file("linkage_unit_signing", signing_key))
    write_private(party, "secrets/warehouse.url", warehouse_url + "\n")
    (party.folder / "reports").mkdir()
    party.user.own(party.folder / "reports", 0o700)
    template = (CHECKOUT / "deployments" / "settings" / "linkage_unit.toml").read_text(encoding="utf-8")
    for name, keys in custodian_keys.items():
        template = template.replace(f'{name} = "PUBLIC-KEY"', f'{name} = "{keys.public}"')
        template = template.replace(f'{name} = "TRANSFER-PUBLIC-KEY"', f'{name} = "{keys.transfer_public}"')
    write_private(party, "settings.toml", _filled(template, protocol, exchange, must_not_read))


def _filled(template: str, protocol: Path, exchange: Path, must_not_read: list[Path]) -> str:
    """The shipped example with this demo's paths; a JSON string is a TOML string."""
    listed = ", ".join(f'"{path}"' for path in must_not_read)
    return (
        template.replace('"../linkage_protocol.toml"', f'"{protocol}"')
        .replace('"/srv/nightlink/exchange"', f'"{exchange}"')
        .replace('"../../sql/', f'"{CHECKOUT}/sql/')
        .replace("must_not_read = []", f"must_not_read = [{listed}]")
    )


def write_url(path: Path, url: str) -> None:
    """A URL with its password, for whoever runs the demo alone."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(url + "\n")


def write_night(root: Path, custodians: list[Party], linkage_unit: Party) -> Path:
    """The night settings: so that the same night can run without Prefect (`nightlink run`)."""
    blocks = ['format = "nightlink-night-1"', "deadline_s = 3600", ""]
    for party, zone in [*((c, "custodian") for c in custodians), (linkage_unit, "linkage_unit")]:
        blocks += ["[[parties]]", f'name = "{party.name.replace("-", "_")}"', f'zone = "{zone}"']
        blocks += [f'settings_file = "{party.settings_file}"', f'home = "{party.home}"']
        if party.user.number is not None:
            blocks += [f"user = {party.user.number}", f"groups = {list(party.user.groups)}"]
        blocks += [""]
    path = root / "night.toml"
    path.write_text("\n".join(blocks), encoding="utf-8")
    path.chmod(0o600)
    return path
