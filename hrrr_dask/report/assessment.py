"""The result of ``assess``: counts, statistics and examples of flagged values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hrrr_dask.catalog.lead_times import file_hour, format_lead_time
from hrrr_dask.display.figures import format_location, format_share, format_value
from hrrr_dask.display.tables import Column, Displayed, Table

__all__ = [
    "Assessment",
    "Example",
    "FlagFinding",
    "LeadFinding",
    "PointFinding",
    "RunFinding",
    "VariableFinding",
    "format_example",
    "format_example_value",
]


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


@dataclass(frozen=True, slots=True, repr=False)
class Assessment(Displayed):
    """Plausibility of a store's values. Flags mark values for review; no value is changed.

    Examples
    --------
    >>> found = hrrr_dask.assess("farms.zarr")
    >>> found.values, found.missing, found.flagged, found.hourly
    (594, 66, 0, True)
    >>> found.found(["above-limits", "solar-closure"])
    ()
    >>> [table.title for table in found.tables()]
    ['quality', 'variables']
    """

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
        """Return those of the given flags that were found.

        Parameters
        ----------
        names : sequence of str
            Names of flags.

        Returns
        -------
        tuple of str
            In the order of ``names``.
        """
        found = {finding.flag for finding in self.flags}
        return tuple(name for name in names if name in found)

    def tables(self) -> tuple[Table, ...]:
        """Describe the assessment: as a whole, by variable, by flag, and the most extreme values.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        tables = (self._whole(), self._by_variable())
        return (*tables, self._by_flag(), self._extremes()) if self.flags else tables

    def _whole(self) -> Table:
        rows = [
            ("store", self.store),
            ("runs", f"{self.first_init_time:%Y-%m-%dT%H} to {self.last_init_time:%Y-%m-%dT%H}"),
            ("points", f"{self.n_points:,}"),
            ("files", f"{self.files:,}"),
            ("values", f"{self.values:,}; {self.missing:,} are missing"),
            ("flagged", f"{self.flagged:,} ({format_share(self.flagged, self.values)}); none is changed"),
        ]
        if self.points:
            points = (
                f"{row.point_id} ({format_location(row.latitude, row.longitude)}) {row.flagged:,}"
                for row in self.points
            )
            rows.append(("most at", ", ".join(points)))
            rows.append(("most in", ", ".join(f"{row.init_time:%Y-%m-%dT%H} {row.flagged:,}" for row in self.runs)))
        return Table("quality", tuple(rows))

    def _by_variable(self) -> Table:
        right = (Column(name, right=True) for name in ("minimum", "mean", "maximum", "missing", "flagged"))
        rows = (
            (
                row.name,
                row.units,
                *("-" if value is None else format_value(value) for value in (row.minimum, row.mean, row.maximum)),
                format_share(row.missing, row.values + row.missing) if row.missing else "-",
                f"{row.flagged:,}" if row.flagged else "-",
            )
            for row in self.variables
        )
        return Table("variables", tuple(rows), (Column("variable"), Column("unit"), *right))

    def _by_flag(self) -> Table:
        rows = (
            (row.flag, row.variable, f"{row.values:,}", f"{row.points:,}", format_example(row.worst, bare=True))
            for row in self.flags
        )
        numbers = (Column("values", right=True), Column("points", right=True))
        return Table("flags", tuple(rows), (Column("flag"), Column("variable"), *numbers, Column("most extreme")))

    def _extremes(self) -> Table:
        rows = ((format_example(one), ", ".join(one.flags)) for one in self.examples)
        return Table("most extreme values", tuple(rows), (Column("value"), Column("flags")))


def format_example(one: Example, *, bare: bool = False) -> str:
    """Format an example as one line, with its file, and with its lead time if that is not the hour of the file.

    Parameters
    ----------
    one : Example
        The example.
    bare : bool
        Omit the name of the variable.
    """
    name = "" if bare else f"{one.variable} "
    file = f"{one.init_time:%Y-%m-%dT%H}-f{file_hour(one.lead_minutes):02d}"
    lead_time = f" ({format_lead_time(one.lead_minutes)})" if one.lead_minutes % 60 else ""
    return f"{name}{format_example_value(one)} at {one.point_id}, {file}{lead_time}"


def format_example_value(one: Example) -> str:
    """Format the value of an example with its unit, and for a step the value before it."""
    units = "" if one.units == "1" else f" {one.units}"
    return f"{format_value(one.value)}{units}" + (
        "" if one.before is None else f" after {format_value(one.before)}{units}"
    )
