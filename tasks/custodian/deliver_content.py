"""Deliver content: admissions or dispensings to the warehouse, under record pseudonyms alone. Zone: custodian."""

from __future__ import annotations

