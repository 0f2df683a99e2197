"""Counts and lists differences between a store and its expected content: the report of `verify`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.display.figures import format_count
from hrrr_dask.display.tables import Column, Displayed, Table

__all__ = [
    "DIFFERENCES",
    "MAX_LISTED",
    "Difference",
    "Healed",
    "Unchecked",
    "VerifyFindings",
    "VerifyReport",
    "shortest_number",
]

MAX_LISTED: Final = 100
"""Maximum number of findings listed in a report, per kind; all are counted."""

DIFFERENCES: Final = {
    "other-value": "the archive has another value",
    "value-is-missing": "the value is complete in the ledger and in the archive",
    "value-from-nowhere": "the message has no value there",
    "no-such-message": "the archive's file has no such message",
    "value-in-a-gap": "the ledger has a gap there",
    "damaged-chunk": "the store's chunk cannot be read",
    "other-checksum": "the values do not match their checksum in the ledger",
    "other-document": "the store's metadata or coordinates were changed",
    "other-status": "the ledger has another status",
}
"""Kind of difference to its meaning. The kind describes the store."""

MAX_NAMED_VARIABLES: Final = 2
"""Maximum number of variables named in a row; the report names all."""

_AGAINST: Final = {"archive": "archive", "checksums": "ledger's checksums"}
_TITLES: Final = {"equal": "equal", "different": "different", "not-checked": "equal, as far as could be checked"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between the store and its expected content."""

    kind: str
    """Name in :data:`DIFFERENCES`."""
    file: str
    """Init time and lead time, such as ``20240101T06-f05``."""
    variable: str
    """Name of the array."""
    point_id: str
    """Id of the point; empty for a difference of several points."""
    store: float | str | None
    """Value in the store; None for a missing value, or for many values."""
    expected: float | str | None
    """Value expected from the archive or the ledger; None for a missing or unknown value."""
    values: int = 1
    """Number of values with this difference."""
    note: str = ""
    """Human-readable explanation."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A file, or some of its variables, that could not be compared."""

    file: str
    """Init time and lead time of the file."""
    variables: tuple[str, ...]
    """Names of the variables."""
    reason: str
    """``not-published``, ``unreachable``, ``access-denied``, ``truncated`` or ``decode-failed``."""
    note: str
    """Human-readable explanation."""
    values: int
    """Number of values that are complete in the ledger."""


