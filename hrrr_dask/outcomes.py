"""What can come of one value that was wanted: names, numbers and whether a later run may do better.

The names stand in the ledger and in reports, the numbers in the store's ``status`` array (CF flag values).
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
    """One row of the table."""

    name: str
    """Stable name, also a CF flag meaning."""
    number: int
    """CF flag value; a larger number hides a smaller one when a file has several."""
    heals: Literal["always", "young", "never"]
    """When the next run tries again: always, while the model run is young, or only when told to."""
    meaning: str
    """For people."""


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
"""Outcome name to its row."""

QUARANTINED: Final = frozenset({"ambiguous-message", "decode-failed", "wrong-identity", "truncated", "poisoned"})
"""Reasons that lie in the bytes of an object: it was there, and it was refused."""

NOT_INGESTED: Final = OUTCOMES["not-ingested"].number
COMPLETE: Final = OUTCOMES["complete"].number
NOT_OFFERED: Final = OUTCOMES["not-in-this-era"].number
PARTIAL: Final = OUTCOMES["partial"].number
"""Only of a whole file, never of one value."""

NEVER: Final = -(2**63)
"""In the store's ``available_at``: nothing of the file is there, or nobody knows since when."""

_BY_NUMBER: Final = {outcome.number: outcome for outcome in OUTCOMES.values()}


def outcome_numbered(number: int) -> Outcome:
    """The row with that flag value."""
    return _BY_NUMBER[number]
