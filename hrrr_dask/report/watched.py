"""Result type of :func:`hrrr_dask.watch`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hrrr_dask.config.duration import format_age
from hrrr_dask.display.figures import format_count
from hrrr_dask.display.tables import Displayed, Table

__all__ = ["WatchReport"]


@dataclass(frozen=True, slots=True, repr=False)
class WatchReport(Displayed):
    """What a watcher did until it ended.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with hrrr_dask.testing.loopback_s3() as server, patch.dict("os.environ", server.environment()):
    ...     queue = server.client("sqs").create_queue(QueueName="new-files")["QueueUrl"]
    ...     report = hrrr_dask.watch("farms.zarr", queue, once=True, sweep=0)
    >>> report.outcome, report.exit_code, report.newest_run
    ('done', 0, datetime.datetime(2024, 7, 2, 12, 0))
    >>> [table.title for table in report.tables()]
    ['done']
    """

    store: str
    """URL of the store."""
    queue: str
    """URL of the queue."""
    messages: int
    """Messages received, those that were received again included."""
    ignored: int
    """Messages that named no file that the store wants; deleted."""
    unreadable: int
    """Messages that are no events of S3; left to the queue's redrive policy."""
    files_told: int
    """Wanted files that messages named."""
    files_done_before: int
    """Of these, files that the store had already; their messages were deleted without reading."""
    files_read: int
    """Files read and committed because of messages."""
    files_swept: int
    """Files read and committed by sweeps, which no message had told of."""
    times_left: int
    """Times that a file was left in the queue, as it could not be read yet."""
    sweeps: int
    """Sweeps done."""
    newest_run: datetime | None
    """Init time of the newest run of which the store has values, UTC; None if it has none."""
    newest_run_age_s: float | None
    """Its age at the end [s]."""
    seconds: float
    """Wall time [s]."""
    interrupted: bool
    """Whether a signal ended it: what was read was committed, the rest went back to the queue."""

    @property
    def outcome(self) -> str:
        """``done`` or ``stopped``."""
        return "stopped" if self.interrupted else "done"

    @property
    def exit_code(self) -> int:
        """Always 0: a signal is the usual end, and what is missing is in the queue or is a gap of the store."""
        return 0

    def tables(self) -> tuple[Table, ...]:
        """Describe the report.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        files = (
            f"{self.files_read:,} read, {self.files_done_before:,} done before, of {self.files_told:,} told; "
            f"{self.files_swept:,} read by {format_count(self.sweeps, 'sweep')}"
        )
        rows = [
            ("store", self.store),
            ("queue", self.queue),
            (
                "messages",
                f"{self.messages:,} received, {self.ignored:,} of other files, {self.unreadable:,} unreadable",
            ),
            ("files", files),
        ]
        if self.times_left:
            rows.append(("left", f"{format_count(self.times_left, 'time')} a file was left in the queue for later"))
        newest = "none"
        if self.newest_run is not None and self.newest_run_age_s is not None:
            newest = f"{self.newest_run:%Y-%m-%dT%H}, {format_age(self.newest_run_age_s)} old"
        rows += [("newest run", newest), ("time", f"{self.seconds:.1f} s")]
        return (Table(self.outcome, tuple(rows)),)
