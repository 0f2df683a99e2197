"""The plan of a backfill as a value: its figures, and its description."""

from __future__ import annotations

from dataclasses import dataclass

from hrrr_dask.catalog.lead_times import format_lead_times
from hrrr_dask.catalog.products import PRODUCTS
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.display.figures import format_size
from hrrr_dask.display.tables import Displayed, Table
from hrrr_dask.planning.layout import Layout, explain_layout
from hrrr_dask.planning.memory import (
    EXTRACT_COPIES,
    MESSAGE_BYTES,
    STEP_FILES,
    extract_bytes,
    fixed_bytes,
    partition_bytes,
)

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Displayed):
    """Files, partitions and sizes of a backfill.

    Examples
    --------
    >>> plan = hrrr_dask.plan("points.csv", "2024-07-01", "2024-07-02", variables="temperature_2m")
    >>> plan.n_files, plan.leads_to_read, plan.requests
    (20, 20, 40)
    >>> plan.bytes_to_read, plan.shard_bytes, plan.partition_bytes, plan.worker_bytes
    (30000000, 12800, 12800, 491999992)
    >>> plan.n_partitions, plan.partition_files
    (1, 320)
    >>> [table.title for table in plan.tables()]
    ['plan']
    """

    selection: Selection
    """Variables, lead times and cycles of every run."""
    period: Period
    """First and last init time."""
    layout: Layout
    """Sizes of shards and chunks."""
    n_points: int
    """Number of points."""
    n_runs: int
    """Number of init times in the period that have started."""
    n_files: int
    """Number of files that the archive is expected to have."""
    n_partitions: int
    """Number of partitions in the period."""
    n_leads: int
    """Number of lead times of all runs, which these files have: four for each file of sub-hourly products."""
    skipped: dict[int, int]
    """Lead time [min] to the number of runs that do not reach it."""
    absent: tuple[str, ...]
    """Names of variables that none of the files has: they were introduced later, or their window is longer."""
    not_started: int
    """Number of init times in the period that are in the future."""
    step_files: int = STEP_FILES
    """Maximum number of files committed at once."""
    n_done: int = 0
    """Number of these files that the store already has."""

    @property
    def leads_to_read(self) -> int:
        """Estimated number of lead times of the files to read."""
        return round((self.n_files - self.n_done) * self.n_leads / max(self.n_files, 1))

    @property
    def bytes_to_read(self) -> int:
        """Estimated bytes to download from the archive [B]."""
        return self.leads_to_read * len(self.selection.variables) * MESSAGE_BYTES

    @property
    def requests(self) -> int:
        """Estimated requests to the archive: an inventory for each file, about five ranges for each lead time."""
        return self.n_files - self.n_done + self.leads_to_read * min(5, len(self.selection.variables))

    @property
    def shard_bytes(self) -> int:
        """Raw size of one shard [B]."""
        return self.layout.shard_bytes(self.selection)

    @property
    def partition_bytes(self) -> int:
        """Raw size of one partition with all points and variables [B]."""
        return partition_bytes(self.selection, self.n_points, self.layout)

    @property
    def partition_files(self) -> int:
        """Maximum number of files of one partition."""
        return self.layout.partition_days * len(self.selection.cycles) * len(set(self.selection.file_hours))

    @property
    def worker_bytes(self) -> int:
        """Projected peak memory of one worker, see :mod:`hrrr_dask.planning.memory` [B]."""
        extracts = min(self.step_files, self.partition_files) * extract_bytes(self.selection, self.n_points)
        return fixed_bytes(self.selection, self.n_points, self.layout) + EXTRACT_COPIES * extracts

    def tables(self) -> tuple[Table, ...]:
        """Describe the plan.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        selection, layout = self.selection, self.layout
        whole = (self.n_files - self.n_done) * PRODUCTS[selection.product].file_bytes
        done = f"; {self.n_done:,} are already in the store" if self.n_done else ""
        to_read = (
            f"about {format_size(self.bytes_to_read)} of {format_size(whole)}, in about {self.requests:,} requests, "
            f"for files of the size that NOAA publishes for {selection.domain}"
        )
        partitions = (
            f"{self.n_partitions:,} of {layout.partition_days} days, {format_size(self.partition_bytes)} raw each"
        )
        shards = (
            f"{layout.partition_days} days x all leads x {layout.shard_points} points, "
            f"{format_size(self.shard_bytes)} raw, in chunks of {layout.chunk_points} points"
        )
        rows = [
            ("runs", f"{self.n_runs:,} from {self.period.start:%Y-%m-%dT%H} to {self.period.end:%Y-%m-%dT%H}"),
            ("lead times", format_lead_times(selection.lead_minutes)),
            ("variables", ", ".join(variable.name for variable in selection.variables)),
            ("points", f"{self.n_points:,}, {selection.method}"),
            ("files", f"{self.n_files:,} of wrf{selection.product}, {selection.domain}{done}"),
            ("to read", to_read),
            ("partitions", partitions),
            ("shards", shards),
            ("chosen", self._reasons()),
            ("memory", f"about {format_size(self.worker_bytes)} a worker"),
        ]
        rows += [
            ("not reached", f"lead times {leads}: {count:,} runs do not reach them") for leads, count in self._skips()
        ]
        if self.absent:
            rows.append(("not available", f"{', '.join(self.absent)}: no file of these runs and lead times has them"))
        if self.not_started:
            rows.append(("in the future", f"{self.not_started:,} runs have not started yet and are left out"))
        return (Table("plan", tuple(rows)),)

    def _reasons(self) -> str:
        layout, steps = self.layout, -(-self.partition_files // self.step_files)
        why = "the most there are" if self.step_files == STEP_FILES else "as many as the memory limit allows"
        parts = "one step writes" if steps == 1 else f"{steps} steps of at most {self.step_files:,} files, {why}, write"
        reason = explain_layout(layout, self.selection, self.n_points)
        return f"{layout.partition_days} days: {reason}; {parts} a partition"

    def _skips(self) -> list[tuple[str, int]]:
        """Group lead times that some runs do not reach by the number of runs."""
        grouped: dict[int, list[int]] = {}
        for lead, count in self.skipped.items():
            grouped.setdefault(count, []).append(lead)
        return [(format_lead_times(leads), count) for count, leads in grouped.items()]
