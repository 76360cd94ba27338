"""Files of CLKs, candidate pairs, results and LINK_ID tables: what is read, what is refused, what is written."""

from __future__ import annotations

import base64
import json
import secrets

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pair_files import dump_candidates, load_candidates, order_candidates
from linkage_core.linkage_unit.clk_comparison import compare_documents, pairs_within_blocks
from linkage_core.linkage_unit.clk_documents import parse_clk_document, write_clk_document
from linkage_core.linkage_unit.clk_results import (
    groups_json,
    link_id_csv,
    mask_json,
    parse_link_ids,
    permutation_json,
    permutations_with_mask,
    similarity_scores_json,
    solve_groups,
)

CLK = base64.b64encode(bytes(range(16))).decode()
OTHER = base64.b64encode(bytes(16)).decode()


def document(**entries):
    return json.dumps(entries).encode()


def test_the_three_forms_of_a_file_are_read():
    plain = parse_clk_document(document(clks=[CLK, OTHER]), "a.json")
    assert (plain.clk_bytes, plain.blocks, plain.filters.shape) == (16, None, (2, 2))
    assert plain.filters.view(np.uint8)[0].tolist() == list(range(16))
    paired = parse_clk_document(document(clknblocks=[[CLK, "x", 7], [OTHER]]), "a.json")
    mapped = parse_clk_document(
        document(encodings=[CLK, OTHER], blocks={"0": ["x", 7], "1": []}, meta={"a": 1}), "a.json"
    )
    assert paired.blocks == mapped.blocks == (("x", "7"), ())
    assert np.array_equal(paired.filters, plain.filters) and np.array_equal(mapped.filters, plain.filters)
    assert parse_clk_document(document(clks=[CLK[:8] + "\n" + CLK[8:] + "\n"]), "a.json").clk_bytes == 16
    assert parse_clk_document(document(clks=[]), "a.json").filters.shape == (0, 1)


def test_a_clk_of_odd_length_is_padded_with_zeros_and_written_without():
    clk = base64.b64encode(b"\xff" * 13).decode()
    read = parse_clk_document(document(clks=[clk]), "a.json")
    assert read.filters.view(np.uint8)[0].tolist() == [255] * 13 + [0] * 3
    assert json.loads(b"".join(write_clk_document(read))) == {"clks": [clk]}


def test_what_is_written_is_what_was_read():
    for entries in ({"clks": [CLK, OTHER]}, {"clknblocks": [[CLK, "x", "7"], [OTHER]]}, {"clks": []}):
        read = parse_clk_document(document(**entries), "a.json")
        assert json.loads(b"".join(write_clk_document(read))) == entries


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "not JSON at character 0"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "JSON that is no object"),
        (b'{"clks": [], "clks": []}', "an entry twice"),
        (b'{"clks": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"clks": [' + b"[" * 500 + b"]" * 500 + b"]}", "CLK 0 that is no text"),
        (b"9" * 5000, "a number too long"),
        (document(clks={}), "clks that is no list"),
        (document(), "0 lists of CLKs"),
        (document(clks=[], clknblocks=[]), "2 lists of CLKs"),
        (document(clks=[], secret="Zaphod"), "an unknown entry"),
        (document(clks=[7]), "CLK 0 that is no text"),
        (document(clks=[CLK, "Zaphod!!"]), "CLK 1 that is no base64"),
        (document(clks=[CLK[:-1]]), "CLK 0 that is no base64"),
        (document(clks=["é"]), "CLK 0 that is no base64"),
        (document(clks=[""]), "CLK 0 of 0 bytes"),
        (document(clks=[base64.b64encode(bytes(20_000)).decode()]), "CLK 0 of 20000 bytes"),
        (document(clks=[CLK, CLK, base64.b64encode(bytes(8)).decode()]), "CLK 2 of 8 bytes"),
        (document(clknblocks=[CLK]), "entry 0 of clknblocks that is no list"),
        (document(clknblocks=[[]]), "entry 0 of clknblocks that is no list"),
        (document(clknblocks=[[CLK, True]]), "a block of record 0"),
        (document(clknblocks=[[CLK, ["x"]]]), "a block of record 0"),
        (document(clknblocks=[[CLK, *"x" * 1001]]), "1001 blocks of record 0"),
        (document(clknblocks=[[CLK]], blocks={}), "blocks beside clknblocks"),
        (document(clks=[CLK], blocks=[]), "blocks that are no object"),
        (document(clks=[CLK], blocks={"1": ["Zaphod"]}), "blocks of a record that is not in"),
        (document(clks=[CLK], blocks={"0": "Zaphod"}), "blocks of record 0 that are no list"),
    ],
)
def test_a_wrong_file_is_refused_by_place_and_never_quoted(data, found):
    with pytest.raises(NightlinkError) as refusal:
        parse_clk_document(data, "a.json")
    assert refusal.value.code == "E-INTERCHANGE"
    assert found in refusal.value.found and "a.json" in refusal.value.found
    assert "Zaphod" not in str(refusal.value)


