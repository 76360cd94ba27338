"""Folded text is the same under every Python: its Unicode tables differ, and custodians need not agree on one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import anyascii
import pytest

CHECKOUT = Path(__file__).parents[2]
VERSIONS = ("3.12", "3.13")
EVERY_CHARACTER = """
import hashlib, sys
sys.path[:0] = sys.argv[1:]
from linkage_core.custodian.text_folding import fold_to_ascii
digest = hashlib.sha256()
for code in range(0x110000):  # alone, and between a letter and a mark that composes with it
    digest.update(f"{fold_to_ascii(chr(code))}|{fold_to_ascii(f'a{chr(code)}{chr(0x301)}b')}\\n".encode())
print(digest.hexdigest())
"""
KNOWN = "37c7e4331822da0c6a526d018e5952fea20b1e17d98a065be83cf9f95bca826d"


def python(version: str) -> str | None:
    """An interpreter of that version on this machine: where pyenv keeps them, or on the path."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    return str(kept[-1]) if kept else shutil.which(f"python{version}")


def digest_under(interpreter: str, folder: Path) -> str:
    """With this checkout and the one package that folding needs."""
    (folder / "anyascii").symlink_to(Path(anyascii.__file__).parent)
    command = [interpreter, "-I", "-B", "-c", EVERY_CHARACTER, str(CHECKOUT), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


def test_every_character_folds_as_it_always_did(tmp_path: Path) -> None:
    assert digest_under(sys.executable, tmp_path) == KNOWN


@pytest.mark.parametrize("version", VERSIONS)
def test_every_character_folds_alike_under_another_python(version: str, tmp_path: Path) -> None:
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"there is no Python {version} on this machine")
    assert digest_under(interpreter, tmp_path) == KNOWN
