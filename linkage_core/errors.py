"""One error tree, one voice: what was found, what was expected, what to do.

Every failure that a user can meet carries a stable code from :data:`ERROR_CODES`; the runbook
(``deployments/README.md``) explains each. No message ever holds a value of a record: fields, rules,
row numbers and counts only.
"""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    # settings, zones and keys
    "E-SETTINGS": "a settings file is missing, unreadable or wrong",
    "E-ZONE": "a process can see something that its zone must not hold",
    "E-KEY-FILE": "a key file is missing, readable by others, malformed or of another role",
    "E-KEY-MISMATCH": "the custodians encoded with different linkage keys",
    "E-KEY-EPOCH": "a key or a delivery is of another epoch than the linkage protocol's",
    "E-PROTOCOL": "the linkage protocol file is wrong",
    "E-PROTOCOL-UNSAFE": "the linkage protocol calls itself unsafe: it is for measurements only",
    "E-PROTOCOL-MISMATCH": "a delivery was made under another linkage protocol",
    # the custodian's side
    "E-SRC-UNAVAILABLE": "a source database cannot be reached or does not answer in time",
    "E-SRC-SCHEMA": "a source's columns are not those that the settings declare",
    "E-DQ-REJECTS": "more rows break a field rule than the settings allow",
    "E-DQ-EXPECTATION": "a batch breaks a set-level expectation",
    "E-DQ-VOLUME": "far fewer or far more rows than the settings allow, or a delivery unlike those of the last nights",
    "E-DQ-STALE": "the source has brought the same rows for more nights than the settings allow",
    "E-SPOOL": "the encrypted working file of a stage cannot be written or read",
    # the exchange
    "E-DLV-MISSING": "no complete delivery for this run is in the exchange",
    "E-DLV-DIGEST": "a delivery's parts do not match its manifest",
    "E-DLV-MANIFEST": "a delivery's manifest cannot be read",
    "E-DLV-SIGNATURE": "a delivery's manifest is not signed by its custodian",
    "E-DLV-FORMAT": "a delivery's part is not in the agreed wire format",
    "E-DLV-KEYS": "a delivery is sealed with keys that are not registered here",
    "E-DLV-SEAL": "a delivery's part does not open under the keys that its manifest names",
    "E-DLV-FOREIGN": "a delivery belongs to another project, custodian or run",
    "E-DLV-GAP": "changes build on a delivery that is not here",
    "E-DLV-STALE": "a delivery is older than what was applied already",
    "E-DLV-STATE": "changes do not lead to the state that their manifest names",
    "E-DLV-EQUIVOCATION": "two different deliveries of a custodian carry one sequence number",
    # files of tokens
    "E-TOKEN-SEAL": "tokens of a file do not open under the keys that were given",
    # the linkage unit
    "E-PAIR-BUDGET": "passes or filters propose more pairs than the budget allows",
    "E-KNOWN-LINKS": "the file of known links is wrong or contradicts itself",
    "E-MATCH-MODEL": "a trained match model is not the one that was named, or reads other evidence",
    "E-QUALITY-TARGET": "the night's data cannot support the target precision",
    "E-QUALITY-HELD": "the night's own estimates fall below the target: it waits for two persons' approval",
    "E-CHUNK-MEMORY": "a chunk of the linkage ran out of memory, in smaller pieces too",
    "E-CHUNK-DIED": "the process that computes a chunk of the linkage died, twice",
    "E-CHUNK-FILE": "the linkage unit's working files cannot be written or read, or a chunk is missing",
    "E-CLUSTER": "the Dask cluster cannot be reached or lost its workers",
    "E-KERNEL-INPUT": "arrays of the wrong shape or dtype reached a kernel",
    # the warehouse
    "E-WH-UNAVAILABLE": "the warehouse cannot be reached or does not answer in time",
    "E-WH-SCHEMA": "the warehouse's schema is not the one that this code expects",
    "E-RUN-LOCKED": "another run holds the project's lock",
    "E-RUN-FENCED": "a newer run has published since this one began",
    "E-LEGAL-HOLD": "a legal hold forbids to erase or expire a record",
    "E-AUDIT-BROKEN": "the audit log or a table that it describes was altered",
    "E-AUDIT-FORK": "the audit log does not begin with what a witness saw of it",
    "E-AUDIT-RECEIPT": "a receipt or checkpoint of the linkage unit's is wrong",
    "E-ROW-PROOF": "a proof does not show that an encoding was made of a row",
    # everything
    "E-INTERCHANGE": "a file of CLKs, candidate pairs or links from other software is wrong",
    "E-INPUT": "an argument or input file is wrong",
    "E-OUTPUT": "an output file cannot be written",
    "E-FILE": "a file or folder that a party works with cannot be read or written",
    "E-PREFECT": "the Prefect server cannot be reached or is not set up as the nights need",
    "E-SERVER": "a server that the demo starts did not come up",
    "E-TIMEOUT": "a stage or a party did not finish within its deadline",
    "E-PARTY-FAILED": "a party's process ended in failure",
    "E-INTERNAL": "an unforeseen error; its message is withheld, since it may hold a record's value",
}


class NightlinkError(Exception):
    """A failure with a stable code.

    Parameters
    ----------
    code : str
        A key of :data:`ERROR_CODES`.
    found, expected, remedy : str
        What was found, what was expected, what to do. Never a value of a record.
    transient : bool
        True when trying again later, unchanged, may succeed.
    """

    def __init__(self, code: str, *, found: str, expected: str, remedy: str, transient: bool = False) -> None:
        if code not in ERROR_CODES:
            raise KeyError(f"error code {code} is not registered in linkage_core/errors.py")
        self.code = code
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.transient = transient
        super().__init__(f"{code}: found {found}; expected {expected}. {remedy}")


class ProtocolError(NightlinkError):
    """The linkage protocol file is wrong; the message names the entry."""

    def __init__(
        self, *, found: str, expected: str, remedy: str = "Correct the linkage protocol file."
    ) -> None:
        super().__init__("E-PROTOCOL", found=found, expected=expected, remedy=remedy)
