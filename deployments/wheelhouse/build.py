"""Build a folder from which `nightlink[custodian]` installs on a machine without internet: `make wheelhouse`.

It holds every wheel of the base installation, at the versions of the lock and with their hashes, Nightlink's own wheel,
scripts that install it into a virtual environment, the linkage protocol and an example of settings. It is built on a
machine with internet, of any platform for any platform that the packages have wheels for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PYTHON_VERSION = "3.11"

MANYLINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PLATFORMS = {
    "linux_x86_64": ("x86_64-manylinux_2_28", MANYLINUX),
    "win_amd64": ("x86_64-pc-windows-msvc", ("win_amd64",)),
}
"""What uv calls a platform, and the tags of wheels that run on it."""

SCRIPTS = ("README.txt", "install.sh", "install.cmd")
MORE_FILES = (
    "deployments/linkage_protocol.toml",
    "deployments/linkage_protocol.schema.json",
    "deployments/settings/clinic_files.toml",
)


def build_wheelhouse(out: Path, platform: str) -> Path:
    """Make ``out``, which must not exist, and return it; subprocess.CalledProcessError when a step fails."""
    wheels = out / "wheels"
    wheels.mkdir(parents=True)
    requirements = _pinned(platform)
    (out / "requirements.txt").write_text(requirements, encoding="utf-8", newline="\n")
    _download(out / "requirements.txt", wheels, platform)
    own = _own_wheel(wheels)
    with (out / "requirements.txt").open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"./wheels/{own.name} \\\n    --hash=sha256:{_sha256(own)}\n")
    for name in SCRIPTS:
        line_end = (
            "\n" if name.endswith(".sh") else "\r\n"
        )  # as the systems' own editors and shells want them
        (out / name).write_text((HERE / name).read_text(encoding="utf-8"), encoding="utf-8", newline=line_end)
    (out / "install.sh").chmod(0o755)
    for name in MORE_FILES:
        shutil.copy(ROOT / name, out / Path(name).name)
    sums = [f"{_sha256(path)}  {path.relative_to(out).as_posix()}\n" for path in _files(out)]
    (out / "SHA256SUMS").write_text("".join(sums), encoding="ascii", newline="\n")
    return out


def _pinned(platform: str) -> str:
    """The base installation's packages for a platform, at the lock's versions, with hashes."""
    compiled = _run(
        [*_uv(), "pip", "compile", "-q", "--extra", "custodian", "-c", "requirements.txt", "--generate-hashes",
         "--python-platform", PLATFORMS[platform][0], "--python-version", PYTHON_VERSION, "--no-header",
         "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "pyproject.toml"],
        cwd=ROOT,
    )  # fmt: skip
    return compiled.stdout


def _download(requirements: Path, wheels: Path, platform: str) -> None:
    tags = [word for tag in PLATFORMS[platform][1] for word in ("--platform", tag)]
    _run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:",
         *tags, "--python-version", PYTHON_VERSION, "--implementation", "cp", "-d", str(wheels),
         "-r", str(requirements)]
    )  # fmt: skip


def _own_wheel(wheels: Path) -> Path:
    """Nightlink's wheel out of the tracked files alone: a build folder of another day plays no part."""
    listed = _run(["git", "ls-files", "-z", "*.toml", "README.md", "LICENSE", "flows", "tasks", "linkage_core", "sql",
                   "deployments"], cwd=ROOT).stdout  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():  # not one that was deleted and is still tracked
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        # A fixed date, so that the same sources give the same wheel.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
        _run([*_uv(), "build", "-q", "--wheel", "-o", str(wheels), folder], env=environment)
    (wheels / ".gitignore").unlink(missing_ok=True)
    return next(wheels.glob("nightlink-*.whl"))


def _uv() -> list[str]:
    return [sys.executable, "-m", "uv"]


def _run(
    command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(words: Sequence[str] | None = None) -> None:
    """Build for each platform that is named and archive the folder as a zip beside it."""
    parser = argparse.ArgumentParser(description="Everything that a custodian without internet installs.")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"of {', '.join(PLATFORMS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    chosen = parser.parse_args(words)
    for platform in chosen.platforms or ["linux_x86_64"]:
        if platform not in PLATFORMS:
            parser.error(f"{platform} is none of {', '.join(PLATFORMS)}")
        out = chosen.out / f"nightlink-custodian-{platform}"
        shutil.rmtree(out, ignore_errors=True)
        build_wheelhouse(out, platform)
        archive = shutil.make_archive(str(out), "zip", chosen.out, out.name)
        size_mib = Path(archive).stat().st_size / 2**20
        print(f"{archive}: {len(list((out / 'wheels').iterdir()))} wheels, {size_mib:.0f} MiB")


if __name__ == "__main__":
    main()