def test_parties_must_fit_together():
    long = parse_clk_document(document(clks=[CLK]), "a")
    short = parse_clk_document(document(clks=[base64.b64encode(bytes(8)).decode()]), "b")
    blocked = parse_clk_document(document(clknblocks=[[CLK, "x"]]), "c")
    for other, found in ((short, "CLKs of 8 and 16 bytes"), (blocked, "blocks in some")):
        with pytest.raises(NightlinkError, match=found):
            compare_documents([long, other], 0.5, pair_budget=10)
    none = parse_clk_document(document(clks=[]), "d")
    assert len(compare_documents([long, none], 0.5, pair_budget=10)) == 0


def test_more_pairs_than_the_budget_are_refused():
    many = parse_clk_document(document(clks=[CLK] * 5), "a")
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET: found too many: similar pairs"):
        compare_documents([many, many], 0.5, pair_budget=24)
    assert len(compare_documents([many, many], 0.5, pair_budget=25)) == 25
    blocks = (("x",),) * 5
    with pytest.raises(NightlinkError, match="25 pairs within blocks"):
        list(pairs_within_blocks(blocks, blocks, 24))


def test_only_records_that_share_a_block_are_compared():
    here, there = (
        parse_clk_document(document(clknblocks=[[CLK, *named] for named in blocks]), "a")
        for blocks in (["x", "yz", ""], ["z", "x", "w"])
    )
    pairs = compare_documents([here, there], 0.9, pair_budget=100)
    assert list(zip(pairs.record_a.tolist(), pairs.record_b.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert len(compare_documents([here, there], 1.0, pair_budget=100)) == 2


def test_pairs_within_blocks_do_not_depend_on_chunks(monkeypatch):
    rng = np.random.default_rng(3)
    a, b = (
        tuple(tuple(map(str, rng.integers(0, 6, rng.integers(0, 4)))) for _ in range(n)) for n in (40, 30)
    )
    expected = [(i, j) for i in range(40) for j in range(30) if set(a[i]) & set(b[j])]
    for chunk in (1, 17, 10_000):
        monkeypatch.setattr("linkage_core.linkage_unit.clk_comparison.PROPOSALS_PER_CHUNK", chunk)
        chunks = list(pairs_within_blocks(a, b, 10_000))
        found = [pair for i, j in chunks for pair in zip(i.tolist(), j.tolist(), strict=True)]
        assert found == expected


def candidates(*rows):
    columns = [np.array(column, np.intp) for column in zip(*(row[1:] for row in rows), strict=True)]
    score = np.array([row[0] for row in rows], np.float64)
    return order_candidates(score, (columns[0], columns[1]), (columns[2], columns[3]))


def test_candidates_are_ordered_with_the_lower_party_first():
    pairs = candidates((0.5, 0, 1, 3, 4), (0.9, 2, 1, 7, 8), (0.9, 0, 1, 9, 1), (0.9, 0, 1, 2, 1))
    assert pairs.party_a.tolist() == [0, 0, 1, 0]
    assert pairs.record_a.tolist() == [2, 9, 8, 3]
    assert pairs.record_b.tolist() == [1, 1, 7, 4]


def test_the_binary_file_holds_exactly_these_bytes():
    data = dump_candidates(candidates((0.75, 0, 1, 3, 258)))
    assert data.hex() == "01080404" + "000000000000e83f" + "00000000" + "01000000" + "03000000" + "02010000"
    assert load_candidates(data, [4, 259], "x").record_b.tolist() == [258]
    assert len(load_candidates(data[:4], [0, 0], "x")) == 0


def test_a_number_of_more_than_four_bytes_is_refused():
    with pytest.raises(NightlinkError, match="record_b outside four bytes"):
        dump_candidates(candidates((0.75, 0, 1, 3, 1 << 32)))


def test_other_sizes_of_numbers_are_read():
    entry = np.array(
        [(0.5, 0, 1, 2, 3)], [("s", "<f4"), ("a", "u1"), ("b", "u1"), ("i", "<u8"), ("j", "<u8")]
    )
    pairs = load_candidates(bytes([1, 4, 1, 8]) + entry.tobytes(), [3, 4], "x")
    assert (pairs.similarity.tolist(), pairs.record_a.tolist(), pairs.record_b.tolist()) == ([0.5], [2], [3])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: b"", "no header"),
        (lambda data: b"\x02" + data[1:], "no header of version 1"),
        (lambda data: data[:1] + b"\x03" + data[2:], "sizes 3, 4 and 4"),
        (lambda data: data[:3] + b"\x03" + data[4:], "sizes 8, 4 and 3"),
        (lambda data: data[:-1], "a broken last pair"),
        (lambda data: data + data[4:], "a pair twice"),
        (lambda data: data[:4] + np.float64(np.nan).tobytes() + data[12:], "a similarity outside"),
        (lambda data: data[:4] + np.float64(1.1).tobytes() + data[12:], "a similarity outside"),
        (lambda data: data[:12] + b"\x01" + data[13:], "a pair within one party"),
        (lambda data: data[:16] + b"\x02" + data[17:], "a party that does not exist"),
        (lambda data: data[:20] + b"\x04" + data[21:], "a record that does not exist"),
    ],
)
def test_a_wrong_file_of_candidates_is_refused(change, found):
    data = dump_candidates(candidates((0.75, 0, 1, 3, 3)))
    with pytest.raises(NightlinkError, match=f"E-INTERCHANGE: found .*{found}"):
        load_candidates(change(data), [4, 4], "pairs.bin")


