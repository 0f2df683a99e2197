"""Result type of :func:`hrrr_dask.check`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hrrr_dask.display.tables import Displayed, Table

__all__ = ["CheckReport", "Checked"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was checked."""

    name: str
    """``readable``, ``writable``, ``age``, ``gaps``, ``flags`` or ``checksums``."""
    ok: bool
    """Whether it is within its limit."""
    found: str
    """What was found, and the limit."""
    advice: str = ""
    """What to do; empty if it is ok."""


@dataclass(frozen=True, slots=True, repr=False)
class CheckReport(Displayed):
    """Health of a store: how old it is, and the gaps, flags and checksums of its recent runs.

    Examples
    --------
    >>> report = hrrr_dask.check("farms.zarr", max_age="none", max_gaps="20%")
    >>> report.outcome, report.exit_code
    ('ok', 0)
    >>> report.gaps, report.values_wanted
    ({'truncated': 11, 'not-published': 11}, 220)
    >>> report.failed, report.tables()[0].title
    ((), 'ok')
    >>> report.summary
    'OK farms.zarr: age: the newest run, 2024-07-02T12, is ... old; gaps: 10 % of the values are missing, ...'
    """

    store: str
    """URL of the store."""
    checks: tuple[Checked, ...]
    """Each check, in the order in which they are shown."""
    first_init_time: datetime
    """First init time of the recent period, UTC."""
    last_init_time: datetime
    """Last init time of the recent period, UTC."""
    newest_run: datetime | None
    """Init time of the newest run of which the store has a value, UTC; None if it has none."""
    newest_run_age_s: float | None
    """Its age: time since its init time [s]."""
    due_run: datetime | None
    """Init time of the newest run of which a wanted file should be published by now, UTC."""
    values_wanted: int
    """Values (init_time, lead_time, variable) of the period that should be in the store by now."""
    gaps: dict[str, int] = field(default_factory=dict)
    """Reason to the number of these values that are missing; ``not-ingested`` were not read yet."""
    flags: dict[str, int] = field(default_factory=dict)
    """Flag to the number of fields (init_time, lead_time, variable) of the period that have it at any point."""
    checksums_compared: int = 0
    """Values (also by point) that were compared with their checksum."""
    checksums_differing: int = 0
    """Of these, values that differ."""
    seconds: float = 0.0
    """Wall time [s]."""

    @property
    def failed(self) -> tuple[Checked, ...]:
        """Checks that failed."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def outcome(self) -> str:
        """``ok`` or ``failed``."""
        return "failed" if self.failed else "ok"

    @property
    def exit_code(self) -> int:
        """0 ok, 3 failed."""
        return 3 if self.failed else 0

    @property
    def summary(self) -> str:
        """The outcome and its reasons in one line."""
        shown = self.failed or tuple(check for check in self.checks if check.name in ("age", "gaps"))
        found = "; ".join(f"{check.name}: {check.found}" for check in shown)
        return Table(f"{self.outcome.upper()} {self.store}: {found}", ()).title

    def tables(self) -> tuple[Table, ...]:
        """Describe the report.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        rows = [("store", self.store)]
        for check in self.checks:
            state, advice = ("ok", "") if check.ok else ("failed", f": {check.advice}" if check.advice else "")
            rows.append((check.name, f"{state}, {check.found}{advice}"))
        rows += [
            ("period", f"{self.first_init_time:%Y-%m-%dT%H} to {self.last_init_time:%Y-%m-%dT%H}"),
            ("time", f"{self.seconds:.1f} s"),
        ]
        return (Table(self.outcome, tuple(rows)),)
