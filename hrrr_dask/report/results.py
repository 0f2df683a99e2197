"""Result types of the public functions: Report, Status, Assessment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hrrr_dask.ledger.completeness import StatusRow
from hrrr_dask.ledger.gaps import Gap

__all__ = [
    "Assessment",
    "Example",
    "FlagFinding",
    "LeadFinding",
    "PointFinding",
    "Report",
    "RunFinding",
    "Status",
    "VariableFinding",
]


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a backfill, and the gaps of its period."""

    store: str
    """URL of the store."""
    files_wanted: int
    """Files that the archive is expected to have in the period."""
    files_done_before: int
    """Of these, files in the store before the command."""
    files_read: int
    """Files read and committed by this command."""
    gaps: dict[str, int]
    """Reason to the number of missing values (init_time, lead_time, variable) in the period."""
    gaps_by_variable: dict[str, int]
    """Variable to the number of missing values in the period."""
    partitions_written: int
    """Partitions committed by this command."""
    bytes_read: int
    """Bytes downloaded from the archive [B]."""
    requests: int
    """Requests to the archive, including retries."""
    bytes_written: int
    """Bytes written to the store [B]."""
    seconds: float
    """Wall time [s]."""
    interrupted: bool
    """Whether the command stopped early; run it again to do the rest."""
    decoded_by: dict[str, int] = field(default_factory=dict)
    """Engine to the number of values (init_time, lead_time, variable) that it decoded for this command."""
    skipped_sources: dict[str, str] = field(default_factory=dict)
    """Source that did not respond for a while to what was wrong; the next one was read meanwhile."""
    first_files_with_gaps: tuple[str, ...] = ()
    """Labels of the first few files with gaps in the period, such as ``20240101T06-f05``."""

    @property
    def outcome(self) -> str:
        """``done``, ``done-with-gaps`` or ``interrupted``."""
        if self.interrupted:
            return "interrupted"
        return "done-with-gaps" if self.gaps else "done"

    @property
    def exit_code(self) -> int:
        """0 done, 1 interrupted, 3 done with gaps."""
        return {"done": 0, "interrupted": 1, "done-with-gaps": 3}[self.outcome]


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a store, from its ledger."""

    store: str
    """URL of the store."""
    first_init_time: datetime
    """First requested init time, UTC."""
    last_init_time: datetime
    """Last requested init time, UTC."""
    n_points: int
    """Number of points."""
    variables: tuple[str, ...]
    """Names of the variables."""
    files_complete: int
    """Files with every variable complete."""
    files_with_gaps: int
    """Files with at least one gap."""
    files_to_do: int
    """Files that the archive is expected to have and that are not read yet."""
    gaps: dict[str, int]
    """Reason to the number of missing values."""
    by_time: tuple[StatusRow, ...] = ()
    """Counts by day, or by month if there are many days."""
    gap_list: tuple[Gap, ...] | None = None
    """Every gap, if requested."""


@dataclass(frozen=True, slots=True)
class Example:
    """One flagged value."""

    variable: str
    """Name of the variable."""
    value: float
    """The value [unit of the variable]."""
    units: str
    """Unit in UDUNITS spelling."""
    flags: tuple[str, ...]
    """All flags of the value."""
    init_time: datetime
    """Init time, UTC."""
    lead_minutes: int
    """Lead time [min]."""
    point_id: str
    """Id of the point."""
    latitude: float
    """Latitude [degrees north]."""
    longitude: float
    """Longitude [degrees east]."""
    before: float | None = None
    """For a step: the value before it."""

    @property
    def lead_time(self) -> timedelta:
        """Lead time."""
        return timedelta(minutes=self.lead_minutes)

    @property
    def lead_hours(self) -> float:
        """Lead time [h]."""
        return self.lead_minutes / 60

    @property
    def valid_time(self) -> datetime:
        """Valid time, UTC."""
        return self.init_time + self.lead_time


@dataclass(frozen=True, slots=True)
class FlagFinding:
    """Counts of one flag for one variable."""

    flag: str
    """Name of the flag."""
    variable: str
    """Name of the variable."""
    values: int
    """Number of values."""
    points: int
    """Number of points with such values."""
    worst: Example
    """The most extreme example."""


@dataclass(frozen=True, slots=True)
class VariableFinding:
    """Statistics of the values of one variable."""

    name: str
    """Name of the variable."""
    units: str
    """Unit in UDUNITS spelling."""
    values: int
    """Number of values, all of which were checked."""
    missing: int
    """Number of values that were requested and are missing."""
    flagged: int
    """Implausible values: with any flag except ``no-data-sentinel``."""
    minimum: float | None
    """Minimum of the finite values without ``no-data-sentinel``; None if there are none [unit of the variable]."""
    maximum: float | None
    """Maximum of the same values."""
    mean: float | None
    """Mean of the same values."""


@dataclass(frozen=True, slots=True)
class PointFinding:
    """A point with many flagged values."""

    point_id: str
    """Id of the point."""
    latitude: float
    """Latitude [degrees north]."""
    longitude: float
    """Longitude [degrees east]."""
    flagged: int
    """Values with any flag except ``no-data-sentinel``."""


@dataclass(frozen=True, slots=True)
class RunFinding:
    """A run with many flagged values."""

    init_time: datetime
    """Init time, UTC."""
    flagged: int
    """Values with any flag except ``no-data-sentinel``."""


@dataclass(frozen=True, slots=True)
class LeadFinding:
    """Flagged values of one lead time."""

    lead_minutes: int
    """Lead time [min]."""
    values: int
    """Number of values."""
    flagged: int
    """Values with any flag except ``no-data-sentinel``."""

    @property
    def lead_time(self) -> timedelta:
        """Lead time."""
        return timedelta(minutes=self.lead_minutes)

    @property
    def lead_hours(self) -> float:
        """Lead time [h]."""
        return self.lead_minutes / 60


@dataclass(frozen=True, slots=True)
class Assessment:
    """Plausibility of a store's values. Flags mark values for review; no value is changed."""

    store: str
    """URL of the store."""
    first_init_time: datetime
    """First init time that was checked, UTC."""
    last_init_time: datetime
    """Last init time that was checked, UTC."""
    n_points: int
    """Number of points."""
    files: int
    """Files of that period with at least one value."""
    values: int
    """Number of values, all of which were checked."""
    missing: int
    """Number of values that were requested and are missing; the ledger has the reasons."""
    flagged: int
    """Values with any flag except ``no-data-sentinel``."""
    variables: tuple[VariableFinding, ...]
    """Statistics of each variable, in the store's order."""
    flags: tuple[FlagFinding, ...]
    """Counts of each flag and variable, in the order of the flags, most values first."""
    points: tuple[PointFinding, ...]
    """Points with the most flagged values, at most five."""
    runs: tuple[RunFinding, ...]
    """Runs with the most flagged values, at most five."""
    leads: tuple[LeadFinding, ...]
    """Counts of each lead time."""
    examples: tuple[Example, ...]
    """The most extreme values, at most ten, and at most three with the same flag and variable; none of
    ``no-data-sentinel``."""

    @property
    def hourly(self) -> bool:
        """Whether every lead time of the store is a whole number of hours."""
        return not any(row.lead_minutes % 60 for row in self.leads)

    def found(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the given flags that were found."""
        found = {finding.flag for finding in self.flags}
        return tuple(name for name in names if name in found)