def test_results_are_written_as_the_service_gives_them():
    pairs = candidates((0.5, 0, 1, 0, 0), (0.9, 0, 1, 0, 1))
    assert json.loads(b"".join(similarity_scores_json(pairs))) == {
        "similarity_scores": [[[0, 0], [1, 1], 0.9], [[0, 0], [1, 0], 0.5]]
    }
    assert json.loads(b"".join(groups_json([[(0, 6), (1, 3), (3, 1)], [(0, 8), (2, 6)]]))) == {
        "groups": [[[0, 6], [1, 3], [3, 1]], [[0, 8], [2, 6]]]
    }
    assert b"".join(groups_json([])) == b'{"groups": []}'
    assert json.loads(permutation_json([1, 0], 2)) == {"permutation": [1, 0], "rows": 2}
    assert json.loads(mask_json([1, 0])) == {"mask": [1, 0]}


def test_long_lists_are_written_in_pieces(monkeypatch):
    monkeypatch.setattr("linkage_core.linkage_unit.clk_results._PAIRS_A_PIECE", 2)
    groups = [[(0, k), (1, k)] for k in range(5)]
    pieces = list(groups_json(groups))
    assert len(pieces) == 5
    assert json.loads(b"".join(pieces))["groups"] == [[[0, k], [1, k]] for k in range(5)]


def test_permutations_bring_linked_rows_to_one_place_that_the_mask_marks():
    groups = [[(0, 1), (1, 4)], [(0, 6), (1, 0)]]
    first, second, mask = permutations_with_mask(groups, (7, 5), secrets.token_bytes)
    assert sorted(first) == list(range(7)) and sorted(second) == list(range(5))
    assert (first[1], first[6]) == (second[4], second[0])
    assert len(mask) == 5 and sum(mask) == 2 and mask[first[1]] == mask[first[6]] == 1


