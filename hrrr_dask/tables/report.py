"""The result of an export."""

from __future__ import annotations

from dataclasses import dataclass

from hrrr_dask.display.figures import format_size
from hrrr_dask.display.tables import Displayed, Table

__all__ = ["ExportReport"]


@dataclass(frozen=True, slots=True, repr=False)
class ExportReport(Displayed):
    """Result of an export.

    Examples
    --------
    >>> report = hrrr_dask.export("farms.zarr", "tables")
    >>> report.outcome, report.exit_code, report.days_written, report.rows
    ('done', 0, 2, 594)
    >>> [table.title for table in report.tables()]
    ['done']
    """

    store: str
    """URL of the store."""
    to: str
    """Where the tables are."""
    format: str
    """``parquet``, ``duckdb`` or ``iceberg``."""
    layout: str
    """``long`` or ``wide``."""
    days_written: int
    """Days written by this command."""
    days_unchanged: int
    """Days that were up to date."""
    days_removed: int
    """Days that were dropped, as the store no longer has them."""
    rows: int
    """Rows of the days written."""
    bytes: int
    """Size of the Parquet files of the days written [B]."""
    seconds: float
    """Wall time [s]."""
    interrupted: bool
    """Whether the command stopped early; run it again to do the rest."""

    @property
    def outcome(self) -> str:
        """``done`` or ``interrupted``."""
        return "interrupted" if self.interrupted else "done"

    @property
    def exit_code(self) -> int:
        """0 done, 1 interrupted."""
        return int(self.interrupted)

    def tables(self) -> tuple[Table, ...]:
        """Describe the report.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        days = f"{self.days_written:,} written, {self.days_unchanged:,} unchanged"
        rate = self.rows / max(self.seconds, 1e-3)
        rows = [
            ("store", self.store),
            ("to", f"{self.to} ({self.format}, {self.layout})"),
            ("days", days + (f", {self.days_removed:,} removed" if self.days_removed else "")),
            ("written", f"{self.rows:,} rows, {format_size(self.bytes)} of Parquet"),
            ("time", f"{self.seconds:.1f} s" + (f", {rate:,.0f} rows/s" if self.rows else "")),
        ]
        if self.interrupted:
            rows.append(("", "interrupted: run the same command again for the rest"))
        return (Table(self.outcome, tuple(rows)),)
