"""The table of faults names a test for each row of the fault matrix, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROWS = 45


@cache
def functions(file: str) -> set[str]:
    """All functions and methods of a file."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named_tests() -> dict[int, list[tuple[str, str]]]:
    """File and function of every test that the table names, by the number of the row."""
    found = {}
    for line in (TESTS / "faults" / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| (\d+) \|", line)
        if row is not None:
            file, tests = "", []
            for path, name in re.findall(r"`([\w/]+\.py)?::(\w+)`", line):
                file = path or file
                tests.append((file, name))
            found[int(row[1])] = tests
    return found


def test_every_row_of_the_matrix_has_a_test_and_every_test_exists() -> None:
    table = named_tests()
    assert sorted(table) == list(range(1, ROWS + 1))
    assert [number for number, tests in table.items() if not tests] == []
    assert [test for tests in table.values() for test in tests if test[1] not in functions(test[0])] == []
