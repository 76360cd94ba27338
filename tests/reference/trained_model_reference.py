"""The slow twin of a trained model's trees: one row at a time, from the root down."""

from __future__ import annotations

from linkage_core.linkage_unit.trained_model import TreeScore


def slow_tree_log_odds(row: list[float], trees: TreeScore) -> float:
    total = trees.start
    for root in trees.roots:
        node = root
        while not trees.left[node] == trees.right[node] == node:
            goes_left = row[trees.feature[node]] <= trees.threshold[node]
            node = trees.left[node] if goes_left else trees.right[node]
        total += trees.value[node]
    return total
