"""Outcomes of a requested value: names, numbers, and whether a gap is retried.

The ledger and reports have the names, the store's ``status`` array has the numbers (CF flag values).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "COMPLETE",
    "NEVER",
    "NOT_INGESTED",
    "NOT_OFFERED",
    "OUTCOMES",
    "PARTIAL",
    "QUARANTINED",
    "Outcome",
    "outcome_numbered",
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome."""

    name: str
    """Stable name, also a CF flag meaning."""
    number: int
    """CF flag value; the largest number of a file's variables is the file's status."""
    heals: Literal["always", "young", "never"]
    """When a later run retries: always, while the model run is young, or only on request."""
    meaning: str
    """Explanation for people."""


OUTCOMES: Final = {
    outcome.name: outcome
    for outcome in (
        Outcome("not-ingested", 0, "always", "nobody has asked for it yet"),
        Outcome("complete", 1, "never", "every variable has its value"),
        Outcome("not-in-this-era", 2, "never", "the archive never had it: lead time, era or window"),
        Outcome("message-not-found", 3, "young", "the file has no such message"),
        Outcome("ambiguous-message", 4, "young", "the file has several such messages"),
        Outcome("decode-failed", 5, "young", "the packed values cannot be read"),
        Outcome("wrong-identity", 6, "young", "the message is not what its inventory promised"),
        Outcome("truncated", 7, "young", "the object ends too early"),
        Outcome("not-published", 8, "young", "the archive does not have the file"),
        Outcome("access-denied", 9, "always", "the source refused"),
        Outcome("unreachable", 10, "always", "the source gave no complete answer"),
        Outcome("internal-error", 11, "always", "hrrr_dask failed; the ledger has the traceback"),
        Outcome("partial", 12, "always", "some of its variables or points have not been read yet"),
        Outcome("poisoned", 13, "young", "reading the file ended its process: it is kept apart"),
    )
}
"""Name of each outcome to the outcome."""

QUARANTINED: Final = frozenset({"ambiguous-message", "decode-failed", "wrong-identity", "truncated", "poisoned"})
"""Reasons that lie in the bytes of an object: it exists, and it was rejected."""

NOT_INGESTED: Final = OUTCOMES["not-ingested"].number
COMPLETE: Final = OUTCOMES["complete"].number
NOT_OFFERED: Final = OUTCOMES["not-in-this-era"].number
PARTIAL: Final = OUTCOMES["partial"].number
"""Outcome of a whole file only, never of one value."""

NEVER: Final = -(2**63)
"""Value of ``available_at`` if the store has no value of the file, or the time is unknown."""

_BY_NUMBER: Final = {outcome.number: outcome for outcome in OUTCOMES.values()}


def outcome_numbered(number: int) -> Outcome:
    """Return the outcome with a flag value."""
    return _BY_NUMBER[number]
