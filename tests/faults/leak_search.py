"""Search files for planted words and keys in every form in which a program may have written them.

The search is by ``grep -F``, which takes thousands of patterns, NUL bytes included; ``LeakSearch.check`` proves
that it finds every one of them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import subprocess
import tempfile
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anyascii import anyascii

_GREP = ("grep", "--text", "--fixed-strings", "--no-messages")
_C_LOCALE = {"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"}
_SHORTEST_FORM = 6


@dataclass(frozen=True)
class Leak:
    """A pattern that was found where it must not be."""

    path: Path
    pattern: bytes


def name_patterns(words: Iterable[str]) -> list[bytes]:
    """All forms of all words, sorted; none holds a line feed, which would part a pattern of grep's."""
    forms = {form for word in words for form in _forms(word)}
    return sorted(form for form in forms if b"\n" not in form and len(form) >= _SHORTEST_FORM)


def _forms(word: str) -> Iterator[bytes]:
    for text in _spellings(word):
        yield text.encode()
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
        yield (
            text.encode("latin-1", "ignore") if len(text) - len(text.encode("latin-1", "ignore")) < 2 else b""
        )
        yield from _armoured(text.encode())
        yield urllib.parse.quote(text, safe="").encode()
        yield text.encode("unicode_escape")
        for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            # An unkeyed digest of a name is the name to whoever has a list of names.
            yield digest(text.encode()).digest()
            yield digest(text.encode()).hexdigest().encode()


def _spellings(word: str) -> set[str]:
    folded = {unicodedata.normalize(form, word) for form in ("NFC", "NFD")} | {anyascii(word)}
    folded |= {"".join(c for c in text if c.isalnum()) for text in folded}
    return {change(text) for text in folded for change in (str, str.lower, str.upper, str.title)}


def key_patterns(keys: Iterable[bytes]) -> list[bytes]:
    """Raw bytes are searched in pieces without a line feed; hexadecimal digits and base64 as they are."""
    forms: set[bytes] = set()
    for key in keys:
        forms.update(piece for piece in key.split(b"\n") if len(piece) >= 8)
        forms.update(_armoured(key))
    return sorted(forms)


def _armoured(data: bytes) -> Iterator[bytes]:
    yield data.hex().encode()
    yield data.hex().upper().encode()
    yield b":".join(b"%02x" % byte for byte in data)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # Within a longer text: drop the letters at both ends that depend on the neighbours.
            text = encode(b"\0" * offset + data).rstrip(b"=")
            first = 0 if offset == 0 else offset + 1
            last = len(text) if (offset + len(data)) % 3 == 0 else len(text) - 1
            yield text[first:last]
    yield from (base64.b32encode(data).rstrip(b"=")[:-1], base64.b85encode(data)[: len(data) // 4 * 5])


@dataclass
class LeakSearch:
    """Searches for one list of patterns; a file that was clean and has not changed since is not read again."""

    patterns: Sequence[bytes]
    _clean: dict[Path, tuple[int, int, int]] = field(default_factory=dict)

    def find(self, files: Iterable[Path]) -> list[Leak]:
        """The given files that hold a pattern; a file that is gone holds none."""
        stamps = {path: stamp for path in files if (stamp := _stamp(path)) is not None}
        unknown = [path for path, stamp in stamps.items() if self._clean.get(path) != stamp]
        with tempfile.TemporaryDirectory(prefix="nightlink-patterns-") as folder:
            listed = Path(folder) / "patterns"
            listed.write_bytes(b"\n".join(self.patterns) + b"\n")
            hits = _files_that_match(listed, unknown)
            self._clean.update({path: stamps[path] for path in unknown if path not in hits})
            return [Leak(path, pattern) for path in sorted(hits) for pattern in _which(listed, path)[:3]]

    def check(self, folder: Path) -> None:
        """The positive control: a file for each pattern, amid other bytes, and every one must be found.

        Raises
        ------
        AssertionError
            The search is blind for some pattern.
        """
        noise, planted = os.urandom(37), {}
        for number, pattern in enumerate(self.patterns):
            planted[folder / f"{number:05d}"] = pattern
            (folder / f"{number:05d}").write_bytes(noise + pattern + noise)
        with tempfile.TemporaryDirectory(prefix="nightlink-patterns-") as place:
            listed = Path(place) / "patterns"
            listed.write_bytes(b"\n".join(self.patterns) + b"\n")
            found = _files_that_match(listed, list(planted))
        missed = [pattern for path, pattern in planted.items() if path not in found]
        assert not missed, (
            f"the search misses {len(missed)} of {len(planted)} patterns, such as {missed[0]!r}"
        )


_THE_PLANTERS_OWN = "planted_people."
"""The module with the names, as source and compiled: somebody may copy a checkout into /tmp meanwhile."""


def files_below(places: Iterable[Path], *, leave_out: Iterable[Path] = ()) -> Iterator[Path]:
    """All regular files below the places, links not followed; folders in ``leave_out`` are not entered."""
    closed = set(leave_out)
    for place in places:
        if place.is_file():
            yield place
        for folder, below, names in os.walk(place):
            below[:] = [name for name in below if Path(folder, name) not in closed]
            paths = (Path(folder, name) for name in names if not name.startswith(_THE_PLANTERS_OWN))
            yield from (path for path in paths if path not in closed)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _files_that_match(listed: Path, files: Sequence[Path]) -> set[Path]:
    hits: set[Path] = set()
    for first in range(0, len(files), 500):  # a command line holds only so many names
        some = [str(path) for path in files[first : first + 500]]
        answer = _grep([*_GREP, "--files-with-matches", "--null", f"--file={listed}", "--", *some])
        hits.update(Path(os.fsdecode(name)) for name in answer.split(b"\0") if name)
    return hits


def _which(listed: Path, path: Path) -> list[bytes]:
    # The file may be changed or gone by now, and then its path alone must do.
    found = _grep([*_GREP, "--only-matching", "--no-filename", f"--file={listed}", "--", str(path)])
    return sorted(set(found.rstrip(b"\n").split(b"\n")))


def _grep(command: list[str]) -> bytes:
    done = subprocess.run(command, env=_C_LOCALE, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    # Status 2 also where a file went away under its hands; what was found before counts all the same.
    return done.stdout