@dataclass(frozen=True, slots=True)
class Healed:
    """A gap that the archive can fill now."""

    file: str
    """Init time and lead time of the file."""
    variable: str
    """Name of the variable."""
    reason: str
    """Reason of the gap in the ledger."""


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport(Displayed):
    """Result of comparing a store with the archive, or with its own ledger.

    Examples
    --------
    >>> report = hrrr_dask.verify_checksums("farms.zarr")
    >>> report.outcome, report.exit_code, report.values_differing
    ('equal', 0, 0)
    >>> [table.title for table in report.tables()]
    ['equal']
    """

    store: str
    """URL of the store."""
    files: int
    """Files to compare: the sample, or all."""
    files_in_store: int
    """Files of the period with values in the store; includes files with only gaps if every file is verified."""
    seed: int | None
    """Seed of the sample; None if every file was compared."""
    values_compared: int
    """Complete values that were compared with the archive or with the ledger's checksums."""
    values_equal: int
    """Of these, values that are equal."""
    gap_values: int
    """Gaps of the ledger that were checked in the store."""
    counts: dict[str, int]
    """Kind of difference to number of values."""
    differences: tuple[Difference, ...]
    """The first :data:`MAX_LISTED` differences."""
    unchecked_values: int
    """Complete values that could not be compared."""
    unchecked: tuple[Unchecked, ...]
    """Files and reasons; the first :data:`MAX_LISTED`."""
    healed_gaps: int
    """Gaps (file, variable) that the archive can fill now; not counted as differences."""
    healed: tuple[Healed, ...]
    """The first :data:`MAX_LISTED` of these gaps."""
    bytes_read: int
    """Bytes downloaded from the archive [B]."""
    seconds: float
    """Wall time [s]."""
    against: str = "archive"
    """Compared with ``archive`` or ``checksums``."""

    @property
    def values_differing(self) -> int:
        """Compared values that differ."""
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

    def tables(self) -> tuple[Table, ...]:
        """Describe the comparison: as a whole, then each difference, what was not checked, and what can be filled.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        tables = [self._whole()]
        if self.differences:
            tables.append(self._differences())
        if self.unchecked:
            rows = ((each.file, _some(each.variables), each.reason, each.note) for each in self.unchecked)
            names = (Column("file", whole=True), Column("variables"), Column("reason"), Column("what"))
            tables.append(Table("not checked", tuple(rows), names))
        if self.healed:
            title = "gaps that the archive can fill now: hrrr-dask backfill --retry-gaps"
            healed = ((each.file, each.variable, each.reason) for each in self.healed)
            columns = (Column("file", whole=True), Column("variable"), Column("was"))
            tables.append(Table(_first(title, self.healed_gaps, self.healed), tuple(healed), columns))
        return tuple(tables)

    def _whole(self) -> Table:
        drawn = "" if self.seed is None else f", drawn with --seed {self.seed}"
        files = f"{self.files:,} of {self.files_in_store:,}{drawn}; {self.bytes_read / 1e6:,.1f} MB read"
        values = (
            f"{self.values_compared:,} compared with the {_AGAINST[self.against]}: {self.values_equal:,} equal, "
            f"{self.values_differing:,} different"
        )
        rows = [("store", self.store), ("files", files), ("values", values)]
        if self.gap_values:
            count = self.counts.get("value-in-a-gap", 0)
            but = f", except {count:,}" if count else ""
            rows.append(("gaps", f"{format_count(self.gap_values, 'value')} missing, as in the ledger{but}"))
        rows.append(("time", f"{self.seconds:.1f} s"))
        rows += [
            ("differs", f"{format_count(count, 'value')} {kind}: {DIFFERENCES[kind]}")
            for kind, count in self.counts.items()
        ]
        if self.unchecked_values:
            rows.append(("not checked", format_count(self.unchecked_values, "value")))
        return Table(_TITLES[self.outcome], tuple(rows))

    def _differences(self) -> Table:
        rows = []
        for each, variables in _group_by_cause(self.differences):
            who = each.point_id or (format_count(each.values, "value") if each.values > 1 else "")
            what = f"{each.kind}: {each.note}" if each.note else each.kind
            rows.append((each.file, _some(variables), who, _spelled(each.store), _spelled(each.expected), what))
        names = (Column("file", whole=True), Column("variable"), Column("point"))
        columns = (*names, Column("store", right=True), Column("expected", right=True), Column("what"))
        title = _first("differences", sum(self.counts.values()), self.differences)
        return Table(title, tuple(rows), columns)


@dataclass(slots=True)
class VerifyFindings:
    """Collects the counts and lists of a :class:`VerifyReport`."""

    compared: int = 0
    """Compared values."""
    equal: int = 0
    """Equal values."""
    gap_values: int = 0
    """Checked gaps."""
    unchecked_values: int = 0
    """Values that could not be compared."""
    healed_gaps: int = 0
    """Gaps that the archive can fill now."""
    bytes_read: int = 0
    """Bytes downloaded from the archive [B]."""
    counts: Counter[str] = field(default_factory=Counter)
    """Kind of difference to number of values."""
    differences: list[Difference] = field(default_factory=list)
    """The first differences."""
    unchecked: list[Unchecked] = field(default_factory=list)
    """The first files that could not be compared."""
    healed: list[Healed] = field(default_factory=list)
    """The first gaps that the archive can fill now."""

    def add_difference(self, difference: Difference) -> None:
        """Record a difference."""
        self.counts[difference.kind] += difference.values
        _append(self.differences, difference)

    def add_healed(self, healed: Healed) -> None:
        """Record a gap that the archive can fill now."""
        self.healed_gaps += 1
        _append(self.healed, healed)

    def add_unchecked(self, unchecked: Unchecked) -> None:
        """Record values that could not be compared."""
        self.unchecked_values += unchecked.values
        _append(self.unchecked, unchecked)

    def compare(
        self,
        file: str,
        variable: str,
        point_ids: NDArray[np.object_],
        stored: NDArray[np.float32],
        expected: NDArray[np.float32],
        tolerance: NDArray[np.float64] | None = None,
        may_be_missing: NDArray[np.bool_] | None = None,
    ) -> None:
        """Compare values at some points of one file and variable.

        Parameters
        ----------
        file : str
            Label of the file.
        variable : str
            Name of the variable.
        point_ids : ndarray of str, dims (point,)
            Ids of the points.
        stored, expected : ndarray of float32, dims (point,)
            Stored and expected values; NaN for a missing value.
        tolerance : ndarray of float64, optional, dims (point,)
            Allowed difference; where it is 0, and by default, values must be equal bit for bit.
        may_be_missing : ndarray of bool, optional, dims (point,)
            Points where the stored value may also be missing.
        """
        equal = _equal(stored, expected, tolerance)
        if may_be_missing is not None:
            equal |= may_be_missing & np.isnan(stored)
        self.compared += len(stored)
        self.equal += int(equal.sum())
        for k in np.flatnonzero(~equal).tolist():
            found, wanted = shortest_number(stored[k]), shortest_number(expected[k])
            kind = "value-is-missing" if found is None else "value-from-nowhere" if wanted is None else "other-value"
            self.add_difference(Difference(kind, file, variable, str(point_ids[k]), found, wanted))


def _equal(
    stored: NDArray[np.float32], expected: NDArray[np.float32], tolerance: NDArray[np.float64] | None
) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = stored.view(np.uint32) == expected.view(np.uint32)
    equal |= np.isnan(stored) & np.isnan(expected)
    if tolerance is not None:
        near = np.abs(stored.astype(np.float64) - expected.astype(np.float64)) <= tolerance
        equal |= near & (tolerance > 0)
    return equal


def shortest_number(value: np.float32) -> float | None:
    """Return the shortest decimal number that rounds to a float32, for output; None for a missing value.

    Examples
    --------
    >>> shortest_number(np.float32(301.23)), shortest_number(np.float32("nan"))
    (301.23, None)
    """
    return None if np.isnan(value) else float(str(value))


def _append(items: list[Difference] | list[Unchecked] | list[Healed], item: object) -> None:
    if len(items) < MAX_LISTED:
        items.append(item)  # type: ignore[arg-type]  # each list gets its own kind


def _group_by_cause(differences: tuple[Difference, ...]) -> list[tuple[Difference, list[str]]]:
    """Group differences of one file with the same cause into one row."""
    rows: list[tuple[Difference, list[str]]] = []
    for each in differences:
        last = rows[-1][0] if rows else None
        if (
            last is not None
            and not each.point_id
            and (last.file, last.kind, last.note) == (each.file, each.kind, each.note)
        ):
            rows[-1][1].append(each.variable)
        else:
            rows.append((each, [each.variable]))
    return rows


def _first(title: str, count: int, listed: Sequence[object]) -> str:
    return title if len(listed) < MAX_LISTED else f"{title} (the first {len(listed)}, {count:,} in all)"


def _some(variables: Sequence[str]) -> str:
    return ", ".join(variables) if len(variables) <= MAX_NAMED_VARIABLES else f"{len(variables)} variables"


def _spelled(value: float | str | None) -> str:
    return "-" if value is None else str(value)
