"""`nightlink linkage-unit link-clks` and `solve-pairs`: files to files, and what is refused."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest

from flows.command_line import main
from tasks.protocol import bounded_files


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three parties; row k of one is row k + 1 of the next."""
    rng = np.random.default_rng(4)
    people = rng.integers(0, 256, (12, 128), dtype=np.uint8)
    paths = []
    for k in range(3):
        clks = [base64.b64encode(row.tobytes()).decode() for row in people[k : k + 9]]
        paths.append(tmp_path / f"party_{k}.json")
        paths[-1].write_text(json.dumps({"clks": clks}))
    return paths


def run(*words: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["linkage-unit", *map(str, words)])
    return ended.value.code


EXPECTED_PAIRS = [[[0, k + 1], [1, k]] for k in range(8)]


def test_groups_of_two_and_of_three(files, tmp_path):
    assert run("link-clks", *files[:2], "-o", tmp_path / "groups") == 0
    assert json.loads((tmp_path / "groups").read_text()) == {"groups": EXPECTED_PAIRS}
    assert (tmp_path / "groups").stat().st_mode & 0o077 == 0
    assert run("link-clks", *files, "-o", tmp_path / "three", "--threshold", "0.99") == 0
    three = json.loads((tmp_path / "three").read_text())["groups"]
    assert [[0, 2], [1, 1], [2, 0]] in three and len(three) == 9


def test_candidates_go_out_and_come_back(files, tmp_path):
    out = tmp_path / "pairs.bin"
    assert run("link-clks", *files[:2], "-o", out, "--output-type", "candidate_pairs") == 0
    assert out.stat().st_size == 4 + 8 * 24
    for solver in ("greedy", "optimal"):
        words = ("solve-pairs", out, "--records", 9, "--records", 9, "-o", tmp_path / "groups")
        assert run(*words, "--solver", solver) == 0
        assert json.loads((tmp_path / "groups").read_text()) == {"groups": EXPECTED_PAIRS}


def test_scores_permutations_and_link_ids(files, tmp_path, capsys):
    assert run("link-clks", *files[:2], "-o", tmp_path / "scores", "--output-type", "similarity_scores") == 0
    assert json.loads((tmp_path / "scores").read_text())["similarity_scores"][0] == [[0, 1], [1, 0], 1.0]
    assert run("link-clks", *files[:2], "-o", tmp_path / "p.json", "--output-type", "permutations") == 0
    a, b, mask = (
        json.loads((tmp_path / f"p.{what}.json").read_text())
        for what in ("permutation-a", "permutation-b", "mask")
    )
    assert [a["permutation"][i + 1] for i in range(8)] == b["permutation"][:8]
    assert sum(mask["mask"]) == 8
    table = tmp_path / "link_ids.csv"
    assert (
        run("link-clks", *files[:2], "-o", table, "--output-type", "link_id", "--name", "h", "--name", "p")
        == 0
    )
    assert table.read_text().splitlines()[0] == "LINK_ID,h,p"
    known = table.read_text().splitlines()
    known[1] = known[1].rsplit(",", 2)[0] + ",0,0"
    (tmp_path / "known.csv").write_text(known[0] + "\n" + known[1] + "\n")
    words = ("link-clks", *files[:2], "-o", tmp_path / "groups", "--known-links", tmp_path / "known.csv")
    assert run(*words, "--name", "h", "--name", "p") == 0
    assert json.loads((tmp_path / "groups").read_text())["groups"] == [[[0, 0], [1, 0]], *EXPECTED_PAIRS[1:]]
    assert "1 groups given in advance" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["party_0.json"], "E-INPUT: found 1 files"),
        (["party_0.json", "party_0.json"], "E-INPUT: found 2 files and 1 names"),
        (["party_0.json", "missing.json"], "E-INPUT: found a file that cannot be opened"),
        (["party_0.json", "pipe"], "E-INPUT: found something that is not a regular file"),
        (["party_0.json", "large.json"], "E-INPUT: found 10485760 bytes"),
        (
            ["party_0.json", "party_1.json", "party_2.json", "--output-type", "permutations"],
            "permutations of 3",
        ),
        (["party_0.json", "party_1.json", "party_2.json", "--solver", "optimal"], "optimal for 3 parties"),
        (["party_0.json", "party_1.json", "-o", "no/such/folder/out"], "E-OUTPUT"),
        (["party_0.json", "wrong.json"], "E-INTERCHANGE: found CLK 0 that is no base64, in wrong.json"),
    ],
)
def test_what_cannot_be_linked_is_refused_and_leaves_no_file(
    files, tmp_path, capsys, monkeypatch, words, told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bounded_files.read_bounded, "__defaults__", (1 << 20,))
    os.mkfifo("pipe")
    Path("wrong.json").write_text('{"clks": ["Zaphod Beeblebrox"]}')
    Path("large.json").write_bytes(bytes(10 << 20))
    assert run("link-clks", *words, *([] if "-o" in words else ["-o", "out"])) == 1
    printed = capsys.readouterr().err
    assert told in printed and "Zaphod" not in printed
    assert not list(tmp_path.glob("*out*"))
