"""Synthetic admissions and dispensings, and the true answer to the researcher's question.

The question, in words: *of the patients discharged in a period, by diagnosis group, what share filled
a prescription within 30 days?* The definition, which the warehouse's SQL repeats exactly:

1. **Diagnosis group**: the first three characters of an admission's ICD-10 code (``left(diagnosis_code, 3)``),
   if they are a key of :data:`DIAGNOSIS_GROUPS`; an admission with any other code is in no group.
2. **Discharge**: an admission with a discharge date inside the period, both ends included
   (``discharged BETWEEN first_day AND last_day``); without a period, every admission that has a discharge
   date. An admission without one (the patient is still in hospital) is no discharge.
3. **discharged_patients** of a group: the distinct hospital patients with at least one discharge in the
   group. A patient counts once in a group however many discharges they have there, and once in each
   group in which they have any. **Every such patient is in the denominator, linked or not**: a patient
   without a counterpart in the pharmacy counts as not followed up.
4. **followed_up** of a group: those of them who, after **at least one** of their discharges in that group,
   have at least one dispensing of **any** drug to the linked pharmacy customer with
   ``dispensed BETWEEN discharged AND discharged + 30`` (whole days; the day of the discharge and the 30th day
   after it are both inside).
5. **share** = ``followed_up / discharged_patients``. A group without a discharged patient has no row. Rows
   come in the order of the group's code. Nothing is suppressed here: suppression of groups under 10
   patients is the warehouse's duty, and this module's figures are never published.

A window that reaches past the last day of data is cut short, and would pull the share down: a fair
period ends 30 days before the as-of date (:func:`last_complete_discharge`).

The admissions and dispensings are invented: rates are set for contrast between groups, not taken from a study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.errors import NightlinkError

DIAGNOSIS_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "C81": "Hodgkin lymphoma",
        "E11": "Type 2 diabetes mellitus",
        "F32": "Depressive episode",
        "G35": "Multiple sclerosis",
        "I21": "Acute myocardial infarction",
        "I50": "Heart failure",
        "I63": "Cerebral infarction",
        "J18": "Pneumonia",
        "J44": "Chronic obstructive pulmonary disease",
        "K35": "Acute appendicitis",
        "K80": "Gallstones",
        "S72": "Fracture of the femur",
    }
)
"""First three characters of an ICD-10 code -> what a reader calls the group."""
