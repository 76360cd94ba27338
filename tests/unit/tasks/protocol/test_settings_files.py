"""Settings and secret files: each mistake has one message, which names the entry and never its value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployments.demo.own_servers import ServersFile
from linkage_core.errors import NightlinkError
from tasks.coordinator.settings import NightSettings, night_settings
from tasks.custodian.settings import CustodianSettings
from tasks.linkage_unit.settings import LinkageUnitSettings
from tasks.protocol.protocol_files import SHIPPED_PROTOCOL
from tasks.protocol.settings_files import read_protocol, read_secret, read_settings, settings_path

EXAMPLES = Path(__file__).resolve().parents[4] / "deployments" / "settings"
MODELS = {
    "hospital.toml": CustodianSettings,
    "clinic_files.toml": CustodianSettings,
    "pharmacy.toml": CustodianSettings,
    "linkage_unit.toml": LinkageUnitSettings,
    "night.toml": NightSettings,
    "servers.toml": ServersFile,
}
SECRET_VALUE = "Zaphod42"

# file, what is written, what is put in its place, what the message says
MISTAKES = [
    ("hospital.toml", 'custodian = "hospital"', 'custodian = "No Such Name"', "in custodian: "),
    ("hospital.toml", 'custodian = "hospital"\n', "", "in custodian: Field required"),
    ("hospital.toml", "nightlink-custodian-1", "nightlink-custodian-9", "in format: "),
    ("hospital.toml", "nightlink-custodian-1", "nightlink-linkage-unit-1", "in format: "),
    ("hospital.toml", "linkage_key_file =", "linkage_keyfile =", "in linkage_key_file: Field required"),
    ("hospital.toml", "state_folder =", f'surplus = "{SECRET_VALUE}"\nstate_folder =', "in surplus: Extra"),
    ("hospital.toml", 'state_folder = "state"', "state_folder = 7", "in state_folder: "),
    ("hospital.toml", 'must_not_read = []', 'must_not_read = "x"', "in must_not_read: "),
    ("hospital.toml", "deadline_s = 600", "deadline_s = 0", "in source.deadline_s: "),
    ("hospital.toml", "deadline_s = 600", "deadline_s = 3601", "in source.deadline_s: "),
    ("hospital.toml", "batch_rows = 50_000", "batch_rows = 10", "in source.batch_rows: "),
    ("hospital.toml", '"admission"', '"prescription"', "in source.content_table: "),
    ("hospital.toml", 'date_formats = ["%Y-%m-%d"]', "date_formats = []", "in source.format.date_formats: "),
    ("hospital.toml", '["%Y-%m-%d"]', '["%d/%m/%Y", "%m/%d/%Y"]', "two date formats accept the same text"),
    ("hospital.toml", '["%Y-%m-%d"]', '["%y%m%d"]', "a date format names each of %Y, %m and %d once"),
    ("hospital.toml", 'M = "m"', 'M = "male"', "in source.format.sex_codes.M: "),
    ("hospital.toml", 'M = "m", ', 'M = "m", " m" = "m", ', "two sex codes differ in case"),
    ("hospital.toml", 'phone_region = "US"', 'phone_region = "usa"', "in source.format.phone_region: "),
    ("hospital.toml", "max_reject_share = 0.05", "max_reject_share = 1.5", "in quality.max_reject_share: "),
    ("hospital.toml", "min_rows = 1", "min_rows = -1", "in quality.min_rows: "),
    ("hospital.toml", "[quality]", "[quality", "text that is not TOML"),
    ("clinic_files.toml", "people_file =", "peoples_file =", "in source.database_url_file: Field required"),
    ("clinic_files.toml", 'encoding = "cp1252"', "encoding = 8", "in source.encoding: "),
    ("clinic_files.toml", 'delimiter = ";"', 'delimiter = ";"\nquery = "x"', "in source.query: Extra"),
    ("clinic_files.toml", 'delimiter = ";"', 'delimiter = ";"\ncontent_file = "x"', "in source: Value error, content_"),
    ("clinic_files.toml", 'state_folder = "state"', 'state_folder = "state"\nwarehouse_content_url_file = "x"',
     "in the document: Value error, content needs both"),
    ("hospital.toml", 'warehouse_content_url_file = "secrets/content.url"\n', "", "content needs both its source and"),
    ("pharmacy.toml", '"dispensing"', '"admissions"', "in source.content_table: "),
    ("linkage_unit.toml", f'"{"ab" * 32}"', '"0"', "in custodian_public_keys.hospital: "),
    ("linkage_unit.toml", "[custodian_transfer_keys]", "[transfer_keys]", "in custodian_transfer_keys: Field required"),
    ("linkage_unit.toml", "encryption_key_file =", "key_file =", "in encryption_key_file: Field required"),
    ("hospital.toml", f'"{"ab" * 32}"', '"PUBLIC-KEY"', "in linkage_unit_public_key: "),
    ("hospital.toml", "transfer_key_file =", "transfer_file =", "in transfer_key_file: Field required"),
    ("hospital.toml", "transfer_key_file =", "encryption_key_file =", "in transfer_key_file: Field required"),
    ("linkage_unit.toml", '"Europe/London"', '"Mars/Olympus"', "in time_zone: Value error, must name a time zone"),
    ("hospital.toml", '"Europe/London"', '"../../etc/passwd"', "in time_zone: Value error, must name a time zone"),
    ("hospital.toml", '"Europe/London"', '""', "in time_zone: Value error, must name a time zone"),
    ("linkage_unit.toml", 'wait_for_deliveries_s = 0 ', 'wait_for_deliveries_s = -1 ', "in wait_for_deliveries_s: "),
    ("linkage_unit.toml", 'reports_folder =', f'linkage_key_file = "{SECRET_VALUE}"\nreports_folder =',
     "in linkage_key_file: Extra inputs are not permitted"),
    ("linkage_unit.toml", 'reports_folder =', f'database_url_file = "{SECRET_VALUE}"\nreports_folder =',
     "in database_url_file: Extra inputs are not permitted"),
    ("night.toml", 'zone = "linkage_unit"', 'zone = "custodian"', "one party of the zone linkage_unit"),
    ("night.toml", 'name = "pharmacy"', 'name = "hospital"', "a name of its own for each party"),
    ("night.toml", "deadline_s = 3600", "deadline_s = 0", "in deadline_s: "),
    ("night.toml", 'zone = "linkage_unit"', 'zone = "warehouse"', "in parties.2.zone: "),
    ("night.toml", 'name = "hospital"', 'name = ""', "in parties.0.name: "),
    ("night.toml", "# user = 2001", "user = 0", "in parties.0.user: "),
    ("night.toml", "# user = 2001", 'user = "root"', "in parties.0.user: "),
    ("night.toml", "# user = 2001", "groups = [0]", "in parties.0.groups.0: "),
]  # fmt: skip


def _example(name: str) -> str:
    return (
        (EXAMPLES / name)
        .read_text(encoding="utf-8")
        .replace('PUBLIC-KEY"', f'{"ab" * 32}"')
        .replace("TRANSFER-", "")
        .replace("UNIT-SIGNING-KEY", "ab" * 32)
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_examples_parse(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(_example(name), encoding="utf-8")
    settings = read_settings(path, MODELS[name])
    with pytest.raises(ValueError, match="frozen"):
        settings.format = "other"


def test_every_file_of_the_settings_folder_is_an_example_with_a_model() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(MODELS)


@pytest.mark.parametrize(
    ("name", "written", "instead", "message"), MISTAKES, ids=[m[3] + m[2] for m in MISTAKES]
)
def test_each_mistake_has_its_message(
    tmp_path: Path, name: str, written: str, instead: str, message: str
) -> None:
    text = _example(name)
    assert written in text, "the example no longer holds this line"
    path = tmp_path / name
    path.write_text(text.replace(written, instead, 1), encoding="utf-8")
    with pytest.raises(NightlinkError, match="E-SETTINGS") as caught:
        read_settings(path, MODELS[name])
    assert message in str(caught.value) and name in str(caught.value)
    assert SECRET_VALUE not in str(caught.value)


def test_a_missing_file_a_folder_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (tmp_path / "absent.toml", "cannot be read (No such file or directory)"),
        (tmp_path, "cannot be read (Is a directory)"),
        (tmp_path / "bytes.toml", "text that is not TOML"),
    ):
        with pytest.raises(NightlinkError, match="E-SETTINGS") as caught:
            read_settings(path, NightSettings)
        assert message in str(caught.value)


def test_relative_paths_are_relative_to_the_file_and_tilde_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    path = tmp_path / "night.toml"
    path.write_text(_example("night.toml").replace("/var/lib/nightlink/hospital", "~/h"), encoding="utf-8")
    monkeypatch.chdir("/")
    first = night_settings(path).parties[0]
    assert first.settings_file == tmp_path / "hospital.toml"
    assert first.home == Path("/home/somebody/h")


def test_the_environment_must_name_a_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTLINK_CUSTODIAN_SETTINGS", raising=False)
    with pytest.raises(NightlinkError, match="E-SETTINGS.*no NIGHTLINK_CUSTODIAN_SETTINGS"):
        settings_path("NIGHTLINK_CUSTODIAN_SETTINGS")
    monkeypatch.setenv("NIGHTLINK_CUSTODIAN_SETTINGS", "/etc/h.toml")
    assert settings_path("NIGHTLINK_CUSTODIAN_SETTINGS") == Path("/etc/h.toml")


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_protocol_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "protocol.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NightlinkError, match="E-SETTINGS.*a protocol file that cannot be read"):
        read_protocol(path)


def test_no_party_takes_a_protocol_that_calls_itself_unsafe(tmp_path: Path) -> None:
    shipped = SHIPPED_PROTOCOL.read_text(encoding="utf-8")
    path = tmp_path / "protocol.toml"
    for number, entries in enumerate(("unsafe = true", "unsafe = false")):
        path.write_text(f"{entries}\n{shipped}", encoding="utf-8")
        if number:
            assert read_protocol(path) == read_protocol(SHIPPED_PROTOCOL)
        else:
            with pytest.raises(NightlinkError, match="E-PROTOCOL-UNSAFE: found unsafe = true in "):
                read_protocol(path)


def _secret(folder: Path, mode: int = 0o600) -> Path:
    path = folder / "source.url"
    path.write_text(f"  {SECRET_VALUE}\n\n", encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_secret_is_read_and_its_white_space_trimmed(tmp_path: Path, mode: int) -> None:
    assert read_secret(_secret(tmp_path, mode)) == SECRET_VALUE


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_secret_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(NightlinkError, match=f"E-KEY-FILE.*permissions {mode:04o}") as caught:
        read_secret(_secret(tmp_path, mode))
    assert SECRET_VALUE not in str(caught.value)


def test_a_link_a_folder_a_missing_file_and_no_text_are_refused(tmp_path: Path) -> None:
    link, other = tmp_path / "link", tmp_path / "bytes"
    link.symlink_to(_secret(tmp_path))
    other.write_bytes(b"\xff\xfe")
    other.chmod(0o600)
    for path, message in (
        (link, "cannot be opened"),
        (tmp_path, "E-KEY-FILE"),
        (tmp_path / "absent", "cannot be opened (No such file or directory)"),
        (other, "not UTF-8"),
    ):
        with pytest.raises(NightlinkError, match="E-KEY-FILE") as caught:
            read_secret(path)
        assert message in str(caught.value)


@pytest.mark.timeout(10)
def test_a_fifo_in_place_of_a_secret_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "source.url"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(NightlinkError, match="E-KEY-FILE"):
        read_secret(fifo)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_another_users_secret_is_refused(tmp_path: Path) -> None:
    path = _secret(tmp_path)
    os.chown(path, 61999, 61999)
    with pytest.raises(NightlinkError, match="E-KEY-FILE.*a file of another user"):
        read_secret(path)
