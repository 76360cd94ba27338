"""Slow, obvious twins of the quality figures: one loop over thresholds, exact fractions."""

from __future__ import annotations

from fractions import Fraction


def slow_curve(scores, are_true, true_pairs):
    """``(threshold, precision, recall)`` for each distinct score, descending, as fractions."""
    curve = []
    for threshold in sorted({float(s) for s in scores}, reverse=True):
        taken = [bool(t) for s, t in zip(scores, are_true, strict=True) if s >= threshold]
        recall = Fraction(sum(taken), true_pairs) if true_pairs else Fraction(0)
        curve.append((threshold, Fraction(sum(taken), len(taken)), recall))
    return curve


def slow_average_precision(scores, are_true, true_pairs) -> float:
    area, before = Fraction(0), Fraction(0)
    for _, precision, recall in slow_curve(scores, are_true, true_pairs):
        area += (recall - before) * precision
        before = recall
    return float(area)


def slow_best_f1(scores, are_true, true_pairs, precision: str = "0") -> float:
    least = Fraction(precision)
    curve = slow_curve(scores, are_true, true_pairs)
    figures = [2 * p * r / (p + r) for _, p, r in curve if p + r and p >= least]
    return float(max(figures, default=Fraction(0)))


def slow_recall_at(scores, are_true, true_pairs, precision: str) -> float:
    wanted = Fraction(precision)
    curve = slow_curve(scores, are_true, true_pairs)
    return float(max((r for _, p, r in curve if p >= wanted), default=Fraction(0)))