def test_every_place_is_taken_by_every_row_now_and_then():
    """A place that gave a row away would tell a party who is linked."""
    taken = {
        permutations_with_mask([[(0, 0), (1, 2)]], (3, 3), secrets.token_bytes)[0][0] for _ in range(200)
    }
    assert taken == {0, 1, 2}


def test_a_link_id_table_is_read_back_and_starts_no_formula():
    groups = [[(0, 0), (1, 1)], [(1, 0), (2, 0)]]
    names = ["=cmd|' /C calc'!A0", "@b", "c,d"]
    data = b"".join(link_id_csv(groups, names, (2, 2, 1), secrets.token_bytes))
    lines = data.decode().splitlines()
    assert lines[0] == "LINK_ID,'=cmd|' /C calc'!A0,'@b,\"c,d\""
    assert [line.split(",", 1)[1] for line in lines[1:]] == ["0,1,", ",0,0", "1,,"]
    assert len({line.split(",")[0] for line in lines[1:]}) == 3
    assert parse_link_ids(data, names, (2, 2, 1), "x") == groups


def test_a_table_as_codi_writes_it_is_read():
    data = b"LINK_ID,h1,h2\r\n62f0b163-29ea-11ec-9498-0433c29f7e36,0,\r\n62f0b164-29ea-11ec-9498-0433c29f7e36,1,3\r\n"
    assert parse_link_ids(data, ["h1", "h2"], (2, 4), "x") == [[(0, 1), (1, 3)]]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "another header"),
        (b"LINK_ID,h2,h1\n", "another header"),
        (b"LINK_ID,h1,h2\nZaphod,0\n", "line 2 of 2 cells"),
        (b"LINK_ID,h1,h2\nx,0,4\n", "no row of its party, at line 2"),
        (b"LINK_ID,h1,h2\nx,0,-1\n", "no row of its party"),
        (b"LINK_ID,h1,h2\nx,0,\xd9\xa3\n", "no row of its party"),  # an Arabic three
        (b"LINK_ID,h1,h2\nx,0,1\ny,0,2\n", "a record twice, at line 3"),
        (b'LINK_ID,h1,h2\nx,"0,1\n', "no CSV"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_wrong_link_id_table_is_refused(data, found):
    with pytest.raises(NightlinkError, match=f"E-INTERCHANGE: found .*{found}") as refusal:
        parse_link_ids(data, ["h1", "h2"], (2, 4), "x")
    assert "Zaphod" not in str(refusal.value)


def test_two_records_of_a_party_have_no_place_in_a_link_id_table():
    with pytest.raises(NightlinkError, match="two records of a party"):
        list(link_id_csv([[(0, 0), (0, 1)]], ["a", "b"], (2, 2), secrets.token_bytes))


def test_groups_given_in_advance_stay_together_and_out_of_the_rest():
    pairs = candidates((0.9, 0, 1, 0, 0), (0.8, 0, 1, 1, 1), (0.7, 0, 1, 0, 1))
    assert solve_groups(pairs, "greedy") == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]
    known = [[(0, 0), (1, 1)]]
    assert solve_groups(pairs, "greedy", known) == known
    three = candidates((0.9, 0, 1, 0, 0), (0.8, 1, 2, 0, 0), (0.7, 0, 2, 0, 0))
    assert solve_groups(three, "greedy", [[(0, 0), (1, 0), (2, 5)]]) == [[(0, 0), (1, 0), (2, 5)]]


def test_optimal_is_for_two_parties():
    pairs = candidates((0.9, 0, 1, 0, 0), (0.8, 0, 1, 0, 1), (0.8, 0, 1, 1, 0))
    assert solve_groups(pairs, "greedy") == [[(0, 0), (1, 0)]]
    assert solve_groups(pairs, "optimal") == [[(0, 0), (1, 1)], [(0, 1), (1, 0)]]
    with pytest.raises(NightlinkError, match="more than two parties"):
        solve_groups(candidates((0.9, 0, 1, 0, 0), (0.9, 0, 2, 0, 0)), "optimal")
