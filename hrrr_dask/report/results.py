"""What the functions of the API answer."""

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
    """What a backfill did, and how its period stands now."""

    store: str
    """URL of the store."""
    files_wanted: int
    """Files that the archive is expected to have in the period."""
    files_done_before: int
    """Of these, already in the store when the command began."""
    files_read: int
    """Read and committed by this command."""
    gaps: dict[str, int]
    """Reason to the number of values (init_time, lead_time, variable) in the period that are missing."""
    gaps_by_variable: dict[str, int]
    """The same by variable."""
    partitions_written: int
    """Partitions committed by this command."""
    bytes_read: int
    """From the archive [B]."""
    requests: int
    """To the archive, retries included."""
    bytes_written: int
    """To the store [B]."""
    seconds: float
    """Wall time [s]."""
    interrupted: bool
    """Stopped before its end; the same command does the rest."""
    decoded_by: dict[str, int] = field(default_factory=dict)
    """Engine to the number of values (init_time, lead_time, variable) that it decoded for this command."""
    first_files_with_gaps: tuple[str, ...] = ()
    """Labels such as ``20240101T06-f05`` of the first few files in the period of which something is missing."""

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
    """How a store stands."""

    store: str
    """URL of the store."""
    first_init_time: datetime
    """Begin of its axis, UTC."""
    last_init_time: datetime
    """End of its axis, UTC."""
    n_points: int
    """Number of points."""
    variables: tuple[str, ...]
    """Names."""
    files_complete: int
    """Files of which every variable is there."""
    files_with_gaps: int
    """Files of which something is missing for a reason."""
    files_to_do: int
    """Files that the archive is expected to have and nobody has read yet."""
    gaps: dict[str, int]
    """Reason to the number of values that are missing."""
    by_time: tuple[StatusRow, ...] = ()
    """The same by day, or by month when there are many."""
    gap_list: tuple[Gap, ...] | None = None
    """Every gap, when they were asked for."""


@dataclass(frozen=True, slots=True)
class Example:
    """One value that is flagged."""

    variable: str
    """Its name."""
    value: float
    """[unit of the variable]."""
    units: str
    """UDUNITS spelling."""
    flags: tuple[str, ...]
    """All of its flags."""
    init_time: datetime
    """UTC."""
    lead_hours: int
    """[h]."""
    point_id: str
    """Where."""
    latitude: float
    """[degrees north]."""
    longitude: float
    """[degrees east]."""
    before: float | None = None
    """For a step: the value that it is far from."""

    @property
    def valid_time(self) -> datetime:
        """UTC."""
        return self.init_time + timedelta(hours=self.lead_hours)


@dataclass(frozen=True, slots=True)
class FlagFinding:
    """How often one flag stands at one variable."""

    flag: str
    """Its name."""
    variable: str
    """Its name."""
    values: int
    """Number of values."""
    points: int
    """Number of points that have any."""
    worst: Example
    """The most extreme."""


@dataclass(frozen=True, slots=True)
class VariableFinding:
    """What one variable's values are like."""

    name: str
    """Its name."""
    units: str
    """UDUNITS spelling."""
    values: int
    """Values that are there, all of which were looked at."""
    missing: int
    """Values that were looked for in the archive and are not there."""
    flagged: int
    """Values that are physically out of place: with any flag but ``no-data-sentinel``."""
    minimum: float | None
    """Of the finite values that stand for something; None when there is none [unit of the variable]."""
    maximum: float | None
    """The same."""
    mean: float | None
    """The same."""


@dataclass(frozen=True, slots=True)
class PointFinding:
    """A point with many flagged values."""

    point_id: str
    """Which."""
    latitude: float
    """[degrees north]."""
    longitude: float
    """[degrees east]."""
    flagged: int
    """Values with any flag but ``no-data-sentinel``."""


@dataclass(frozen=True, slots=True)
class RunFinding:
    """A run with many flagged values."""

    init_time: datetime
    """UTC."""
    flagged: int
    """Values with any flag but ``no-data-sentinel``."""


@dataclass(frozen=True, slots=True)
class LeadFinding:
    """The flagged values of one lead time."""

    lead_hours: int
    """[h]."""
    values: int
    """Values that are there."""
    flagged: int
    """Values with any flag but ``no-data-sentinel``."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a store's values are like. Flags are for people to look at; no value is changed."""

    store: str
    """URL of the store."""
    first_init_time: datetime
    """First run that was looked at, UTC."""
    last_init_time: datetime
    """Last run, UTC."""
    n_points: int
    """Number of points."""
    files: int
    """Files of that period of which anything is there."""
    values: int
    """Values that are there, all of which were looked at."""
    missing: int
    """Values that were looked for in the archive and are not there; the ledger has the reasons."""
    flagged: int
    """Values with any flag but ``no-data-sentinel``."""
    variables: tuple[VariableFinding, ...]
    """In the store's order."""
    flags: tuple[FlagFinding, ...]
    """In the order of the flags, most values first."""
    points: tuple[PointFinding, ...]
    """Those with the most flagged values, at most five."""
    runs: tuple[RunFinding, ...]
    """Those with the most flagged values, at most five."""
    leads: tuple[LeadFinding, ...]
    """Each lead time."""
    examples: tuple[Example, ...]
    """The most extreme, at most ten, and at most three of the same flag and variable; none of ``no-data-sentinel``."""

    def found(self, names: Sequence[str]) -> tuple[str, ...]:
        """Which of those flags stand anywhere."""
        there = {finding.flag for finding in self.flags}
        return tuple(name for name in names if name in there)
