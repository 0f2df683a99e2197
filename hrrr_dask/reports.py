"""What the functions of the API answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hrrr_dask.completeness import StatusRow
from hrrr_dask.gaps import Gap

__all__ = ["Report", "Status"]


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
