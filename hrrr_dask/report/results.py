"""Result types of the public functions that read files and count what a store has: Report and Status."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hrrr_dask.catalog.lead_times import format_lead_time
from hrrr_dask.display.figures import format_count, format_size
from hrrr_dask.display.tables import Column, Displayed, Table
from hrrr_dask.ledger.completeness import StatusRow
from hrrr_dask.ledger.gaps import Gap
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.report.arrivals import Arrival, describe_arrivals

__all__ = ["Report", "Status"]

MAX_SHOWN_GAPS: Final = 50
"""Maximum number of gaps in a table."""


@dataclass(frozen=True, slots=True, repr=False)
class Report(Displayed):
    """Result of a backfill, and the gaps of its period.

    Examples
    --------
    >>> report = hrrr_dask.backfill(None, "2024-07-01", "2024-07-02", "farms.zarr")
    >>> report.outcome, report.exit_code, report.files_done_before, report.files_read
    ('done-with-gaps', 3, 20, 0)
    >>> report.gaps
    {'truncated': 11, 'not-published': 11}
    >>> [table.title for table in report.tables()]
    ['done-with-gaps']
    """

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
    arrivals: tuple[Arrival, ...] = ()
    """When each file of the runs that were waited for came; empty without ``until_complete``."""
    newest_run: datetime | None = None
    """Init time of the newest run of the period of which the store has a value, UTC."""

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

    def tables(self) -> tuple[Table, ...]:
        """Describe the report.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        rate = self.bytes_read / 1e6 / max(self.seconds, 1e-3)
        files = f"{self.files_read:,} read, {self.files_done_before:,} done before, of {self.files_wanted:,}"
        rows = [
            ("store", self.store),
            ("files", files),
            ("read", f"{format_size(self.bytes_read)} in {self.requests:,} requests, {rate:.1f} MB/s"),
        ]
        if other := {name: count for name, count in self.decoded_by.items() if name != "numba"}:
            decoded = (f"{format_count(count, 'value')} by {name}" for name, count in other.items())
            rows.append(("decoded", ", ".join(decoded)))
        rows.append(("written", f"{format_size(self.bytes_written)} in {self.partitions_written:,} partitions"))
        rows.append(("time", f"{self.seconds:.1f} s"))
        rows += [("source", f"{name} was skipped for a while, {why}") for name, why in self.skipped_sources.items()]
        rows += describe_arrivals(self.arrivals)
        rows += _gap_rows(self.gaps)
        if self.gaps_by_variable:
            rows.append(("", ", ".join(f"{name} {count:,}" for name, count in self.gaps_by_variable.items())))
        if self.interrupted:
            rows.append(("", "interrupted: run the same command again for the rest"))
        return (Table(self.outcome, tuple(rows)),)


@dataclass(frozen=True, slots=True, repr=False)
class Status(Displayed):
    """Status of a store, from its ledger.

    Examples
    --------
    >>> status = hrrr_dask.status("farms.zarr")
    >>> status.n_points, status.files_complete, status.gaps
    (3, 18, {'truncated': 11, 'not-published': 11})
    >>> [table.title for table in status.tables()]
    ['status', 'by init_time']
    """

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
    odd_cells: tuple[str, ...] = ()
    """A line each for points whose nearest cell is water, or more than 200 m higher or lower than their elevation."""
    newest_run: datetime | None = None
    """Newest init time with a complete file, UTC; None if there is none."""

    def tables(self) -> tuple[Table, ...]:
        """Describe the status: as a whole, by day or month, and the gaps if they were requested.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        tables = (self._whole(), self._by_time()) if self.by_time else (self._whole(),)
        return tables if self.gap_list is None else (*tables, _gap_table(self.gap_list))

    def _whole(self) -> Table:
        files = f"{self.files_complete:,} complete, {self.files_with_gaps:,} with gaps, {self.files_to_do:,} to do"
        rows = (
            ("store", self.store),
            ("runs", f"{self.first_init_time:%Y-%m-%dT%H} to {self.last_init_time:%Y-%m-%dT%H}"),
            ("points", f"{self.n_points:,}"),
            ("variables", ", ".join(self.variables)),
            ("files", files),
        )
        odd = [("", line) for line in self.odd_cells]
        return Table("status", (*rows, *odd, *_gap_rows(self.gaps)))

    def _by_time(self) -> Table:
        rows = []
        for row in self.by_time:
            counts = (row.files_wanted, row.files_complete, row.files_with_gaps, row.files_to_do)
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in row.reasons)
            rows.append((row.label, *(f"{count:,}" if count else "-" for count in counts), reasons))
        numbers = (Column(name, right=True) for name in ("files", "complete", "with gaps", "to do"))
        columns = (Column("init_time", whole=True), *numbers, Column("missing values"))
        return Table("by init_time", tuple(rows), columns)


def _gap_rows(gaps: dict[str, int]) -> list[tuple[str, str]]:
    return [
        ("gaps", f"{format_count(count, 'value')} {reason}: {OUTCOMES[reason].meaning}")
        for reason, count in gaps.items()
    ]


def _gap_table(gaps: tuple[Gap, ...]) -> Table:
    more = f", the first {MAX_SHOWN_GAPS:,}; --json and gap_list have all" if len(gaps) > MAX_SHOWN_GAPS else ""
    rows = []
    for gap in gaps[:MAX_SHOWN_GAPS]:
        mark = "quarantined: " if gap.quarantined else ""
        found = f"{mark}{gap.detail.strip().splitlines()[-1]}" if gap.detail.strip() else gap.source
        names = gap.variables[0] if len(gap.variables) == 1 else f"{gap.variables[0]} and {len(gap.variables) - 1} more"
        lead_time = format_lead_time(gap.lead_minutes)
        times = (f"{gap.init_time:%Y-%m-%dT%H}", lead_time, gap.reason, f"{gap.attempts}", gap.again)
        rows.append((*times, f"{names}: {found}"))
    columns = (
        Column("init_time", whole=True),
        Column("lead", right=True),
        Column("reason", whole=True),
        Column("tried", right=True),
        Column("retry", whole=True),
        Column("variables: detail"),
    )
    return Table(f"{len(gaps):,} gaps{more}", tuple(rows), columns)
