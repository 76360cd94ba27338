"""The definition of `linkage_core.evaluation.synthetic_care`, read aloud, one patient at a time."""

from __future__ import annotations

from datetime import timedelta

from linkage_core.evaluation.synthetic_care import DIAGNOSIS_GROUPS


def slow_followup_by_group(admissions, dispensings, truth_pairs, days=30, discharged_period=None):
    customer_of = dict(zip(truth_pairs["rid_a"].to_pylist(), truth_pairs["rid_b"].to_pylist(), strict=True))
    answer = []
    for group in sorted(DIAGNOSIS_GROUPS):
        discharged, followed_up = set(), set()
        for admission in admissions.to_pylist():
            day = admission["discharged"]
            if day is None or admission["diagnosis_code"][:3] != group:
                continue
            if discharged_period and not discharged_period[0] <= day <= discharged_period[1]:
                continue
            discharged.add(admission["person_id"])
            customer = customer_of.get(admission["person_id"])
            for dispensing in dispensings.to_pylist():
                in_window = day <= dispensing["dispensed"] <= day + timedelta(days=days)
                if dispensing["person_id"] == customer and in_window:
                    followed_up.add(admission["person_id"])
        if discharged:
            share = len(followed_up) / len(discharged)
            answer.append((group, len(discharged), len(followed_up), share))
    return answer
