"""What a store was found to hold, compared with what it should hold: counts, and the differences one by one. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIFFERENCES", "MOST_LISTED", "Difference", "Findings", "Healed", "Unchecked", "VerifyReport", "as_number"]

MOST_LISTED: Final = 100
"""So many of a kind of finding are listed; all are counted."""

DIFFERENCES: Final = {
    "other-value": "the archive has another value",
    "value-is-missing": "the archive has the value, and so the ledger says",
    "value-from-nowhere": "the message has no value there",
    "no-such-message": "the archive's file has no such message",
    "value-in-a-gap": "the ledger calls it a gap",
    "damaged-chunk": "the store's chunk cannot be read",
    "other-checksum": "the values are not those that the ledger has the checksum of",
    "other-document": "the store's metadata or coordinates are not as they were made",
    "other-status": "the ledger says otherwise",
}
"""Kind of difference to its meaning, seen from what the store has."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the store holds, and should not."""

    kind: str
    """A name in :data:`DIFFERENCES`."""
    file: str
    """Init and lead time, such as ``20240101T06-f05``."""
    variable: str
    """Name of the array."""
    point_id: str
    """Which point; empty for all points that the difference stands for."""
    store: float | str | None
    """What the store has; None for a missing value, or for many."""
    expected: float | str | None
    """What it should have, by the archive or the ledger; None for a missing value, or when nobody knows."""
    values: int = 1
    """How many values it stands for."""
    note: str = ""
    """More about it, for people."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A file, or a variable of it, whose values could not be compared."""

    file: str
    """Init and lead time."""
    variables: tuple[str, ...]
    """Names."""
    reason: str
    """``not-published``, ``unreachable``, ``access-denied``, ``truncated`` or ``decode-failed``."""
    note: str
    """For people."""
    values: int
    """How many values the ledger calls complete there."""


@dataclass(frozen=True, slots=True)
class Healed:
    """A gap of which the archive has the message now."""

    file: str
    """Init and lead time."""
    variable: str
    """Name."""
    reason: str
    """The gap's, in the ledger."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How a store compares with the archive, and with its own ledger."""

    store: str
    """URL of the store."""
    files: int
    """Files that were to be looked at."""
    files_in_store: int
    """Files of the period that the store has values of, or only gaps when every file was asked for."""
    seed: int | None
    """What the sample was drawn with; None when nothing was drawn."""
    values_compared: int
    """Values that the ledger calls complete, compared with the archive or the ledger's checksums."""
    values_equal: int
    """Of these, those that are as they should be."""
    gap_values: int
    """Values that the ledger calls a gap, looked at in the store."""
    counts: dict[str, int]
    """Kind of difference to the number of values that differ so."""
    differences: tuple[Difference, ...]
    """The first :data:`MOST_LISTED` of them."""
    unchecked_values: int
    """Values that the ledger calls complete, and that could not be compared."""
    unchecked: tuple[Unchecked, ...]
    """Why; the first :data:`MOST_LISTED`."""
    healed_gaps: int
    """Gaps (file, variable) of which the archive has the message now; no differences."""
    healed: tuple[Healed, ...]
    """The first :data:`MOST_LISTED` of them."""
    bytes_read: int
    """From the archive [B]."""
    seconds: float
    """Wall time [s]."""
    against: str = "archive"
    """What it was compared with: ``archive`` or ``checksums``."""

    @property
    def values_differing(self) -> int:
        """Values compared that are not as they should be."""
        return self.values_compared - self.values_equal

    @property
    def outcome(self) -> str:
        """``different`` if anything differs, else ``not-checked`` if something could not be checked, else ``equal``."""
        if self.counts:
            return "different"
        return "not-checked" if self.unchecked else "equal"

    @property
    def exit_code(self) -> int:
        """0 equal, 1 different, 3 not checked."""
        return {"equal": 0, "different": 1, "not-checked": 3}[self.outcome]


@dataclass(slots=True)
class Findings:
    """Counts and lists, as they grow."""

    compared: int = 0
    """Values."""
    equal: int = 0
    """Values."""
    gap_values: int = 0
    """Values."""
    unchecked_values: int = 0
    """Values."""
    healed_gaps: int = 0
    """Gaps."""
    bytes_read: int = 0
    """From the archive [B]."""
    counts: Counter[str] = field(default_factory=Counter)
    """Kind to values."""
    differences: list[Difference] = field(default_factory=list)
    """The first of them."""
    unchecked: list[Unchecked] = field(default_factory=list)
    """The first of them."""
    healed: list[Healed] = field(default_factory=list)
    """The first of them."""

    def differ(self, difference: Difference) -> None:
        """Take down a difference."""
        self.counts[difference.kind] += difference.values
        _add(self.differences, difference)

    def heal(self, healed: Healed) -> None:
        """Take down a gap that the archive has now."""
        self.healed_gaps += 1
        _add(self.healed, healed)

    def leave(self, unchecked: Unchecked) -> None:
        """Take down what could not be compared."""
        self.unchecked_values += unchecked.values
        _add(self.unchecked, unchecked)

    def compare(
        self,
        place: tuple[str, str],
        point_ids: NDArray[np.object_],
        stored: NDArray[np.float32],
        expected: NDArray[np.float32],
        tolerance: NDArray[np.float64] | None = None,
        may_be_missing: NDArray[np.bool_] | None = None,
    ) -> None:
        """Compare values at some points of one file and variable.

        Parameters
        ----------
        place : tuple of str
            The file's label, and the variable's name.
        point_ids : ndarray of str, dims (point,)
            Which points.
        stored, expected : ndarray of float32, dims (point,)
            What there is, and what there should be; NaN for a missing value.
        tolerance : ndarray of float64, optional, dims (point,)
            How far apart the two may be; by default, and where 0, they are equal bit for bit.
        may_be_missing : ndarray of bool, optional, dims (point,)
            Where the store may have none, too.
        """
        same = _same(stored, expected, tolerance)
        if may_be_missing is not None:
            same |= may_be_missing & np.isnan(stored)
        self.compared += len(stored)
        self.equal += int(same.sum())
        for k in np.flatnonzero(~same).tolist():
            here, there = as_number(stored[k]), as_number(expected[k])
            kind = "value-is-missing" if here is None else "value-from-nowhere" if there is None else "other-value"
            self.differ(Difference(kind, *place, str(point_ids[k]), here, there))


def _same(
    stored: NDArray[np.float32], expected: NDArray[np.float32], tolerance: NDArray[np.float64] | None
) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = stored.view(np.uint32) == expected.view(np.uint32)
    same |= np.isnan(stored) & np.isnan(expected)
    if tolerance is not None:
        near = np.abs(stored.astype(np.float64) - expected.astype(np.float64)) <= tolerance
        same |= near & (tolerance > 0)
    return same


def as_number(value: np.float32) -> float | None:
    """A float32 for people and JSON: the shortest number that is rounded to it; None for a missing value.

    Examples
    --------
    >>> as_number(np.float32(301.23)), as_number(np.float32("nan"))
    (301.23, None)
    """
    return None if np.isnan(value) else float(str(value))


def _add(found: list[Difference] | list[Unchecked] | list[Healed], item: object) -> None:
    if len(found) < MOST_LISTED:
        found.append(item)  # type: ignore[arg-type]  # each list gets its own kind
